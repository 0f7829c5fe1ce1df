"""A sweep as a table and a figure of its metrics against the settings that vary."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from thermotorch.evaluation.metrics import metric_of
from thermotorch.evaluation.report.markdown import number, table
from thermotorch.evaluation.sweep import REPEATED, Failure, Point, Sweep, failures, read_sweep
from thermotorch.files import replacing, write_file


def write_sweep(folder: Path) -> tuple[str, list[Path]]:
    """Write `sweep.md`, a table of all runs and failures in the folder of a sweep, and `sweep.png`.

    Returns:
        The text and the paths written; the figure needs a setting that varies and is no repetition.

    Raises:
        FileNotFoundError: no runs.
    """
    failed, parts, figure = failures(folder), [], []
    try:
        sweep = read_sweep(folder)
    except FileNotFoundError:
        if not failed:
            raise
    else:
        parts += [sweep_caption(sweep), sweep_table(sweep)]
        figure = [save_sweep_figure(sweep, folder / "sweep.png")] if sweep.axes and sweep.metrics() else []
    if failed:
        parts += [f"Not in the table, {len(failed)} without a result:", table(Failure._fields, failed)]
    text = "\n\n".join(parts) + "\n"
    write_file(folder / "sweep.md", text)
    return text, [folder / "sweep.md", *figure]


def sweep_table(sweep: Sweep) -> str:
    """Return a Markdown table with a line for each point, or for each metric if no setting varies.

    Repeated points have the mean, its standard error and, in brackets, the standard deviation.
    """
    metrics = sweep.metrics()
    names = [f"{metric}, {unit}" if (unit := sweep.points[0].rows[metric].unit) else metric for metric in metrics]
    if not sweep.axes:
        cells = [_cell(sweep.points[0], metric) for metric in metrics]
        return table(["quantity", "value"], list(zip(names, cells, strict=True)), right=[1])
    header = [name.rpartition(".")[2] for name in sweep.axes] + names
    repeated = any(point.repetitions > 1 for point in sweep.points)
    header += ["repetitions"] if repeated else []
    lines = []
    for point in sweep.points:
        cells = [_text(value) for value in point.setting.values()]
        cells += [_cell(point, metric) for metric in metrics]
        lines.append(cells + ([str(point.repetitions)] if repeated else []))
    return table(header, lines, right=range(len(header)))


def sweep_caption(sweep: Sweep) -> str:
    """Describe what the points have in common: model or experiment, samples, seed."""
    common = dict(sweep.common)
    words = [str(common.pop(key)) for key in ("model", "experiment") if key in common]
    rows = [row for point in sweep.points for row in point.rows.values()]
    if rows and rows[0].num_samples:
        row = sweep.points[0].rows[sweep.metrics()[0]]
        words.append(f"{row.num_samples:,} samples")
    if rows and not {"seed", "protocol.seed"} & set(sweep.repeated):
        words.append(f"seed {rows[0].seed}")
    settings = (
        common if "experiment" in sweep.common else {key: common[key] for key in common if key.startswith("config.")}
    )
    words += [f"{name.rpartition('.')[2]} {_text(value)}" for name, value in settings.items() if name not in REPEATED]
    text = ", ".join(words)
    repetitions = max(point.repetitions for point in sweep.points)
    if repetitions > 1:
        names = " and ".join(name.rpartition(".")[2] for name in sweep.repeated) or "runs"
        text += f"; mean ± its standard error over {repetitions} repetitions ({names}), "
        text += "their standard deviation in brackets"
    return text


def save_sweep_figure(sweep: Sweep, path: Path) -> Path:
    """Draw the metrics whose records say `plotted`, or else the first three, against the first axis.

    There is a line for each value of the other axes; bars are standard errors.

    Raises:
        ValueError: nothing varies but repetitions.
    """
    if not sweep.axes:
        raise ValueError("the figure of a sweep needs something that was varied, other than seeds and devices")
    from matplotlib.figure import Figure
    from matplotlib.ticker import FormatStrFormatter, LogLocator, NullLocator

    axis, *others = sweep.axes
    metrics = [name for name in sweep.metrics() if (record := metric_of(name)) and record.plotted]
    metrics = metrics or sweep.metrics()[:3]
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
    with replacing(path) as partial:
        figure.savefig(partial, format="png", dpi=110)
    return path


def _spans_decades(values: Sequence) -> bool:
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    return len(numbers) == len(values) and min(numbers) > 0 and max(numbers) / min(numbers) >= 8


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _cell(point: Point, metric: str) -> str:
    row = point.rows[metric]
    text = number(row.value, row.stderr)
    return f"{text} ({point.spread[metric]:.2g})" if metric in point.spread else text
