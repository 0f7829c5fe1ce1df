"""A comparison on disk: `report.md` to read, `report.json` to compute with, `samples.png` to look at."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from thermotorch.evaluation.pictures import side_by_side
from thermotorch.evaluation.report_text import report_text
from thermotorch.evaluation.results import Comparison

REPORT_FORMAT = 1


def write_report(comparison: Comparison, folder: Path, cards: Mapping[str, Mapping] | None = None) -> list[Path]:
    """Writes the report of a comparison, complete or as far as it got.

    Args:
        comparison: what `compare` gave, or hands to its `save`.
        folder: where to; made if missing. Files of an earlier call are replaced.
        cards: model cards by model name: their recorded rows stand beside those of the comparison.

    Returns:
        The paths written: `report.md`, `report.json` and, once there are images, `samples.png`.
    """
    cards = {label: cards[name] for label, name in comparison.entries.items() if name in cards} if cards else {}
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    text, data, picture = (folder / name for name in ("report.md", "report.json", "samples.png"))
    text.write_text(report_text(comparison, cards, picture.name), encoding="utf-8")
    content = json.dumps(report_data(comparison, cards), indent=2, allow_nan=False, ensure_ascii=False)
    data.write_text(content + "\n", encoding="utf-8")
    if not comparison.results:
        return [text, data]
    of = f"of {comparison.protocol.num_samples:,} samples, seed {comparison.protocol.seed}"
    results = comparison.results.values()
    panels = [(result.label, f"the first {len(result.images)} {of}", result.images) for result in results]
    side_by_side(panels).save(picture, optimize=True)
    return [text, data, picture]


def report_data(comparison: Comparison, cards: Mapping[str, Mapping]) -> dict[str, Any]:
    """The content of `report.json`: everything in the report, as plain numbers and strings; `cards` by label."""
    models = {}
    for label in comparison.labels:
        card, result = cards.get(label, {}), comparison.results.get(label)
        models[label] = {
            "finished": result is not None,
            "sha256": card.get("sha256"),
            "rows": [row.to_dict() for row in result.rows] if result else [],
            "class_counts": result.class_counts if result else None,
            "recorded": [dict(row) for row in (*card.get("metrics", ()), *card.get("energy", ()))],
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
