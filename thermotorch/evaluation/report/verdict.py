"""The verdict, a sentence for each question that a comparison answers.

That on energy is a range over pairs of scenarios that names both ends.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from thermotorch.evaluation.energy.ledger import Ledger, LedgerLine
from thermotorch.evaluation.energy.ratio import ratio
from thermotorch.evaluation.metrics import METRICS, Metric
from thermotorch.evaluation.protocol import Protocol
from thermotorch.evaluation.report.content import Table
from thermotorch.evaluation.report.markdown import number
from thermotorch.evaluation.results import Comparison, ModelResult
from thermotorch.zoo.rows import Row

_LISTED = 4  # values in a line; of more, the best ones and the last
_TITLES = {
    "modelled": "Least energy for a sample, devices and hardware modelled",
    "measured": "Least energy for a sample drawn here, the device simulated",
}


def verdict(comparison: Comparison, results: Sequence[ModelResult]) -> Table | None:
    """Return the table; None for fewer than two models."""
    lines = [line for metric in METRICS if metric.question and (line := _answered(metric, comparison, results))]
    lines += _energy_answers(comparison.protocol, results)
    header = ["question", "answer", "values", "kind", "samples", "seed"]
    caption = "The better model in each respect, and by how much; ± is one standard error"
    return Table(header, lines, caption, fine=(3, 4, 5), words=True) if lines else None


def _answered(metric: Metric, comparison: Comparison, results: Sequence[ModelResult]) -> list[str] | None:
    rows = {result.label: row for result in results if (row := metric.find(result.rows))}
    if len(rows) < 2:
        return None
    order = sorted(rows, key=lambda label: rows[label].known, reverse=metric.better == "higher")
    row = rows[order[0]]
    alike = [label for label in order if same(row, rows[label])]
    worse = [label for label in order if label not in alike]
    if worse:
        other = rows[worse[0]]
        words = {"next": worse[0], "factor": _factor(row, other), "difference": _difference(row, other)}
        answer = metric.answer.format(best=" and ".join(f"**{label}**" for label in alike), **words)
        if len(alike) > 1:
            answer += f"; {' and '.join(alike)} differ by less than two standard errors"
    else:
        answer = f"no difference beyond two standard errors between {' and '.join(order)}"
    unit = f" {row.unit}" if row.unit else ""
    values = [f"{label} {number(rows[label].value, rows[label].stderr)}" for label in order]
    if len(values) > _LISTED:
        values = [*values[: _LISTED - 1], f"{len(values) - _LISTED} others", values[-1]]
    if real := metric.find(comparison.real):
        values.append(f"as many real images {number(real.value, real.stderr)}")
    return [metric.question, answer, "; ".join(values) + unit, row.kind, f"{row.num_samples:,}", str(row.seed)]


def same(a: Row, b: Row) -> bool:
    """Return True for values that differ by at most two standard errors; without errors, for equal ones."""
    if a.stderr is None or b.stderr is None:
        return a.value == b.value
    return abs(a.known - b.known) <= 2 * math.hypot(a.stderr, b.stderr)


def _factor(best: Row, other: Row) -> str:
    """Format the larger of two positive values over the smaller, with the errors of both."""
    if min(best.known, other.known) <= 0:
        return "many"
    factor = max(best.known, other.known) / min(best.known, other.known)
    if best.stderr is None or other.stderr is None:
        return f"{factor:.3g} (error not known)"
    return number(factor, factor * math.hypot(best.stderr / best.known, other.stderr / other.known))


def _difference(best: Row, other: Row) -> str:
    """Format the distance of two values in per cent, with the errors of both."""
    difference = 100 * abs(best.known - other.known)
    if best.stderr is None or other.stderr is None:
        return f"{number(difference)} % (error not known)"
    return f"{number(difference, 100 * math.hypot(best.stderr, other.stderr))} %"


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


def _energy_answers(protocol: Protocol, results: Sequence[ModelResult]) -> list[list[str]]:
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
