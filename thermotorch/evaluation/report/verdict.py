"""The verdict, a sentence for each question that a comparison answers."""

import math
from collections.abc import Sequence

from thermotorch.evaluation.metrics import METRICS, Metric
from thermotorch.evaluation.report.content import Table
from thermotorch.evaluation.report.energy_verdict import energy_answers
from thermotorch.evaluation.report.markdown import number
from thermotorch.evaluation.results import Comparison, ModelResult
from thermotorch.zoo.rows import Row

_LISTED = 4  # values in a line; of more, the best ones and the last


def verdict(comparison: Comparison, results: Sequence[ModelResult]) -> Table | None:
    """Return the table; None for fewer than two models."""
    lines = [line for metric in METRICS if metric.question and (line := _answered(metric, comparison, results))]
    lines += energy_answers(comparison.protocol, results)
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
