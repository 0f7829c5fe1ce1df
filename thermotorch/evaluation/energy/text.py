"""Ledgers as tables that read well as plain text and rendered."""

from collections.abc import Callable, Sequence

from thermotorch.evaluation.energy.ledger import LANDAUER, Ledger, LedgerLine
from thermotorch.evaluation.energy.measured import SCENARIO
from thermotorch.evaluation.report.markdown import bullet, table


def ledger_grid(
    ledgers: Sequence[Ledger], names: Sequence[str], corner: str, scale: str, show: Callable[[LedgerLine], str],
    lines_are_ledgers: bool = False,
) -> list[list[str]]:  # fmt: skip
    """Return the cells of a table of ledgers, header first.

    A line is a ledger if the caller says so or if there are more ledgers than contributions; else it is a contribution.

    Args:
        ledgers, names: the ledgers and their headings.
        corner, scale: heading of the table, and of Landauer's bound.
        show: function that formats the joules of a line.
        lines_are_ledgers: True for a line per ledger in any case.
    """
    contributions = list(dict.fromkeys(line.contribution for ledger in ledgers for line in ledger.contributions))
    grid = [[corner, *contributions, "**total**", scale]]
    for name, ledger in zip(names, ledgers, strict=True):
        lines = [*map(ledger.line, contributions), ledger.total, ledger.line(LANDAUER)]
        grid.append([name, *("-" if line is None else show(line) for line in lines)])
    across = lines_are_ledgers or len(ledgers) > len(contributions)
    return grid if across else [list(row) for row in zip(*grid, strict=True)]


def ledgers_table(ledgers: Sequence[Ledger]) -> str:
    """Return a Markdown table of the joules per sample of one model, with their ranges.

    Raises:
        ValueError: modelled and measured ledgers, or several models, which do not share a table.
    """
    kinds = {ledger.kind for ledger in ledgers} - {"unavailable"}
    models = {ledger.model for ledger in ledgers}
    if len(kinds) > 1 or len(models) > 1:
        raise ValueError("ledgers: expected modelled or measured ones, not both, of one model; make a table for each")
    corner = f"J per sample of {', '.join(models)} ({', '.join(kinds) or 'unavailable'})"
    grid = ledger_grid(ledgers, [ledger.scenario for ledger in ledgers], corner, f"{LANDAUER}, a scale", joules)
    return table(grid[0], grid[1:], right=range(1, len(grid[0])))


def ledgers_tables(ledgers: Sequence[Ledger]) -> str:
    """Return a table of the modelled ledgers of a model, and one of the measured ones, readable or not."""
    groups = [[ledger for ledger in ledgers if (ledger.scenario == SCENARIO) is here] for here in (False, True)]
    return "\n\n".join(ledgers_table(group) for group in groups if group)


def ledgers_text(ledgers: Sequence[Ledger]) -> str:
    """Return the text of `energy.md`: the tables, the scale, and notes."""
    parts = [ledgers_tables(ledgers)]
    if scale := next((line for ledger in ledgers if (line := ledger.line(LANDAUER))), None):
        parts.append(f"{LANDAUER}: {joules(scale)} J, {scale.note}.")
    notes = [
        bullet(f"{ledger.scenario}, {line.contribution}: {'; '.join(filter(None, (line.note, line.source)))}.")
        for ledger in ledgers
        for line in ledger.contributions
    ]
    return "\n\n".join([*parts, "\n".join(notes)]) + "\n"


def joules(line: LedgerLine) -> str:
    """Format a line as `3.1e-12 (1.0e-13 to 4.2e-11)`, with "at least" before an incomplete sum."""
    if line.joule is None:
        return "unavailable"
    value = f"{'at least ' if line.at_least else ''}{_short(line.joule)}"
    return value if line.least == line.most else f"{value} ({_short(line.least)} to {_short(line.most)})"


def _short(joule: float) -> str:
    return f"{joule:.1e}" if joule else "0"
