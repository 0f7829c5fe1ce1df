"""Provenance of the numbers: assumptions, notes, settings, and the commands that reproduce them."""

from collections.abc import Sequence

from thermotorch.evaluation.report.content import Bullets, Table
from thermotorch.evaluation.report.sides import Side, models
from thermotorch.evaluation.results import Comparison
from thermotorch.units import ROOM_TEMPERATURE

_ASSUMED = (
    "Modelled joules come from the named device models, for devices that were not available; measured joules come from "
    "the energy counters of this machine. The two never share a table.",
    "The heat of a thermodynamic device is the heat that its own dynamics releases at {kelvin:g} K on the way from "
    "noise to the sample, as followed step by step in the simulation. It is one line of the ledger, not the energy of "
    "a sample: the relaxation back to noise releases heat too, and the other lines give the energy of the surrounding "
    "circuits as far as it is known.",
    "The joules that a thermodynamic model draws on this machine are those of the digital computer that simulates the "
    "device, not those of the device.",
    "The arithmetic energy of a digital model is its number of operations times the energy of one operation on the "
    "stated class of hardware.",
    "Published ratios of 1e10 and more between the two kinds of machine compare ideal heat with arithmetic. None of "
    "them was measured at the wall.",
    "Distances are measured in the feature space {space}, {judge}. They compare only with each other and at equal "
    "sample counts, because a Frechet distance falls as the count grows.",
    "Models trained on different data are judged against the same real images. A model that has never seen some of the "
    "classes loses in the distances and in the class entropy; a model that receives labels has its class entropy "
    "fixed.",
)


def assumptions(comparison: Comparison) -> Bullets:
    """Return the assumptions behind every number."""
    words = {"kelvin": ROOM_TEMPERATURE, "space": comparison.space.name, "judge": comparison.space.description}
    return Bullets([text.format(**words) for text in _ASSUMED])


def notes(comparison: Comparison, sides: Sequence[Side]) -> Bullets:
    """Return the notes of the rows, each once for the metrics and models that share it."""
    shared: dict[str, tuple[dict, dict]] = {}
    rows = [(side.label, row, side.result.sampling) for side in sides if side.result for row in side.result.rows]
    rows += [("real images", row, "") for row in comparison.real]
    for label, row, sampling in rows:
        if row.note:
            note = row.note.replace(f", {sampling}", "") if sampling else row.note  # in the table of the models
            metrics, labels = shared.setdefault(note, ({}, {}))
            metrics[row.metric] = labels[label] = None
    return Bullets(
        [f"{'; '.join(metrics)} of {' and '.join(labels)}: {note}." for note, (metrics, labels) in shared.items()]
    )


def protocol_table(comparison: Comparison) -> Table:
    """Return a table of the shared settings and the hardware."""
    settings = comparison.protocol.to_dict() | {"judge": comparison.space.name, "hardware": comparison.hardware}
    rows = [[key.replace("_", " "), "default" if value is None else str(value)] for key, value in settings.items()]
    return Table(["setting", "value"], rows, "The protocol, the same for every model", words=True)


def commands(comparison: Comparison, sides: Sequence[Side]) -> Bullets:
    """Return the commands that reproduce this report, the models, and the rows of their cards."""
    lines = {"this report": comparison.command}
    for side in models(sides):
        lines[f"training of {side.name}"] = side.card.get("training", {}).get("command", "")
        recorded = dict.fromkeys(row.command for row in side.recorded if row.command)
        for number, command in enumerate(recorded, 1):
            part = f" ({number})" if len(recorded) > 1 else ""
            lines[f"rows in the card of {side.name}{part}"] = command
    return Bullets([f"{name}: `{command}`" for name, command in lines.items() if command])
