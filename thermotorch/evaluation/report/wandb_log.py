"""A comparison in Weights & Biases: tables of its rows, ledgers and curves, sample grids, noise becoming images."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torchvision.utils import make_grid

from thermotorch.evaluation.metrics import METRICS
from thermotorch.evaluation.report.pictures import save_animation, to_pillow
from thermotorch.evaluation.results import Comparison

ROWS = ("label", "metric", "measured", "modelled", "stderr", "unit", "num_samples", "seed", "note", "command")
LEDGER = ("label", "scenario", "contribution", "modelled, J", "measured, J", "low, J", "high, J", "source", "note")
CURVE = ("label", "axis", "x", "frechet", "frechet_stderr", "recognised")
FILES = ("report.html", "report.md", "report.json")
REAL = "real images"


class WandbLog:
    """Log a comparison as one run. wandb is imported at once, to fail before any compute.

    Args:
        project: project of the run.
        name: name of the run; None lets wandb choose.
        offline: True to write the run into the folder of the report, for `wandb sync`; False to upload at once.

    Raises:
        ImportError: wandb is not installed.
    """

    def __init__(self, project: str = "thermotorch", name: str | None = None, offline: bool = True) -> None:
        import wandb

        self._wandb = wandb
        self.project, self.name, self.offline = project, name, offline

    def log(self, comparison: Comparison, folder: Path) -> Path:
        """Log a comparison, complete or interrupted, and the reports in `folder`; return the folder of the run.

        WANDB_MODE (online, offline, disabled) takes precedence over `offline`.
        """
        wandb = self._wandb
        mode = os.environ.get("WANDB_MODE") or ("offline" if self.offline else "online")
        about = {"protocol": comparison.protocol.to_dict(), "models": dict(comparison.entries)}
        about |= {key: getattr(comparison, key) for key in ("command", "hardware")} | {"judge": comparison.space.name}
        about["better"] = {metric.name: metric.better for metric in METRICS if metric.better}
        run = wandb.init(
            project=self.project, name=self.name, dir=folder, mode=mode, config=about,
            job_type="compare", settings=wandb.Settings(console="off"),
        )  # fmt: skip
        try:
            tables = {"rows": (ROWS, row_cells), "ledger": (LEDGER, ledger_cells), "curve": (CURVE, curve_cells)}
            content: dict[str, Any] = {
                name: wandb.Table(columns=list(columns), data=list(cells(comparison)))
                for name, (columns, cells) in tables.items()
            }
            for place, (label, result) in enumerate(comparison.results.items()):
                grid = make_grid(result.images.cpu(), nrow=8, padding=1, pad_value=1.0)
                caption = f"{label}, the first {len(result.images)} samples"
                content[f"samples/{label}"] = wandb.Image(to_pillow(grid, scale=2), caption=caption)
                if result.strip is not None:
                    path = save_animation(result.strip, folder / f"strip-{place}.gif")
                    content[f"strip/{label}"] = wandb.Video(
                        str(path), caption=f"{label}: noise becoming images", format="gif"
                    )
                run.summary.update({f"{label}/{row.metric}": row.value for row in result.rows if row.value is not None})
            if (folder / FILES[0]).is_file():
                content["report"] = wandb.Html((folder / FILES[0]).read_text(encoding="utf-8"))
            run.log(content)
            for name in FILES:
                if (folder / name).is_file():
                    run.save(folder / name, base_path=folder, policy="now")
            return Path(run.dir).parent
        finally:
            run.finish()


def row_cells(comparison: Comparison) -> Iterator[list]:
    """Yield the cells of `ROWS`, with measured and modelled values in columns of their own."""
    lines = [(label, row) for label, result in comparison.results.items() for row in result.rows]
    for label, row in [*((REAL, row) for row in comparison.real), *lines]:
        values = [row.value if row.kind == kind else None for kind in ("measured", "modelled")]
        yield [label, row.metric, *values, row.stderr, row.unit, row.num_samples, row.seed, row.note, row.command]


def ledger_cells(comparison: Comparison) -> Iterator[list]:
    """Yield the cells of `LEDGER`, the total of each ledger after its lines."""
    for label, result in comparison.results.items():
        for ledger in result.ledgers:
            for line in (*ledger.lines, ledger.total):
                joules = [line.joule if line.kind == kind else None for kind in ("modelled", "measured")]
                yield [label, ledger.scenario, line.contribution, *joules, line.low, line.high, line.source, line.note]


def curve_cells(comparison: Comparison) -> Iterator[list]:
    """Yield the cells of `CURVE`."""
    for label, result in comparison.results.items():
        for point in result.curve:
            yield [label, *(getattr(point, name) for name in CURVE[1:])]
