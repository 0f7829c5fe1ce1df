"""What `thermotorch-evaluate model=spu.8cell task=invert` and its kin run: thermodynamic linear algebra, measured.

A task is a module of this folder with two functions: `run(model, command=, progress=, **settings)` gives rows and the
data of its figure, `draw(curves)` makes that figure.
"""

import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from torch import nn

from thermotorch.names import unknown_name
from thermotorch.zoo.rows import Row

TASKS = {
    "invert": "thermotorch.evaluation.linear_algebra.inversion",
    "mitigation": "thermotorch.evaluation.linear_algebra.mitigation",
    "scaling": "thermotorch.evaluation.linear_algebra.scaling",
}
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class TaskResult:
    """What a task gave.

    Args:
        rows: its numbers.
        curves: the data of its figure, plain lists and numbers.
    """

    rows: list[Row]
    curves: dict[str, Any]


def run_task(
    name: str, model: nn.Module, settings: Mapping[str, Any], command: str = "", progress: Progress | None = None
) -> TaskResult:
    """Run a task on a model.

    Args:
        name: one of `TASKS`.
        model: what is evaluated.
        settings: those that `configs/zoo/evaluate.yaml` has under the task's name.
        command: what gives the rows again.
        progress: called with (done, total).

    Raises:
        ValueError: no such task.
        TypeError: a model of another kind, or a setting that the task does not take.
    """
    if name not in TASKS:
        raise unknown_name("task", name, TASKS)
    run = importlib.import_module(TASKS[name]).run
    return run(model, command=command, progress=progress or (lambda done, total: None), **settings)


def write_task(name: str, result: TaskResult, folder: Path) -> list[Path]:
    """Write `<name>.json`, the curves, and `<name>.png`; return the paths."""
    data = folder / f"{name}.json"
    data.write_text(json.dumps(result.curves) + "\n", encoding="utf-8")
    import matplotlib

    matplotlib.use("agg")
    picture = folder / f"{name}.png"
    importlib.import_module(TASKS[name]).draw(result.curves).savefig(picture, dpi=110, bbox_inches="tight")
    Image.open(picture).convert("RGB").quantize(64).save(picture, optimize=True)  # lines need no more colours
    return [data, picture]
