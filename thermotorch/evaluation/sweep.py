"""A sweep of evaluations as one table and one figure: quality and heat against what was varied.

The runs of `thermotorch-evaluate -m` each leave an `evaluation.json` that says what it was told and what it found. What
differs between them are the axes of the sweep; imperfect devices and seeds are repetitions, over which is averaged.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thermotorch.evaluation.markdown import number, table
from thermotorch.evaluation.rows import Row

REPEATED = ("imperfections.device_id", "imperfections.seed", "protocol.seed")
SHOWN = (
    "Frechet distance",
    "recognised fraction",
    "class entropy",
    "class-conditional accuracy",
    "distance to training images",
    "generation heat",
    "test accuracy",
    "inference heat",
)  # beginnings of the metrics in the table, the first of each
PLOTTED = ("Frechet distance", "recognised fraction", "generation heat", "test accuracy", "inference heat")


@dataclass(frozen=True)
class Point:
    """Evaluations that differ in nothing but repetitions.

    Args:
        setting: what was varied, by name.
        rows: by metric; with repetitions the mean over them, and the standard error of that mean.
        repetitions: how many evaluations.
    """

    setting: dict[str, Any]
    rows: dict[str, Row]
    repetitions: int = 1


@dataclass(frozen=True)
class Sweep:
    """The points of a sweep in the order of its runs; `axes` are the names of what differs between them."""

    axes: list[str]
    points: list[Point]
    common: dict[str, Any]  # what is the same in all of them

    def metrics(self) -> list[str]:
        """The metrics worth a column that every point has, in the order of `SHOWN`, and the size if it differs.

        All of them where none is known to be worth one.
        """
        known = [
            metric
            for metric, row in self.points[0].rows.items()
            if row.value is not None and all(metric in point.rows for point in self.points)
        ]
        found = [next((metric for metric in known if metric.startswith(start)), None) for start in SHOWN]
        if not any(found):
            return known
        if len({point.rows["parameters"].value for point in self.points if "parameters" in point.rows}) > 1:
            found.append("parameters")
        return [metric for metric in found if metric]


def read_sweep(folder: Path) -> Sweep:
    """The sweep whose runs wrote `<folder>/<number>/evaluation.json`.

    Raises:
        FileNotFoundError: no such file.
    """
    paths = sorted(folder.glob("*/evaluation.json"), key=lambda path: (len(path.parent.name), path.parent.name))
    if not paths:
        raise FileNotFoundError(f"{folder}: no run folder here holds an evaluation.json")
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    settings = [
        _flat({key: value for key, value in run.items() if key not in ("metrics", "energy")}) for run in runs
    ]
    names = list(dict.fromkeys(name for setting in settings for name in setting))
    varied = [name for name in names if any(one.get(name) != settings[0].get(name) for one in settings)]
    axes = [name for name in varied if name not in REPEATED]
    groups: dict[str, list[int]] = {}
    for place, setting in enumerate(settings):
        groups.setdefault(repr([setting.get(name) for name in axes]), []).append(place)
    points = []
    for members in groups.values():
        rows = [{row["metric"]: Row.from_dict(row) for row in (*runs[k]["metrics"], *runs[k]["energy"])} for k in members]
        setting = {name: settings[members[0]].get(name) for name in axes}
        points.append(Point(setting, _averaged(rows), len(members)))
    return Sweep(axes, points, {name: value for name, value in settings[0].items() if name not in varied})


def sweep_table(sweep: Sweep) -> str:
    """Markdown: a line for each point, a column for each axis and metric."""
    metrics = sweep.metrics()
    units = {metric: sweep.points[0].rows[metric].unit for metric in metrics}
    header = [name.rpartition(".")[2] for name in sweep.axes]
    header += [f"{metric}, {units[metric]}" if units[metric] else metric for metric in metrics]
    repeated = any(point.repetitions > 1 for point in sweep.points)
    header += ["repetitions"] if repeated else []
    lines = []
    for point in sweep.points:
        cells = [_text(value) for value in point.setting.values()]
        cells += [number(point.rows[metric].value, point.rows[metric].stderr) for metric in metrics]
        lines.append(cells + ([str(point.repetitions)] if repeated else []))
    return table(header, lines, right=range(len(header)))


def sweep_caption(sweep: Sweep) -> str:
    """What the points have in common: model, samples, seed."""
    row = sweep.points[0].rows[sweep.metrics()[0]]
    words = [f"{sweep.common['model']}" if "model" in sweep.common else "", f"{row.num_samples:,} samples", f"seed {row.seed}"]
    words += [f"{name.rpartition('.')[2]} {_text(value)}" for name, value in sweep.common.items() if name.startswith("config.")]
    return ", ".join(word for word in words if word)


def save_sweep_figure(sweep: Sweep, path: Path) -> Path:
    """Draws the Frechet distance, the recognised fraction and, where there is one, the heat against the first axis.

    One line for each value of the other axes; bars are standard errors.

    Raises:
        ImportError: matplotlib is not installed; the message says how to get it.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import FormatStrFormatter, LogLocator, NullLocator
    except ImportError as error:
        raise ImportError("the figure of a sweep needs matplotlib: pip install 'thermotorch[plots]'") from error
    axis, *others = sweep.axes
    metrics = [metric for metric in sweep.metrics() if metric.startswith(PLOTTED)] or sweep.metrics()[:3]
    lines: dict[str, list[Point]] = {}
    for point in sweep.points:
        label = ", ".join(f"{name.rpartition('.')[2]} {_text(point.setting[name])}" for name in others)
        lines.setdefault(label, []).append(point)
    figure = Figure(figsize=(4.2 * len(metrics), 3.4), layout="constrained")
    for panel, metric in zip(figure.subplots(1, len(metrics), squeeze=False)[0], metrics, strict=True):
        for label, points in lines.items():
            rows = [point.rows[metric] for point in points]
            panel.errorbar(
                [point.setting[axis] for point in points],
                [row.value for row in rows],
                [row.stderr or 0.0 for row in rows],
                marker="o", markersize=4, linewidth=1.2, capsize=2, label=label or None,
            )  # fmt: skip
        places = list(dict.fromkeys(point.setting[axis] for point in sweep.points))
        if _spans_decades(places):
            panel.set_xscale("log")
            panel.xaxis.set_minor_locator(NullLocator())
            panel.set_xticks(places, [_text(place) for place in places], fontsize="small")
        if _spans_decades([point.rows[metric].value for point in sweep.points]):
            panel.set_yscale("log")
            panel.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            panel.yaxis.set_major_formatter(FormatStrFormatter("%g"))
            panel.yaxis.set_minor_locator(NullLocator())
        unit = sweep.points[0].rows[metric].unit
        name = metric.replace(" (", "\n(")
        panel.set(xlabel=axis.rpartition(".")[2].replace("_", " "), ylabel=f"{name}\n[{unit}]" if unit else name)
        panel.grid(alpha=0.3)
    if others:
        figure.axes[0].legend(fontsize="small")
    figure.suptitle(sweep_caption(sweep), fontsize="medium")
    figure.savefig(path, dpi=110)
    return path


def _flat(settings: dict, prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted name."""
    flat = {}
    for key, value in settings.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _averaged(rows: Sequence[dict[str, Row]]) -> dict[str, Row]:
    """The rows of one point; those of several repetitions are averaged, with the standard error of their scatter."""
    if len(rows) == 1:
        return rows[0]
    averaged = {}
    for metric, first in rows[0].items():
        values = [one[metric].value for one in rows if metric in one]
        if first.value is None or None in values or len(values) < len(rows):
            continue
        mean = sum(values) / len(values)
        scatter = sum((value - mean) ** 2 for value in values) / (len(values) - 1) / len(values)
        averaged[metric] = Row(**{**first.to_dict(), "value": mean, "stderr": scatter**0.5})
    return averaged


def _spans_decades(values: Sequence) -> bool:
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    return len(numbers) == len(values) and min(numbers) > 0 and max(numbers) / min(numbers) >= 8


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
