"""The order of the report: verdict, pictures, curves, quality, energy, assumptions and commands."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from thermotorch.evaluation.report import energy_tables, provenance, quality_tables
from thermotorch.evaluation.report.content import Block, Bullets, Paragraph, Report, Section
from thermotorch.evaluation.report.energy_figures import energy_figures
from thermotorch.evaluation.report.pictures import films, sample_grids
from thermotorch.evaluation.report.quality_figures import classes, curves
from thermotorch.evaluation.report.ratios import ratios
from thermotorch.evaluation.report.sides import Side, finished, sides_of
from thermotorch.evaluation.report.verdict import verdict
from thermotorch.evaluation.results import Comparison

_NAMED = 3  # models in the title
_NO_VERDICT = "There is nothing to compare yet: a verdict needs two finished models."
_KEY = (
    "↓ lower is better, ↑ higher is better; ± one standard error; square brackets: 95 % interval; dash: not available."
)


def report_of(comparison: Comparison, cards: Mapping[str, Mapping]) -> Report:
    """Return the report of a comparison, complete or interrupted."""
    sides = sides_of(comparison, cards)
    parts: tuple[tuple[str, str, Iterable[Block | None]], ...] = (
        ("verdict", "Verdict", [verdict(comparison, finished(sides)) or Paragraph(_NO_VERDICT)]),
        ("samples", "Samples", _samples(comparison, sides)),
        ("curves", "Distance against steps and observation time", curves(comparison, sides)),
        ("quality", "Quality and speed", _quality(comparison, sides)),
        ("energy", "Energy", _energy(sides)),
        ("assumed", "Assumptions", [provenance.assumptions(comparison)]),
        ("notes", "Notes on the numbers", [provenance.notes(comparison, sides)]),
        ("protocol", "Protocol and commands",
         [provenance.protocol_table(comparison), provenance.commands(comparison, sides)]),
    )  # fmt: skip
    sections = [Section(key, title, content) for key, title, blocks in parts if (content := [b for b in blocks if b])]
    return Report(_title(comparison), list(_lead(comparison, sides)), sections)


def _title(comparison: Comparison) -> str:
    names, ways = list(dict.fromkeys(comparison.entries.values())), len(comparison.entries)
    if len(names) == 1:
        return f"{names[0]} measured" if ways == 1 else f"{names[0]} in {ways} ways"
    return (
        f"{len(names)} models compared" if len(names) > _NAMED else f"{', '.join(names[:-1])} and {names[-1]} compared"
    )


def _lead(comparison: Comparison, sides: Sequence[Side]) -> Iterator[Block]:
    if missing := [side.label for side in sides if side.result is None]:
        yield Paragraph(
            f"Not finished: {', '.join(missing)}. The report shows the models measured so far.", warning=True
        )
    protocol = comparison.protocol
    settings = f"{protocol.num_samples:,} samples from each model, seed {protocol.seed}"
    yield Paragraph(f"Protocol `{protocol.name}`: {settings}, on {comparison.hardware}.")


def _samples(comparison: Comparison, sides: Sequence[Side]) -> Iterator[Block | None]:
    if results := finished(sides):
        yield sample_grids(comparison.protocol, results)
        yield films(comparison.protocol, results)


def _quality(comparison: Comparison, sides: Sequence[Side]) -> Iterator[Block | None]:
    yield quality_tables.models_table(sides)
    notes = {side.name: side.card.get("notes") for side in sides}
    yield Bullets([f"{name}: {note}" for name, note in notes.items() if note])
    yield Paragraph(_KEY)
    yield from quality_tables.measured_tables(comparison, sides)
    yield from quality_tables.recorded_tables(comparison, sides)
    yield from classes(comparison.protocol, sides)


def _energy(sides: Sequence[Side]) -> Iterator[Block | None]:
    results = finished(sides)
    for kind in energy_tables.KINDS:
        yield from energy_figures(sides, kind)
        yield from energy_tables.ledger_tables(results, kind)
    yield from ratios(sides)
    yield from energy_tables.energy_row_tables(sides)
    if sources := energy_tables.ledger_notes(results):
        yield Paragraph("Sources of the joules in the ledgers:")
        yield sources
