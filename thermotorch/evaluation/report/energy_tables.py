"""Ledgers as tables, by model and kind, in reports and as plain text, and tables of the rows with energy units."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from thermotorch.evaluation.energy.ledger import LANDAUER, Ledger, LedgerLine
from thermotorch.evaluation.energy.measured import SCENARIO
from thermotorch.evaluation.report.content import Bullets, Table
from thermotorch.evaluation.report.markdown import bullet, table
from thermotorch.evaluation.report.quality_tables import side_by_side
from thermotorch.evaluation.report.sides import Side, models
from thermotorch.evaluation.results import ModelResult
from thermotorch.zoo.rows import Row

KINDS = ("modelled", "measured")


def ledger_tables(results: Sequence[ModelResult], kind: str) -> Iterator[Table]:
    """Yield the ledgers of one kind: a table for each model, or one for all if each model has a single ledger."""
    by_model = {result.label: ledgers for result in results if (ledgers := ledgers_of(result, kind))}
    if by_model and all(len(ledgers) == 1 for ledgers in by_model.values()):
        single = [ledger for (ledger,) in by_model.values()]
        names = [f"{ledger.model} ({ledger.scenario})" for ledger in single]
        yield _table(single, names, f"Ledgers, {kind}", True)
        return
    for label, ledgers in by_model.items():
        yield _table(ledgers, [ledger.scenario for ledger in ledgers], f"{label}, {kind}", False)


def _table(ledgers: Sequence[Ledger], names: Sequence[str], title: str, lines_are_ledgers: bool) -> Table:
    scale, show = f"{LANDAUER}, a scale, in no total", partial(joules, digits=".3g", brackets="[]")
    header, *lines = ledger_grid(ledgers, names, "J per sample", scale, show, lines_are_ledgers)
    caption = f"{title}, joule per sample, with the range of the assumptions in brackets"
    return Table(header, lines, caption, right=range(1, len(header)))


def ledgers_of(result: ModelResult, kind: str) -> list[Ledger]:
    """Return the ledgers of one kind; an unreadable one counts as measured."""
    return [ledger for ledger in result.ledgers if (ledger.kind if ledger.kind in KINDS else "measured") == kind]


def ledger_notes(results: Sequence[ModelResult]) -> Bullets:
    """Return the sources of the lines, each once for the models and scenarios that share it."""
    notes: dict[tuple[str, str], dict[str, None]] = {}
    for result in results:
        for ledger in result.ledgers:
            for line in ledger.lines:
                text = "; ".join(part for part in (line.source, line.note) if part)
                notes.setdefault((line.contribution, text), {})[ledger.scenario] = None
            if ledger.missing and ledger.total.note:
                notes.setdefault(("total", ledger.total.note), {})[ledger.scenario] = None
    return Bullets(
        [f"{contribution}, {', '.join(scenarios)}: {text}" for (contribution, text), scenarios in notes.items()]
    )


def energy_row_tables(sides: Sequence[Side]) -> Iterator[Table]:
    """Yield tables of the rows with energy units, of this run and of the cards, modelled and measured apart."""
    sources = (
        ("in this run", {side.label: side.result.rows for side in sides if side.result}),
        ("in the model cards", {side.name: side.recorded for side in models(sides)}),
    )
    for source, columns in sources:
        for kind in KINDS:
            wanted = {label: [row for row in rows if _kind(row) == kind] for label, rows in columns.items()}
            yield from side_by_side(
                f"Heat, work and arithmetic, {kind} {source}", {k: v for k, v in wanted.items() if v}
            )


def _kind(row: Row) -> str | None:
    """Return the kind of a row with an energy unit; an unavailable reading of a counter is a measured one."""
    if not row.is_energy:
        return None
    return ("measured" if row.metric.startswith("energy drawn") else "modelled") if row.value is None else row.kind


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


def joules(line: LedgerLine, digits: str = ".1e", brackets: str = "()") -> str:
    """Format a line as `3.1e-12 (1.0e-13 to 4.2e-11)`, with "at least" before an incomplete sum."""
    if line.joule is None:
        return "unavailable"
    value, least, most = (f"{joule:{digits}}" if joule else "0" for joule in (line.joule, line.least, line.most))
    value = f"{'at least ' if line.at_least else ''}{value}"
    return value if line.least == line.most else f"{value} {brackets[0]}{least} to {most}{brackets[1]}"
