"""Figures of quality, with their numbers: curves against the length of the generation, bars of the classes."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial

from thermotorch.evaluation.metrics import FRECHET, RECOGNISED
from thermotorch.evaluation.protocol import Protocol
from thermotorch.evaluation.report import plot
from thermotorch.evaluation.report.content import Block, Gallery, Table
from thermotorch.evaluation.report.markdown import number
from thermotorch.evaluation.report.sides import Side
from thermotorch.evaluation.results import NETWORK_EVALUATIONS, OBSERVATION_TIME, Comparison, CurvePoint

_AXES = {
    NETWORK_EVALUATIONS: "network evaluations for an image",
    OBSERVATION_TIME: "observation time, in mobility times",
}
_SHORT_NAME = 24  # longest name with room for another beside it
_TICKS = 8  # most lengths with ticks of their own
Series = dict[str, tuple[str, list[CurvePoint]]]  # colour and points of each line


def curves(comparison: Comparison, sides: Sequence[Side]) -> Iterator[Block]:
    """Yield a figure for each axis that has points, and a table of all points."""
    by_axis = {axis: series for axis in _AXES if (series := _series(sides, axis))}
    if not by_axis:
        return
    protocol = comparison.protocol
    floor = real.value if (real := FRECHET.find(comparison.real)) else None
    pictures = [
        plot.svg(
            f"curve_{axis.replace(' ', '_')}",
            f"{FRECHET.name} and {RECOGNISED.name} against {axis} for {', '.join(series)}; values in the table below",
            4.6,
            partial(_draw_curves, series=series, label=_AXES[axis], floor=floor),
        )
        for axis, series in by_axis.items()
    ]
    yield Gallery(
        pictures,
        f"{FRECHET.name} ({comparison.space.name}) and {RECOGNISED.name}, measured with {protocol.num_samples:,} "
        f"samples a point unless the notes say otherwise, seed {protocol.seed}. Bars are one standard error; the "
        "dashed line is the score of as many real images.",
        width=22,
    )
    lines = [
        [name, axis, f"{point.x:g}", number(point.frechet, point.frechet_stderr), number(point.recognised)]
        for axis, series in by_axis.items()
        for name, (_, points) in series.items()
        for point in points
    ]
    header = ["model", "axis", "at", *(metric.name + metric.arrow for metric in (FRECHET, RECOGNISED))]
    yield Table(header, lines, "The points of the curves, measured", right=(2, 3, 4), fine=(1,))


def _series(sides: Sequence[Side], axis: str) -> Series:
    """Return a line for each device, digital model and sampler; the steps at the end of its labels vary along it."""
    points_of: dict[str, list[CurvePoint]] = defaultdict(list)
    colours: dict[str, str] = {}
    for side in sides:
        points = [point for point in (side.result.curve if side.result else ()) if point.axis == axis]
        if points:
            name = re.sub(r",? \d+$", "", side.label) if axis == NETWORK_EVALUATIONS else side.label
            colours.setdefault(name, side.colour)
            points_of[name] += points
    return {name: (colours[name], sorted(points, key=lambda point: point.x)) for name, points in points_of.items()}


def _draw_curves(figure: "plot.Figure", series: Series, label: str, floor: float | None) -> None:
    from matplotlib.ticker import LogLocator

    distance, recognised = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    for (name, (colour, points)), marker in zip(series.items(), "osD^vP*X" * len(series), strict=False):
        x = [point.x for point in points]
        errors = [point.frechet_stderr for point in points]
        style = {"color": colour, "marker": marker, "markersize": 4.5, "linewidth": 1.4}
        distance.errorbar(x, [point.frechet for point in points], errors, capsize=2, label=name, **style)
        recognised.plot(x, [point.recognised for point in points], **style)
    if floor is not None and floor > 0:
        distance.axhline(floor, color="#5a5a5a", linestyle="--", linewidth=1, label="real images")
    distance.set(title=f"{FRECHET.name}, {FRECHET.better} is better", xscale="log", yscale="log")
    distance.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    distance.yaxis.set_major_formatter("{x:g}")
    recognised.set(
        title=f"{RECOGNISED.name}, {RECOGNISED.better} is better", xlabel=label, ylim=(0, 1.05), yticks=(0, 0.5, 1)
    )
    places = sorted({point.x for _, points in series.values() for point in points})
    if len(places) <= _TICKS:
        distance.set_xticks(places, [f"{x:g}" for x in places])
    distance.minorticks_off()
    handles, names = distance.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=2 if max(map(len, names)) <= _SHORT_NAME else 1)


def classes(protocol: Protocol, sides: Sequence[Side]) -> Iterator[Block]:
    """Yield a panel for each model and the counts, or nothing without results."""
    shown = [(side.label, side.colour, side.result.class_counts) for side in sides if side.result]
    if not shown:
        return
    alt = f"bars of the classes in the samples of {', '.join(label for label, *_ in shown)}; counts in the table below"
    picture = plot.svg("classes", alt, 1.45 * ((len(shown) + 1) // 2) + 0.2, partial(_draw_classes, shown=shown))
    caption = (
        f"Classes, according to the judge, of {protocol.num_samples:,} samples of each model, measured, seed "
        f"{protocol.seed}; the dashed line marks equal shares."
    )
    yield Gallery([picture], caption, width=22)
    header = ["samples of", *map(str, range(len(shown[0][2])))]
    rows = [[label, *(f"{count:,}" for count in counts)] for label, _, counts in shown]
    yield Table(header, rows, "Number of samples of each class, according to the judge", right=range(1, len(header)))


def _draw_classes(figure: "plot.Figure", shown: Sequence[tuple[str, str, list[int]]]) -> None:
    panels = figure.subplots((len(shown) + 1) // 2, 2, sharey=True, squeeze=False).flat
    for (label, colour, counts), axes in zip(shown, panels, strict=False):
        total = max(1, sum(counts))
        axes.bar(range(len(counts)), [100 * count / total for count in counts], color=colour, width=0.75)
        axes.axhline(100 / len(counts), color="#1b1f24", linestyle="--", linewidth=0.9)
        axes.set_title(label, fontsize=8.5)
        axes.set_xticks(range(len(counts)))
        axes.tick_params(labelsize=8)
        axes.grid(visible=False, axis="x")
    for axes in list(panels):  # the one left over
        axes.set_visible(False)
    figure.supylabel("samples, %", fontsize=9)
