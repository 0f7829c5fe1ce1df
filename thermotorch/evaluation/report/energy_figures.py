"""Figures of the ledgers, on one logarithmic axis for all models of a kind.

Bars are not stacked, because on a logarithmic axis the length of a segment depends on what lies below it. Every
contribution has its own line and starts at Landauer's bound: its length counts the orders of magnitude above it.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from thermotorch.evaluation.energy.ledger import LANDAUER, TOTAL, Ledger, LedgerLine
from thermotorch.evaluation.report import plot
from thermotorch.evaluation.report.content import Block, Gallery
from thermotorch.evaluation.report.energy_tables import ledgers_of
from thermotorch.evaluation.report.sides import Side, models

_LINE = 0.19  # inches
_ROOM = 0.28  # part of the axis, on its right, for the numbers
Groups = list[tuple[str, list[tuple[str, LedgerLine]]]]  # heading, and the lines under it with their names


@dataclass(frozen=True)
class _Axis:
    """The axis that all figures of a kind share."""

    lowest: float
    highest: float
    scale: float | None  # Landauer's bound


def energy_figures(sides: Sequence[Side], kind: str) -> Iterator[Block]:
    """Yield figures of the totals of all models and of the contributions of each; none without known joules."""
    ledgers = {side.label: ledgers_of(side.result, kind) for side in sides if side.result}
    shown = [side for side in sides if any(ledger.kind == kind for ledger in ledgers.get(side.label, ()))]
    if (axis := _axis([ledger for side in shown for ledger in ledgers[side.label]])) is None:
        return
    totals: Groups = [
        (side.label, [(ledger.scenario, ledger.total) for ledger in ledgers[side.label]]) for side in shown
    ]
    colours = [side.colour for side in shown]
    pictures = [_picture(f"energy_{kind}", f"Totals, {kind}", totals, colours, axis)]
    for k, side in enumerate(models(shown), 1):
        groups: Groups = [
            (ledger.scenario, [*((line.contribution, line) for line in ledger.contributions), (TOTAL, ledger.total)])
            for ledger in ledgers[side.label]
        ]
        if any(len(lines) > 2 for _, lines in groups):
            title = f"{side.label}, {kind}, by contribution"
            pictures.append(_picture(f"energy_{kind}_{k}", title, groups, [side.colour] * len(groups), axis))
    start = "Bars start at Landauer's bound (dotted), a scale and not part of any total. " if axis.scale else ""
    yield Gallery(
        pictures,
        f"Energy of one sample, {kind}, in joule on a logarithmic axis: a step of the grid is a factor, so that bars "
        f"of one scenario do not add up by eye; the dark bar is their sum. {start}Whiskers are the range that the "
        "assumptions leave; 'at least' stands by a sum that lacks contributions nobody could put a number on. A model "
        "sampled in several ways has its contributions drawn for the first of them.",
        width=26,
    )


def _axis(ledgers: Sequence[Ledger]) -> _Axis | None:
    """Return the axis from the least to the most joule, from a whole power of ten; None if none is positive."""
    lines = [line for ledger in ledgers for line in (*ledger.contributions, ledger.total)]
    joules = [value for line in lines for value in (line.joule, line.low, line.high) if value and value > 0]
    scales = [line.joule for ledger in ledgers if (line := ledger.line(LANDAUER)) and line.joule]
    if not joules:
        return None
    lowest, highest = min(*joules, *scales, math.inf), max(*joules, *scales, 0)
    first, last = math.floor(math.log10(lowest)), math.log10(highest)
    return _Axis(10.0**first, 10 ** (last + _ROOM * (last - first + 1)), min(scales, default=None))


def _picture(file: str, title: str, groups: Groups, colours: Sequence[str], axis: _Axis) -> plot.Picture:
    height = _LINE * sum(len(lines) + 1.4 for _, lines in groups) + 0.75
    values = "; ".join(
        f"{heading}: {', '.join(f'{name} {_short(line)}' for name, line in lines)}" for heading, lines in groups
    )
    draw = partial(_draw, groups=groups, colours=colours, axis=axis)
    return plot.svg(file, f"{title}, joule per sample. {values}", height, draw, title)


def _draw(figure: "plot.Figure", groups: Groups, colours: Sequence[str], axis: _Axis) -> None:
    axes = figure.subplots()
    y, ticks = 0.0, []
    for (heading, lines), colour in zip(groups, colours, strict=True):
        axes.annotate(heading, (0, y), xycoords=("axes fraction", "data"), xytext=(3, 0),
                      textcoords="offset points",
                      weight="bold", va="center", zorder=5, bbox={"color": "white", "pad": 1})  # fmt: skip
        y += 1
        for name, line in lines:
            ticks.append((y, name))
            _bar(axes, y, line, _darker(colour) if line.is_total else colour, axis)
            y += 1
        y += 0.4
    axes.set(xscale="log", xlim=(axis.lowest, axis.highest), ylim=(y - 0.4, -0.7), xlabel="joule per sample")
    axes.set_yticks([at for at, _ in ticks], [name for _, name in ticks])
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_formatter(lambda x, _: f"1e{math.log10(x):.0f}")
    axes.minorticks_off()
    if axis.scale:
        axes.axvline(axis.scale, color="#1b1f24", linestyle=":", linewidth=1)


def _bar(axes: "plot.Axes", y: float, line: LedgerLine, colour: str, axis: _Axis) -> None:
    """Draw a bar from the scale to the value, with its whisker and the value as text."""
    start = axis.scale or axis.lowest
    if line.joule is None or line.joule <= 0:
        axes.annotate(_short(line), (start, y), xytext=(4, 0), textcoords="offset points", va="center", fontsize=7.5,
                      color="#57606a", style="italic")  # fmt: skip
        return
    axes.barh(y, line.joule - start, left=start, height=0.62, color=colour, zorder=2)
    if line.least < line.most:
        low = max(line.least, axis.lowest)
        axes.errorbar([line.joule], [y], xerr=[[line.joule - low], [line.most - line.joule]], fmt="none",
                      ecolor="#1b1f24", elinewidth=1, capsize=2, zorder=3)  # fmt: skip
    axes.annotate(_short(line), (max(line.most, start), y), xytext=(4, 0), textcoords="offset points", va="center",
                  fontsize=7.5, zorder=4)  # fmt: skip


def _short(line: LedgerLine) -> str:
    """Format the joules of a line as `1.2e-17 J`."""
    if line.joule is None:
        return "unavailable"
    if line.joule <= 0:
        return f"{line.joule:.2g} J, not on this axis" if line.joule else "0"
    return f"{'at least ' if line.at_least else ''}{line.joule:.2g} J"


def _darker(colour: str) -> str:
    """Return a colour half as light."""
    return "#" + "".join(f"{int(colour[k : k + 2], 16) // 2:02x}" for k in (1, 3, 5))
