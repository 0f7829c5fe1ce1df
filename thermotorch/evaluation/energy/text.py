"""Ledgers as tables that read well as plain text and rendered."""

from collections.abc import Sequence

from thermotorch.evaluation.energy.ledger import LANDAUER, Ledger, LedgerLine
from thermotorch.evaluation.energy.measured import SCENARIO
from thermotorch.evaluation.report.markdown import bullet, table


def ledgers_table(ledgers: Sequence[Ledger]) -> str:
    """Joule per sample, with its range, of every contribution in every scenario; of one kind and one model.

    Contributions go down and scenarios across, or the other way round when there are more of these.

    Raises:
        ValueError: modelled and measured ledgers, or several models, which do not share a table.
    """
    kinds = {ledger.kind for ledger in ledgers} - {"unavailable"}
    models = {ledger.model for ledger in ledgers}
    if len(kinds) > 1 or len(models) > 1:
        raise ValueError("ledgers: expected modelled or measured ones, not both, of one model; make a table for each")
    names = list(dict.fromkeys(line.contribution for ledger in ledgers for line in ledger.contributions))
    columns = []
    for ledger in ledgers:
        lines = {line.contribution: joules(line) for line in ledger.lines}
        columns.append(
            [ledger.scenario, *(lines.get(name, "-") for name in names), joules(ledger.total), lines.get(LANDAUER, "-")]
        )
    corner = f"J per sample of {', '.join(models)} ({', '.join(kinds) or 'unavailable'})"
    headings = [corner, *names, "**total**", f"{LANDAUER}, a scale"]
    rows = [list(row) for row in zip(headings, *columns, strict=True)]
    if len(columns) > len(names):
        rows = [list(row) for row in zip(*rows, strict=True)]
    return table(rows[0], rows[1:], right=range(1, len(rows[0])))


def ledgers_tables(ledgers: Sequence[Ledger]) -> str:
    """A table of the modelled ledgers of a model, and one of the measured."""
    measured = [ledger for ledger in ledgers if _is_measured(ledger)]
    modelled = [ledger for ledger in ledgers if not _is_measured(ledger)]
    return "\n\n".join(ledgers_table(group) for group in (modelled, measured) if group)


def ledgers_text(ledgers: Sequence[Ledger]) -> str:
    """`ledgers_tables`, the scale, and what stands beside each number: the `energy.md` of an evaluation."""
    notes = [
        bullet(f"{ledger.scenario}, {line.contribution}: {'; '.join(filter(None, (line.note, line.source)))}.")
        for ledger in ledgers
        for line in ledger.contributions
    ]
    scale = next((line for ledger in ledgers for line in ledger.lines if line.contribution == LANDAUER), None)
    parts = [ledgers_tables(ledgers), *([f"{LANDAUER}: {joules(scale)} J, {scale.note}."] if scale else [])]
    return "\n\n".join([*parts, "\n".join(notes)]) + "\n"


def joules(line: LedgerLine) -> str:
    """`3.1e-12 (1.0e-13 to 4.2e-11)`, and "at least" before the sum of what is known."""
    if line.joule is None:
        return "unavailable"
    value = f"{'at least ' if line.at_least else ''}{_short(line.joule)}"
    return value if line.low in (None, line.high) else f"{value} ({_short(line.low)} to {_short(line.high)})"


def _short(joule: float) -> str:
    return f"{joule:.1e}" if joule else "0"


def _is_measured(ledger: Ledger) -> bool:
    """A ledger of this machine whose counters cannot be read is measured too, in intention."""
    return ledger.scenario == SCENARIO
