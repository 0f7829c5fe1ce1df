"""Tables of the ledgers, by model and kind, and of the rows with energy units."""

from collections.abc import Iterator, Sequence

from thermotorch.evaluation.energy import LANDAUER, Ledger, LedgerLine
from thermotorch.evaluation.energy.text import ledger_grid
from thermotorch.evaluation.report.content import Bullets, Table
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
    scale = f"{LANDAUER}, a scale, in no total"
    header, *lines = ledger_grid(ledgers, names, "J per sample", scale, _joule, lines_are_ledgers)
    caption = f"{title}, joule per sample, with the range of the assumptions in brackets"
    return Table(header, lines, caption, right=range(1, len(header)))


def ledgers_of(result: ModelResult, kind: str) -> list[Ledger]:
    """Return the ledgers of one kind; an unreadable one counts as measured."""
    return [ledger for ledger in result.ledgers if (ledger.kind if ledger.kind in KINDS else "measured") == kind]


def ledger_notes(results: Sequence[ModelResult]) -> Bullets | None:
    """Return the sources of the lines, each once for the models and scenarios that share it."""
    notes: dict[tuple[str, str], dict[str, None]] = {}
    for result in results:
        for ledger in result.ledgers:
            for line in ledger.lines:
                text = "; ".join(part for part in (line.source, line.note) if part)
                notes.setdefault((line.contribution, text), {})[ledger.scenario] = None
            if ledger.missing and ledger.total.note:
                notes.setdefault(("total", ledger.total.note), {})[ledger.scenario] = None
    items = [f"{contribution}, {', '.join(scenarios)}: {text}" for (contribution, text), scenarios in notes.items()]
    return Bullets(items) if items else None


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


def _joule(line: LedgerLine) -> str:
    """Format a line as `1.2e-17 [1e-17 to 2e-17]`, with "at least" before an incomplete sum."""
    if line.joule is None:
        return "unavailable"
    spread = f" [{line.least:.3g} to {line.most:.3g}]" if line.least < line.most else ""
    return f"{'at least ' if line.at_least else ''}{line.joule:.3g}{spread}"
