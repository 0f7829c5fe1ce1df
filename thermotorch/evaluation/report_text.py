"""The words and tables of `report.md`."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import zip_longest

from thermotorch.evaluation.energy import ARITHMETIC, HARDWARE, HEAT, JOULE, OVERHEAD, WORK
from thermotorch.evaluation.markdown import bullet, number, table
from thermotorch.evaluation.results import Comparison, ModelResult
from thermotorch.evaluation.rows import Row
from thermotorch.units import ROOM_TEMPERATURE

HEAT_IN_JOULE = f"{HEAT} at {ROOM_TEMPERATURE:g} K"
DRAWN = "energy drawn, "
_ENERGY_UNITS = ("J", "kT")  # these rows have their own section, where modelled and measured stand in different columns
_ASSUMED = (
    "The thermodynamic device is ideal: its energy is the heat of its own dynamics at {kelvin:g} K, which the "
    "simulation follows step by step. Preparing the noise, programming couplings and biases, control, and read-out by "
    "converters, picojoules each, are not modelled yet and exceed that heat by far.",
    "The joules drawn by the thermodynamic model on this machine are those of a digital computer that simulates it, "
    "not those of the device.",
    "The arithmetic energy of the digital model is its operations times the joules of one operation on a stated class "
    "of hardware. Memory traffic and everything else come on top.",
    "Published ratios of 1e10 and more between the two kinds of machine are of the same making, ideal heat against "
    "arithmetic. None is a measurement at the wall.",
    "The distances are taken in {space}, {judge}. They compare with each other only, at equal sample counts, because a "
    "Frechet distance falls as the count grows.",
    "Models trained on different data are judged against the same real digits: a model that never saw a digit pays for "
    "it in the distances and in the class entropy, and a model that is told the class has its class entropy given.",
)


def report_text(comparison: Comparison, cards: Mapping[str, Mapping], picture: str) -> str:
    """The content of `report.md`; `picture` is the file name of the sample grids."""
    done = comparison.results
    protocol = comparison.protocol
    lines = [f"# {' and '.join(comparison.labels)} compared", ""]
    if missing := [name for name in comparison.labels if name not in done]:
        lines += [f"**Not finished:** {', '.join(missing)}. What follows is what was measured before.", ""]
    settings = f"{protocol.num_samples:,} samples from each model, seed {protocol.seed}"
    lines += [f"Protocol `{protocol.name}`: {settings}, on {comparison.hardware}.", ""]
    if done:
        lines += [f"![samples, side by side]({picture})", ""]
    if verdict := list(_verdict(comparison)):
        lines += ["## Verdict", "", *verdict, ""]
    lines += ["## The models", "", _models(comparison, cards), ""]
    lines += [bullet(f"{name}: {note}") for name in comparison.labels if (note := cards.get(name, {}).get("notes"))] + [
        ""
    ]
    lines += ["## Quality and speed", "", _TABLE_KEY, "", _quality(comparison, cards), ""]
    if done:
        lines += ["Classes the judge saw:", "", _classes(done.values()), ""]
    lines += ["## Energy", "", *_energy(comparison, cards)]
    space = {"space": comparison.space.name, "judge": comparison.space.description}
    lines += [
        "## What was assumed",
        "",
        *(bullet(text.format(kelvin=ROOM_TEMPERATURE, **space)) for text in _ASSUMED),
        "",
    ]
    lines += ["## What the numbers rest on", "", *_notes(comparison), ""]
    lines += ["## Commands", "", *_commands(comparison, cards)]
    return "\n".join(lines).rstrip() + "\n"


_TABLE_KEY = (
    "`this run` was measured just now; `card` is what was recorded when the model was released. "
    "↓ less is better, ↑ more is better; ± is one standard error."
)
_BETTER = {"Frechet distance": "↓", "kernel distance": "↓", "recognised fraction": "↑", "time": "↓",
           "class-conditional accuracy": "↑", "distance to training images": "↑"}  # fmt: skip


def _verdict(comparison: Comparison) -> Iterator[str]:
    """One sentence for each question that has an answer."""
    frechet = f"Frechet distance ({comparison.space.name})"
    floor = next((f"; as many real digits score {_value(row)}" for row in comparison.real if row.metric == frechet), "")
    yield from _ranking(comparison, "Closest to real digits", frechet, floor)
    yield from _ranking(comparison, "Most often recognised as a digit", "recognised fraction", highest=True)
    yield from _ranking(comparison, "Fastest on this machine", "time")
    yield from _ratios(comparison)


def _ranking(
    comparison: Comparison, title: str, metric: str, remark: str = "", *, highest: bool = False
) -> Iterator[str]:
    rows = {
        name: row
        for name, result in comparison.results.items()
        if (row := result.row(metric)) and row.value is not None
    }
    if len(rows) < 2:
        return
    best, *others = sorted(rows, key=lambda name: rows[name].value, reverse=highest)
    row = rows[best]
    label = f"{metric} " if metric.startswith("Frechet") else ""
    unit = f" {row.unit}" if row.unit else ""
    against = " and ".join(f"{_value(rows[name])} of {name}" for name in others)
    if _same(row, rows[others[0]]):
        answer = f"no difference beyond two standard errors, {label}{_value(row)}{unit} of {best}, {against}"
    else:
        answer = f"**{best}**, {label}{_value(row)}{unit} against {against}"
    yield bullet(f"{title}: {answer} ({row.kind}, {row.num_samples:,} samples each, seed {row.seed}){remark}.")


def _same(a: Row, b: Row) -> bool:
    """Whether two values differ by less than two standard errors of their difference; not if these are unknown."""
    return None not in (a.stderr, b.stderr) and abs(a.value - b.value) < 2 * (a.stderr**2 + b.stderr**2) ** 0.5


def _ratios(comparison: Comparison) -> Iterator[str]:
    """Every digital model's energy over every thermodynamic device's heat: both sides and their kinds in one line."""
    results = comparison.results.values()
    devices = [result for result in results if result.thermodynamic]
    digital_models = [result for result in results if not result.thermodynamic]
    for digital in digital_models:
        for device in devices:
            heat = device.row(HEAT_IN_JOULE)
            below = f"heat of {device.label} (modelled, ideal device, heat only)"
            for hardware in HARDWARE:
                above = f"arithmetic of {digital.label} (modelled, {hardware.name}, arithmetic only)"
                row = digital.row(f"{ARITHMETIC}, {hardware.name}")
                yield bullet(f"Energy of a sample: {above} / {below} = {row.value / heat.value:.1e}.")
            for row in digital.rows:
                if row.metric.startswith(DRAWN) and row.value is not None:
                    above = f"joules drawn by {digital.label} here (measured, {row.metric.removeprefix(DRAWN)})"
                    yield bullet(f"Energy of a sample: {above} / {below} = {row.value / heat.value:.1e}.")
    if devices and digital_models:
        yield bullet(
            "No side of these ratios is power at the wall, and the samples they are about are not of one quality."
        )


def _models(comparison: Comparison, cards: Mapping[str, Mapping]) -> str:
    rows = []
    for name in comparison.labels:
        card, result = cards.get(name, {}), comparison.results.get(name)
        kind = "-" if result is None else "thermodynamic device, simulated" if result.thermodynamic else "digital"
        size = card.get("parameters") or (result and result.row("parameters").value)
        sampling = (result and result.sampling) or "-"
        rows.append([name, kind, sampling, number(size) if size else "-", _data(card.get("data", {}))])
    return table(["model", "kind", "sampled with", "parameters", "trained on"], rows, right=[3])


def _data(data: Mapping) -> str:
    """The `data` field of a card in words: `MNIST, digits 0 1 2, 1 image of each`."""
    words = [data.get("name", "-")]
    if data.get("digits"):
        words.append("digits " + " ".join(map(str, data["digits"])))
    if count := data.get("images_per_digit"):
        words.append(f"{count} image{'s' if count > 1 else ''} of each")
    return ", ".join(words)


def _quality(comparison: Comparison, cards: Mapping[str, Mapping]) -> str:
    """One line for each metric and source; its columns are the models, and what real images score."""

    def wanted(row: Row) -> bool:
        return not row.unit.startswith(_ENERGY_UNITS) and row.metric != "parameters"

    now = {name: list(filter(wanted, result.rows)) for name, result in comparison.results.items()}
    recorded = {name: list(filter(wanted, recorded_rows(cards.get(name, {})))) for name in comparison.labels}
    lines = []
    for metric in dict.fromkeys(row.metric for rows in (*now.values(), *recorded.values()) for row in rows):
        arrow = next((f" {arrow}" for start, arrow in _BETTER.items() if metric.startswith(start)), "")
        for source, rows, real in (("this run", now, comparison.real), ("card", recorded, [])):
            columns = [
                [row for row in rows_of if row.metric == metric]
                for rows_of in (*(rows.get(name, ()) for name in comparison.labels), real)
            ]
            for line in zip_longest(*columns):  # a card may hold one metric for several samplers
                lines.append([metric + arrow, source, *(_value(row) if row else "-" for row in line), *_origin(line)])
        for row in comparison.space.recorded:  # the judge's card says of which real images
            if row.metric.startswith(f"{metric} of real"):
                lines.append(
                    [row.metric + arrow, "card", *("-" for _ in comparison.labels), _value(row), *_origin([row])]
                )
    header = ["quantity", "source", *comparison.labels, "real digits", "unit", "samples", "seed", "kind"]
    return table(header, lines, right=range(2, len(comparison.labels) + 3))


def _origin(rows: Iterable[Row | None]) -> list[str]:
    """Unit, sample count, seed and kind of the rows in one line of a table."""
    rows = [row for row in rows if row]
    known = [row for row in rows if row.value is not None] or rows
    fields: list[Callable[[Row], str]] = [
        lambda row: row.unit or "-",
        lambda row: f"{row.num_samples:,}" if row.num_samples else "-",
        lambda row: str(row.seed),
        lambda row: row.kind,
    ]
    return [", ".join(dict.fromkeys(map(show, known))) for show in fields]


def _classes(results: Iterable[ModelResult]) -> str:
    results = list(results)
    header = ["samples of", *map(str, range(len(results[0].class_counts)))]
    rows = [[result.label, *(f"{count:,}" for count in result.class_counts)] for result in results]
    return table(header, rows, right=range(1, len(header)))


def _energy(comparison: Comparison, cards: Mapping[str, Mapping]) -> Iterator[str]:
    """Joules in columns that never mix modelled and measured, then the heat in its own unit, then the scales."""
    now = {name: result.rows for name, result in comparison.results.items()}
    sources = [
        (name, source, any(row.metric == HEAT for row in rows), rows)
        for name in comparison.labels
        for source, rows in (("this run", now.get(name, [])), ("card", recorded_rows(cards.get(name, {}))))
        if any(row.unit.startswith(_ENERGY_UNITS) for row in rows)
    ]
    lines = []
    for name, source, thermodynamic, rows in sources:
        heat, overhead = _cell(rows, HEAT_IN_JOULE), _cell(rows, OVERHEAD)
        arithmetic = _cell(rows, f"{ARITHMETIC}, {HARDWARE[0].name}")
        drawn = _cell(rows, DRAWN)
        measured = [drawn, "-"] if thermodynamic else ["-", drawn]
        energies = [row for row in rows if row.metric in (HEAT_IN_JOULE, f"{ARITHMETIC}, {HARDWARE[0].name}")]
        lines.append([name, source, heat, overhead, arithmetic, *measured, *_origin(energies)[1:3]])
    arithmetic = f"arithmetic, {HARDWARE[0].name} (modelled)"
    header = ["J per sample", "source", "device heat (modelled)", "device overhead (modelled)", arithmetic,
              "simulator (measured)", "baseline (measured)", "samples", "seed"]  # fmt: skip
    yield from (table(header, lines, right=range(2, 7)), "")

    heats = [(name, source, rows) for name, source, thermodynamic, rows in sources if thermodynamic]
    lines = [
        [name, source, *(_cell(rows, metric) for metric in (HEAT, f"{HEAT}, standard deviation", WORK)),
         *_origin([row for row in rows if row.metric == HEAT])[1:]]
        for name, source, rows in heats
    ]  # fmt: skip
    header = [
        "kT per sample",
        "source",
        "heat",
        "its standard deviation",
        "work of switching on",
        "samples",
        "seed",
        "kind",
    ]
    if lines:
        yield from (table(header, lines, right=range(2, 5)), "")

    digital = [result for result in comparison.results.values() if not result.thermodynamic]
    lines = [
        [result.label, hardware.name, _value(row), "modelled", row.note]
        for result in digital
        for hardware in HARDWARE
        if (row := result.row(f"{ARITHMETIC}, {hardware.name}"))
    ]
    if lines:
        yield from (table(["arithmetic of", "on", JOULE, "kind", "joules of one operation from"], lines, right=[2]), "")
    bounds = {
        row.metric: row
        for result in comparison.results.values()
        for row in result.rows
        if row.metric.startswith("Landauer")
    }
    for row in bounds.values():
        yield from (f"{row.metric}: {_value(row)} J ({row.kind}): {row.note}.", "")


def _cell(rows: Iterable[Row], metric: str) -> str:
    """The values of the rows whose metric begins so; the distinct ones with what tells them apart."""
    found = [row for row in rows if row.metric == metric or (metric == DRAWN and row.metric.startswith(DRAWN))]
    if len(found) < 2:
        return _value(found[0]) if found else "-"
    return "; ".join(f"{row.metric.removeprefix(DRAWN)} {_value(row)}" for row in found)


def _notes(comparison: Comparison) -> Iterator[str]:
    """What stands beside each number, said once for the metrics and models that share it."""
    notes: dict[str, tuple[dict, dict]] = {}
    sides = [(name, result.rows, result.sampling) for name, result in comparison.results.items()]
    for name, rows, sampling in [*sides, ("real digits", comparison.real, "")]:
        for row in rows:
            if row.note:
                note = row.note.replace(f", {sampling}", "") if sampling else row.note  # in the table of the models
                metrics, names = notes.setdefault(note, ({}, {}))
                metrics[row.metric] = names[name] = None
    for note, (metrics, names) in notes.items():
        yield bullet(f"{'; '.join(metrics)} of {' and '.join(names)}: {note}.")


def _commands(comparison: Comparison, cards: Mapping[str, Mapping]) -> Iterator[str]:
    lines = {"this report": comparison.command}
    for name in comparison.labels:
        card = cards.get(name, {})
        lines[f"training of {name}"] = card.get("training", {}).get("command", "")
        recorded = dict.fromkeys(row.command for row in recorded_rows(card) if row.command)
        lines[f"rows in the card of {name}"] = "; ".join(recorded)
    for what, command in lines.items():
        if command:
            yield f"- {what}: `{command}`"


def recorded_rows(card: Mapping) -> list[Row]:
    """The rows of a model card; none of an empty one."""
    return [Row.from_dict(row) for row in (*card.get("metrics", ()), *card.get("energy", ()))]


def _value(row: Row) -> str:
    return number(row.value, row.stderr)
