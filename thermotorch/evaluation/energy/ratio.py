"""Ratios of energies, which say in words what they divide by what."""

import math
from typing import NamedTuple

from thermotorch.evaluation.energy.ledger import TOTAL, Ledger, LedgerLine
from thermotorch.names import unknown_name

_MIXED = "a modelled number divided by a measured one or the reverse, which is no measurement: "


class Ratio(NamedTuple):
    """Joules over joules; the ends of the range have both sides at opposite ends of theirs.

    `bound` is "at most" if the denominator lacks contributions, "at least" if the numerator does, "about" if both do
    and the value bounds nothing, else "".
    """

    value: float
    low: float
    high: float
    bound: str
    words: str  # both sides with model, scenario and kind, the value, and the missing contributions


def ratio(
    above: Ledger, below: Ledger, *, above_line: str = TOTAL, below_line: str = TOTAL, mixed: bool = False
) -> Ratio:
    """Return the joules per sample of `above` over those of `below`.

    Args:
        above, below: numerator and denominator.
        above_line, below_line: a single contribution to compare instead of the total.
        mixed: True to divide a modelled side by a measured one or the reverse; the words then say so.

    Raises:
        ValueError: one side modelled and the other measured without `mixed`, a side that is not positive, or an unknown
            contribution.
    """
    top, bottom = _line(above, above_line), _line(below, below_line)
    for ledger, line in ((above, top), (below, bottom)):
        if line.joule is None or not line.joule > 0:
            raise ValueError(f"{_side(ledger, line)}: no positive energy to compare")
    if (different := top.kind != bottom.kind) and not mixed:
        raise ValueError(
            f"{_side(above, top)} over {_side(below, bottom)}: modelled and measured joules are not divided by each "
            "other; write mixed=True if you mean it, and keep the words it comes with"
        )
    value, low = top.known / bottom.known, top.least / bottom.most
    high = top.most / bottom.least if bottom.least > 0 else math.inf
    bound = {(0, 0): "", (0, 1): "at most", (1, 0): "at least", (1, 1): "about"}[top.at_least, bottom.at_least]
    shown = f"{bound} {value:.1e}".strip()
    words = f"{_side(above, top)} over {_side(below, bottom)} = {shown} ({low:.0e} to {high:.0e})"
    for ledger, line in ((above, top), (below, bottom)):
        words += f"; {ledger.model} lacks {', '.join(ledger.missing)}" if line.at_least else ""
    return Ratio(value, low, high, bound, (_MIXED if different else "") + words)


def _line(ledger: Ledger, name: str) -> LedgerLine:
    if name == TOTAL:
        return ledger.total
    lines = {line.contribution: line for line in ledger.contributions}
    if name not in lines:
        raise unknown_name(f"contribution of {ledger.scenario}", name, [TOTAL, *lines])
    return lines[name]


def _side(ledger: Ledger, line: LedgerLine) -> str:
    name = TOTAL if line.at_least else line.contribution
    return f"{name} of {ledger.model} ({line.kind}, {ledger.scenario})"
