"""Bars and a table of the classes of the samples, according to the judge."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from thermotorch.evaluation.protocol import Protocol
from thermotorch.evaluation.report import plot
from thermotorch.evaluation.report.content import Block, Gallery, Table
from thermotorch.evaluation.report.sides import Side

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def classes(protocol: Protocol, sides: Sequence[Side]) -> Iterator[Block]:
    """Yield a panel for each model and the counts, or nothing without results."""
    shown = [(side.label, side.colour, side.result.class_counts) for side in sides if side.result]
    if not shown:
        return
    alt = f"bars of the classes in the samples of {', '.join(label for label, *_ in shown)}; counts in the table below"
    picture = plot.svg("classes", alt, 1.45 * ((len(shown) + 1) // 2) + 0.2, partial(_draw, shown=shown))
    caption = (
        f"Classes, according to the judge, of {protocol.num_samples:,} samples of each model, measured, seed "
        f"{protocol.seed}; the dashed line marks equal shares."
    )
    yield Gallery([picture], caption, width=22)
    header = ["samples of", *map(str, range(len(shown[0][2])))]
    rows = [[label, *(f"{count:,}" for count in counts)] for label, _, counts in shown]
    yield Table(header, rows, "Number of samples of each class, according to the judge", right=range(1, len(header)))


def _draw(figure: "Figure", shown: Sequence[tuple[str, str, list[int]]]) -> None:
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
