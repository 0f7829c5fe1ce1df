"""Tasks of thermodynamic linear algebra, such as `thermotorch-evaluate model=spu.8cell task=invert`.

A task is a module of this folder with two functions: `run(model, progress=, **settings)` returns rows and the data of a
figure, `draw(figure, curves)` draws it.
"""

import importlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image
from torch import nn

from thermotorch.files import replacing, write_file
from thermotorch.models.protocol import Progress
from thermotorch.names import unknown_name
from thermotorch.zoo.rows import Row

TASKS = {
    "invert": "thermotorch.evaluation.linear_algebra.inversion",
    "mitigation": "thermotorch.evaluation.linear_algebra.mitigation",
    "scaling": "thermotorch.evaluation.linear_algebra.scaling",
}


@dataclass(frozen=True)
class TaskResult:
    """Rows of a task, and the data of its figure as plain lists and numbers."""

    rows: list[Row]
    curves: dict[str, Any]


def run_task(
    name: str, model: nn.Module, settings: Mapping[str, Any], command: str = "", progress: Progress | None = None
) -> TaskResult:
    """Run a task on a model.

    Args:
        name: name in `TASKS`.
        model: model to evaluate.
        settings: settings under the task's name in `configs/zoo/evaluate.yaml`.
        command: command that reproduces the rows.
        progress: called with (done, total).

    Raises:
        ValueError: an unknown task.
        TypeError: a model of another kind, or an unknown setting.
    """
    if name not in TASKS:
        raise unknown_name("task", name, TASKS)
    run = importlib.import_module(TASKS[name]).run
    result = run(model, progress=progress or (lambda done, total: None), **settings)
    return TaskResult([replace(row, command=command) for row in result.rows], result.curves)


def write_task(name: str, result: TaskResult, folder: Path) -> list[Path]:
    """Write `<name>.json`, the curves, and `<name>.png`; return the paths."""
    data = write_file(folder / f"{name}.json", json.dumps(result.curves) + "\n")
    from matplotlib.figure import Figure

    picture, figure, content = folder / f"{name}.png", Figure(layout="constrained"), io.BytesIO()
    importlib.import_module(TASKS[name]).draw(figure, result.curves)
    figure.savefig(content, dpi=110, bbox_inches="tight")
    with replacing(picture) as partial:
        Image.open(content).convert("RGB").quantize(64).save(partial, "PNG", optimize=True)  # lines need few colours
    return [data, picture]
