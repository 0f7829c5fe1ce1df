"""Tables of the models, of their samples and of their speed."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest

from thermotorch.evaluation.metrics import metric_of
from thermotorch.evaluation.report.content import Table
from thermotorch.evaluation.report.markdown import number
from thermotorch.evaluation.report.sides import Side, models
from thermotorch.evaluation.results import Comparison
from thermotorch.zoo.rows import Row

_SIDE_BY_SIDE = 4  # columns of models in one table, as many as fit on a sheet of paper
_ORIGIN = ("unit", "samples", "seed", "kind", "in")


def models_table(sides: Sequence[Side]) -> Table:
    """Return a table of the kind, sampling, size and training data of each model."""
    kinds = {None: "not reached", True: "thermodynamic device, simulated", False: "digital"}
    rows = []
    for side in sides:
        result = side.result
        kind = kinds[None if result is None else result.thermodynamic]
        size = side.card.get("parameters") or (result and (row := result.row("parameters")) and row.value)
        sampling = (result and result.sampling) or "-"
        rows.append([side.label, kind, sampling, number(size) if size else "-", _data(side.card.get("data", {}))])
    return Table(
        ["model", "kind", "sampled with", "parameters", "trained on"], rows, "The models", right=[3], words=True
    )


def _data(data: Mapping) -> str:
    """Describe the `data` field of a card: `MNIST, digits 0 1 2, 1 image of each`."""
    words = [data.get("name", "-")]
    if data.get("digits"):
        words.append("digits " + " ".join(map(str, data["digits"])))
    if count := data.get("images_per_digit"):
        words.append(f"{count} image{'s' if count > 1 else ''} of each")
    return ", ".join(words)


def measured_tables(comparison: Comparison, sides: Sequence[Side]) -> Iterator[Table]:
    """Yield tables of the rows of this run, a line for each metric; those of energy have their own section."""
    columns = {side.label: [row for row in side.result.rows if not row.is_energy] for side in sides if side.result}
    yield from side_by_side("Measured in this run", columns, {"real images": comparison.real})


def recorded_tables(comparison: Comparison, sides: Sequence[Side]) -> Iterator[Table]:
    """Yield tables of the rows of the model cards; none without cards."""
    columns = {side.name: [row for row in side.recorded if not row.is_energy] for side in models(sides)}
    real = []
    for row in comparison.space.recorded:  # the judge's card says of which real images
        metric, of_real, _ = row.metric.partition(" of real")
        if of_real:
            real.append(Row(**{**row.to_dict(), "metric": metric, "note": row.metric}))
    if any(columns.values()):
        yield from side_by_side("Recorded in the model cards", columns, {"real images": real})


def side_by_side(
    caption: str, columns: Mapping[str, Sequence[Row]], besides: Mapping[str, Sequence[Row]] | None = None
) -> Iterator[Table]:
    """Yield tables with a line for each metric and a column for each model, and `besides` in every table.

    A metric with several rows in one model takes as many lines.
    """
    labels, besides = list(columns), besides or {}
    for k in range(0, len(labels), _SIDE_BY_SIDE):
        shown = {label: columns[label] for label in labels[k : k + _SIDE_BY_SIDE]}
        metrics = dict.fromkeys(row.metric for rows in shown.values() for row in rows)
        shown |= {label: rows for label, rows in besides.items() if metrics.keys() & {row.metric for row in rows}}
        lines = []
        for metric in metrics:
            arrow = record.arrow if (record := metric_of(metric)) else ""
            for line in zip_longest(*([row for row in rows if row.metric == metric] for rows in shown.values())):
                name, _, space = metric.removesuffix(")").partition(" (thermotorch-")  # of the judge
                origin = [*_origin(line), f"thermotorch-{space}" if space else "-"]
                lines.append([name + arrow, *(shown_value(row) for row in line), *origin])
        if lines:
            numbers = range(1, len(shown) + 1)
            fine = range(len(shown) + 1, len(shown) + 1 + len(_ORIGIN))
            part = f" ({k // _SIDE_BY_SIDE + 1})" if len(labels) > _SIDE_BY_SIDE else ""
            yield Table(["quantity", *shown, *_ORIGIN], lines, caption + part, right=numbers, fine=fine)


def _origin(line: Iterable[Row | None]) -> list[str]:
    """Return unit, sample count, seed and kind of the rows in one line of a table."""
    rows = [row for row in line if row]
    known = [row for row in rows if row.value is not None] or rows
    fields: list[Callable[[Row], str]] = [
        lambda row: row.unit or "-",
        lambda row: f"{row.num_samples:,}" if row.num_samples else "-",
        lambda row: str(row.seed),
        lambda row: row.kind,
    ]
    return [", ".join(dict.fromkeys(map(show, known))) for show in fields]


def shown_value(row: Row | None) -> str:
    """Format a row as `1.24 ± 0.45 [0.9 to 1.9]` with error and interval, or as "unavailable"; "-" without a row."""
    if row is None:
        return "-"
    spread = f" [{row.low:.3g} to {row.high:.3g}]" if row.low is not None else ""
    return number(row.value, row.stderr) + spread
