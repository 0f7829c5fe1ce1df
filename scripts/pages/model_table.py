"""The shipped models as tables: what they are, and every number their cards hold about quality and energy."""

from collections.abc import Mapping, Sequence

from thermotorch.evaluation.report.markdown import bullet, table, with_unit
from thermotorch.zoo.rows import rows_of

# Said elsewhere, of one machine, or a detail of the card.
_SKIPPED = (
    "parameters", "time", "speed", "warm-up", "peak memory", "nearest training image", "Landauer", "top-2",
    "expected calibration", "accuracy on the"
)  # fmt: skip


def model_table(cards: Sequence[Mapping]) -> str:
    """Return two Markdown tables from model cards: the models, and their recorded numbers.

    Notes on the training stand between them; the commands that reproduce the numbers stand below.
    """
    models = [
        [f"`{card['name']}`", f"{card['parameters']:,}", _data(card["data"]), f"`{card['training']['command']}`",
         _effort(card["training"])]
        for card in cards
    ]  # fmt: skip
    rows, commands = [], []
    for card in cards:
        shown = [row for row in rows_of(card) if row.value is not None and not row.metric.startswith(_SKIPPED)]
        commands += [row.command for row in shown if row.command]
        rows += [
            [f"`{card['name']}`", row.metric, with_unit(row), f"{row.num_samples:,}" if row.num_samples else "",
             str(row.seed), row.kind]
            for row in shown
        ]  # fmt: skip
    notes = {card["name"]: card["training"].get("note") for card in cards}
    told = [bullet(f"training of `{name}`: {note}") for name, note in notes.items() if note]
    return "\n\n".join([
        table(["model", "parameters", "trained on", "with", "which took"], models, right=(1,)),
        *(["\n".join(told)] if told else []),
        table(["model", "number", "value", "samples", "seed", "kind"], rows, right=(3, 4)),
        "Commands that give these numbers:\n\n" + "\n".join(f"    {command}" for command in dict.fromkeys(commands)),
    ])  # fmt: skip


def _data(data: Mapping) -> str:
    """Describe the data set and the part of it that was used."""
    parts = [data.get("name", "nothing")]
    if data.get("digits") is not None:
        parts.append("digits " + ", ".join(map(str, data["digits"])))
    if data.get("images_per_digit") is not None:
        parts.append(f"{data['images_per_digit']} image of each")
    return "; ".join(parts)


def _effort(training: Mapping) -> str:
    """Describe the steps and time of the training."""
    return f"{training['steps']:,} steps, {_duration(training['seconds'])}" if training["steps"] else "nothing to train"


def _duration(seconds: float) -> str:
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.2g} {unit}"
    return f"{seconds:.2g} s"
