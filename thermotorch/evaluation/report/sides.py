"""The models of a comparison as the report sees them: result, card and colour under one label."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from thermotorch.evaluation.results import Comparison, ModelResult
from thermotorch.zoo.rows import Row

# Okabe and Ito's colours, which colour-blind readers tell apart, in an order of falling contrast to white.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#a0438a", "#8a6d00", "#3a8fc4", "#5a5a5a", "#000000")


@dataclass(frozen=True)
class Side:
    """One entry of a comparison.

    Args:
        label: unique in the comparison.
        name: of the model; several labels may share it, for one model sampled in several ways.
        result: None when it was not reached.
        card: of the model; empty when there is none.
        colour: in every figure, `#rrggbb`; the ninth entry has that of the first again.
    """

    label: str
    name: str
    result: ModelResult | None
    card: Mapping
    colour: str

    @property
    def recorded(self) -> list[Row]:
        """The rows of the card."""
        return [Row.from_dict(row) for row in (*self.card.get("metrics", ()), *self.card.get("energy", ()))]


def sides_of(comparison: Comparison, cards: Mapping[str, Mapping]) -> list[Side]:
    """All entries, in order; `cards` is by model name."""
    return [
        Side(label, name, comparison.results.get(label), cards.get(name, {}), _COLOURS[k % len(_COLOURS)])
        for k, (label, name) in enumerate(comparison.entries.items())
    ]


def finished(sides: Sequence[Side]) -> list[ModelResult]:
    """The results there are, in order."""
    return [side.result for side in sides if side.result is not None]


def models(sides: Sequence[Side]) -> Iterator[Side]:
    """The first side of each model: what is true of a model however it is sampled is said once."""
    seen = set()
    for side in sides:
        if side.name not in seen:
            seen.add(side.name)
            yield side
