"""The verdict on energy, a range over pairs of scenarios that names both ends."""

from collections.abc import Sequence
from typing import NamedTuple

from thermotorch.evaluation.energy import Ledger, LedgerLine, ratio
from thermotorch.evaluation.protocol import Protocol
from thermotorch.evaluation.results import ModelResult

_LISTED = 4  # models whose totals the verdict gives
_TITLES = {
    "modelled": "Least energy for a sample, devices and hardware modelled",
    "measured": "Least energy for a sample drawn here, the device simulated",
}


class _Total(NamedTuple):
    """The total of one ledger."""

    label: str
    ledger: Ledger

    @property
    def line(self) -> LedgerLine:
        return self.ledger.total

    @property
    def where(self) -> str:
        return f"{self.label} ({self.ledger.scenario})"

    @property
    def joule(self) -> str:
        """The total as `at least 3e-07 J (dtca)`."""
        return f"{'at least ' if self.line.at_least else ''}{self.line.joule:.2g} J ({self.ledger.scenario})"


def energy_answers(protocol: Protocol, results: Sequence[ModelResult]) -> list[list[str]]:
    """Return a line of the verdict for each kind of joules that both kinds of machine have."""
    lines = []
    for kind, title in _TITLES.items():
        devices, digital = (_totals(results, kind, thermodynamic) for thermodynamic in (True, False))
        if devices and digital:
            labels = list(dict.fromkeys(total.label for total in devices + digital))
            values = [_range(label, devices + digital) for label in labels[:_LISTED]]
            values += [f"{len(labels) - _LISTED} others in the tables below"] if len(labels) > _LISTED else []
            rests_on = [kind, f"{protocol.num_samples:,}", str(protocol.seed)]
            lines.append([title, _answer(devices, digital), "; ".join(values), *rests_on])
    return lines


def _totals(results: Sequence[ModelResult], kind: str, thermodynamic: bool) -> list[_Total]:
    """Return the positive totals of one kind, smallest first."""
    totals = [
        _Total(result.label, ledger)
        for result in results
        if result.thermodynamic == thermodynamic
        for ledger in result.ledgers
        if ledger.kind == kind and ledger.total.known > 0
    ]
    return sorted(totals, key=lambda total: total.line.known)


def _answer(devices: list[_Total], digital: list[_Total]) -> str:
    for lower, upper, name in ((devices, digital, "the thermodynamic"), (digital, devices, "the digital")):
        least, most = (upper[0], lower[-1]), (upper[-1], lower[0])
        if lower[-1].line.known < upper[0].line.known:
            answer = f"**{name} model**: {_times(*least)}"
            if least != most:
                ends = f"at one end {_times(*least)}, at the other {_times(*most)}"
                answer = f"**{name} model** in every scenario: {ends}"
            if max(total.line.most for total in lower) >= min(total.line.least for total in upper):
                answer += "; the ranges of the assumptions overlap, so that the order may be the other"
            if partial := [total.where for total in (*lower, *upper) if total.line.at_least]:
                answer += f"; this leaves out what is not known of {' and '.join(partial)}"
            return answer
    one, other = _times(digital[-1], devices[0]), _times(devices[-1], digital[0])
    return f"it depends on the scenario: at one end {one}, at the other {other}"


def _times(above: _Total, below: _Total) -> str:
    value = ratio(above.ledger, below.ledger)
    factor = f"{value.value:.2g}" if value.value < 100 else f"{value.value:.1e}"
    return f"{above.where} takes {f'{value.bound} {factor}'.strip()} times the energy of {below.where}"


def _range(label: str, totals: list[_Total]) -> str:
    """Return the extreme totals as `generator.mnist 1.2e-17 J (ideal) to at least 3e-07 J (dtca)`."""
    mine = sorted((total for total in totals if total.label == label), key=lambda total: total.line.known)
    first, last = mine[0], mine[-1]
    return f"{label} {first.joule if first == last else f'{first.joule} to {last.joule}'}"
