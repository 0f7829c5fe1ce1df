"""The ledgers as figures: where the joules of a sample go, on one logarithmic axis for all models of a kind.

Bars are not stacked: on a logarithmic axis the length of a segment depends on what is below it, so that the first
contribution looks as large as the machine and the largest like a trimming. Every contribution stands on its own line
instead and starts at Landauer's bound, so that the length of a bar counts the orders of magnitude above that scale.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from thermotorch.evaluation.energy import LANDAUER, LedgerLine
from thermotorch.evaluation.report import plot
from thermotorch.evaluation.report.content import Block, Gallery
from thermotorch.evaluation.report.energy_tables import ledgers_of
from thermotorch.evaluation.report.sides import Side, models

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LINE = 0.19  # inches
_ROOM = 0.28  # of the axis, on its right, for the numbers


@dataclass(frozen=True)
class _Group:
    """Lines under one heading."""

    title: str
    lines: tuple[tuple[str, LedgerLine, bool], ...]  # name, line, whether it is a total


@dataclass(frozen=True)
class _Axis:
    """The joules that all figures of a kind show."""

    lowest: float
    highest: float
    scale: float | None  # Landauer's bound


def energy_figures(sides: Sequence[Side], kind: str) -> Iterator[Block]:
    """The totals of all models, then the contributions of each; nothing when no joule of the kind is known."""
    shown = [
        side for side in sides if side.result and any(ledger.kind == kind for ledger in ledgers_of(side.result, kind))
    ]
    if not shown or (axis := _axis(shown, kind)) is None:
        return
    totals = [
        _Group(side.label, tuple((ledger.scenario, ledger.total, True) for ledger in ledgers_of(side.result, kind)))
        for side in shown
    ]
    colours = [side.colour for side in shown]
    pictures = [_picture(f"energy_{kind}", f"Totals, {kind}", totals, colours, axis)]
    for k, side in enumerate(models(shown), 1):
        groups = [
            _Group(ledger.scenario, (*((line.contribution, line, False) for line in ledger.contributions),
                                     ("total", ledger.total, True)))
            for ledger in ledgers_of(side.result, kind)
        ]  # fmt: skip
        if any(len(group.lines) > 2 for group in groups):
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


def _axis(sides: Sequence[Side], kind: str) -> _Axis | None:
    """From the least to the most joule, in whole powers of ten; None when none is positive."""
    ledgers = [ledger for side in sides for ledger in ledgers_of(side.result, kind)]
    lines = [line for ledger in ledgers for line in (*ledger.contributions, ledger.total)]
    joules = [value for line in lines for value in (line.joule, line.low, line.high) if value and value > 0]
    scales = [line.joule for ledger in ledgers for line in ledger.lines if line.contribution == LANDAUER and line.joule]
    if not joules:
        return None
    lowest, highest = min(*joules, *scales, math.inf), max(*joules, *scales, 0)
    first, last = math.floor(math.log10(lowest)), math.log10(highest)
    return _Axis(10.0**first, 10 ** (last + _ROOM * (last - first + 1)), min(scales, default=None))


def _picture(file: str, title: str, groups: Sequence[_Group], colours: Sequence[str], axis: _Axis) -> plot.Picture:
    lines = sum(len(group.lines) + 1.4 for group in groups)
    said = "; ".join(
        f"{group.title}: {', '.join(f'{name} {_short(line)}' for name, line, _ in group.lines)}" for group in groups
    )
    return plot.drawn(
        file,
        f"{title}, joule per sample. {said}",
        _LINE * lines + 0.75,
        partial(_draw, groups=groups, colours=colours, axis=axis),
        title,
    )


def _draw(figure: "Figure", groups: Sequence[_Group], colours: Sequence[str], axis: _Axis) -> None:
    axes = figure.subplots()
    y, ticks = 0.0, []
    for group, colour in zip(groups, colours, strict=True):
        axes.annotate(group.title, (0, y), xycoords=("axes fraction", "data"), xytext=(3, 0),
                      textcoords="offset points",
                      weight="bold", va="center", zorder=5, bbox={"color": "white", "pad": 1})  # fmt: skip
        y += 1
        for name, line, is_total in group.lines:
            ticks.append((y, name))
            _bar(axes, y, line, colour if not is_total else _darker(colour), axis)
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


def _bar(axes: "Axes", y: float, line: LedgerLine, colour: str, axis: _Axis) -> None:
    """From the scale to the value, its whisker, and the value in words."""
    start = axis.scale or axis.lowest
    if line.joule is None or line.joule <= 0:
        axes.annotate(_short(line), (start, y), xytext=(4, 0), textcoords="offset points", va="center", fontsize=7.5,
                      color="#57606a", style="italic")  # fmt: skip
        return
    axes.barh(y, line.joule - start, left=start, height=0.62, color=colour, zorder=2)
    end = line.joule
    if line.low is not None and line.low < line.high:
        low = max(line.low, axis.lowest)
        axes.errorbar([line.joule], [y], xerr=[[line.joule - low], [line.high - line.joule]], fmt="none",
                      ecolor="#1b1f24", elinewidth=1, capsize=2, zorder=3)  # fmt: skip
        end = line.high
    axes.annotate(_short(line), (max(end, start), y), xytext=(4, 0), textcoords="offset points", va="center",
                  fontsize=7.5, zorder=4)  # fmt: skip


def _short(line: LedgerLine) -> str:
    """`1.2e-17 J`."""
    if line.joule is None:
        return "unavailable"
    if line.joule <= 0:
        return f"{line.joule:.2g} J, not on this axis" if line.joule else "0"
    return f"{'at least ' if line.at_least else ''}{line.joule:.2g} J"


def _darker(colour: str) -> str:
    """Half as light."""
    return "#" + "".join(f"{int(colour[k : k + 2], 16) // 2:02x}" for k in (1, 3, 5))
