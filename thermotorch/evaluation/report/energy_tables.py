"""The ledgers as tables, one for each model and kind, and the rows with energy units beside them."""

from collections.abc import Iterator, Sequence

from thermotorch.evaluation.energy import LANDAUER, Ledger, LedgerLine
from thermotorch.evaluation.report.content import Bullets, Table
from thermotorch.evaluation.report.quality_tables import side_by_side
from thermotorch.evaluation.report.sides import Side, models
from thermotorch.evaluation.results import ModelResult
from thermotorch.zoo.rows import Row

KINDS = ("modelled", "measured")


def ledger_tables(results: Sequence[ModelResult], kind: str) -> Iterator[Table]:
    """The ledgers of one kind in joule per sample: a table for each model, or one if each model has a single ledger."""
    by_model = {result.label: found for result in results if (found := ledgers_of(result, kind))}
    if all(len(ledgers) == 1 for ledgers in by_model.values()):
        single = [ledger for (ledger,) in by_model.values()]
        yield from _table(
            single, [f"{ledger.model} ({ledger.scenario})" for ledger in single], f"Ledgers, {kind}", True
        )
        return
    for label, ledgers in by_model.items():
        names = [ledger.scenario for ledger in ledgers]
        yield from _table(ledgers, names, f"{label}, {kind}", False)


def _table(ledgers: Sequence[Ledger], names: Sequence[str], title: str, lines_are_ledgers: bool) -> Iterator[Table]:
    """Contributions across where there are more ledgers than contributions, else ledgers across."""
    if ledgers:
        contributions = list(dict.fromkeys(line.contribution for ledger in ledgers for line in ledger.contributions))
        columns = [
            [name, *(_joule(_line(ledger, contribution)) for contribution in contributions), _joule(ledger.total),
             _joule(_line(ledger, LANDAUER))]
            for name, ledger in zip(names, ledgers, strict=True)
        ]  # fmt: skip
        grid = [["J per sample", *contributions, "**total**", f"{LANDAUER}, a scale, in no total"], *columns]
        across = lines_are_ledgers or len(columns) > len(contributions)
        header, *lines = grid if across else map(list, zip(*grid, strict=True))
        caption = f"{title}, joule per sample, with the range of the assumptions in brackets"
        yield Table(header, lines, caption, right=range(1, len(header)))


def ledgers_of(result: ModelResult, kind: str) -> list[Ledger]:
    """The ledgers of one kind; one in which nothing could be read counts as measured."""
    return [ledger for ledger in result.ledgers if (ledger.kind if ledger.kind in KINDS else "measured") == kind]


def ledger_notes(results: Sequence[ModelResult]) -> Bullets | None:
    """Where the joules of each line are from, said once for the models and scenarios that share it."""
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
    """The rows of this run and of the cards with energy units: modelled and measured ones in tables of their own."""
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
    """Of a row with an energy unit; what is unavailable counts as measured when it is a reading of a counter."""
    if not row.is_energy:
        return None
    return ("measured" if row.metric.startswith("energy drawn") else "modelled") if row.value is None else row.kind


def _line(ledger: Ledger, contribution: str) -> LedgerLine | None:
    return next((line for line in ledger.lines if line.contribution == contribution), None)


def _joule(line: LedgerLine | None) -> str:
    """`1.2e-17 [1e-17 to 2e-17]`, and "at least" before the sum of what is known."""
    if line is None:
        return "-"
    if line.joule is None:
        return "unavailable"
    bound = "at least " if line.at_least else ""
    spread = f" [{line.low:.3g} to {line.high:.3g}]" if line.low is not None and line.low < line.high else ""
    return f"{bound}{line.joule:.3g}{spread}"
