"""Write a report: `report.html`, `report.md` and `report.json`, with the pictures of the text beside them."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from thermotorch.evaluation.report.as_html import as_html
from thermotorch.evaluation.report.content import Films, Gallery
from thermotorch.evaluation.report.markdown import as_markdown
from thermotorch.evaluation.report.pictures import save_png, side_by_side
from thermotorch.evaluation.report.sections import report_of
from thermotorch.evaluation.results import Comparison
from thermotorch.files import write_file
from thermotorch.zoo.rows import rows_of

REPORT_FORMAT = 2


def write_report(comparison: Comparison, folder: Path, cards: Mapping[str, Mapping] | None = None) -> list[Path]:
    """Write the report of a comparison, complete or as far as it got.

    Args:
        comparison: a comparison.
        folder: destination, created if missing; files of an earlier call are replaced.
        cards: model cards by model name, whose recorded rows stand beside those of the comparison.

    Returns:
        The paths written: `report.html`, which needs no other file; `report.md` and its pictures, `samples.png` and
        those in `figures/`; `report.json`.
    """
    cards = cards or {}
    folder = Path(folder)
    report = report_of(comparison, cards)
    content = json.dumps(report_data(comparison, cards), indent=2, allow_nan=False, ensure_ascii=False)
    written = {
        "report.html": as_html(report).encode(),
        "report.md": as_markdown(report).encode(),
        "report.json": f"{content}\n".encode(),
    }
    for block in report.blocks():
        if isinstance(block, Gallery):
            written |= {picture.file: picture.data for picture in block.pictures}
        elif isinstance(block, Films):
            written[block.still.file] = block.still.data
    for name, data in written.items():
        write_file(folder / name, data)
    paths = [folder / name for name in written]
    if comparison.results:
        of = f"of {comparison.protocol.num_samples:,} samples, seed {comparison.protocol.seed}"
        results = comparison.results.values()
        panels = [(result.label, f"the first {len(result.images)} {of}", result.images) for result in results]
        paths.append(save_png(side_by_side(panels), folder / "samples.png"))
    return paths


def report_data(comparison: Comparison, cards: Mapping[str, Mapping]) -> dict[str, Any]:
    """Return the content of `report.json` as plain numbers and strings; `cards` is by model name."""
    models = {}
    for label, name in comparison.entries.items():
        card, result = cards.get(name, {}), comparison.results.get(label)
        models[label] = {
            "name": name,
            "finished": result is not None,
            "sha256": card.get("sha256"),
            "rows": [row.to_dict() for row in result.rows] if result else [],
            "class_counts": result.class_counts if result else None,
            "ledgers": [ledger.to_dict() for ledger in result.ledgers] if result else [],
            "curve": [asdict(point) for point in result.curve] if result else [],
            "recorded": [row.to_dict() for row in rows_of(card)],
        }
    return {
        "format": REPORT_FORMAT,
        "command": comparison.command,
        "hardware": comparison.hardware,
        "protocol": comparison.protocol.to_dict(),
        "feature_space": {"name": comparison.space.name, "judge": comparison.space.description},
        "models": models,
        "real_images": {
            "rows": [row.to_dict() for row in comparison.real],
            "recorded": [row.to_dict() for row in comparison.space.recorded],
        },
    }
