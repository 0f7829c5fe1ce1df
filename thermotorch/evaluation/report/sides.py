"""The sides of a comparison in a report: result, card and colour under one label."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from thermotorch.evaluation.results import Comparison, ModelResult
from thermotorch.zoo.rows import Row, rows_of

# Okabe and Ito's colours, which colour-blind readers tell apart, in an order of falling contrast to white.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#a0438a", "#8a6d00", "#3a8fc4", "#5a5a5a", "#000000")


@dataclass(frozen=True)
class Side:
    """One entry of a comparison."""

    label: str  # unique in the comparison
    name: str  # of the model, which labels of one model sampled in several ways share
    result: ModelResult | None  # None if it was not reached
    card: Mapping  # of the model, empty if there is none
    colour: str  # in every figure, `#rrggbb`, repeated from the ninth entry on

    @property
    def recorded(self) -> list[Row]:
        """The rows of the card."""
        return rows_of(self.card)


def sides_of(comparison: Comparison, cards: Mapping[str, Mapping]) -> list[Side]:
    """Return the sides of all entries in order; `cards` is by model name."""
    return [
        Side(label, name, comparison.results.get(label), cards.get(name, {}), _COLOURS[k % len(_COLOURS)])
        for k, (label, name) in enumerate(comparison.entries.items())
    ]


def finished(sides: Sequence[Side]) -> list[ModelResult]:
    """Return the available results in order."""
    return [side.result for side in sides if side.result is not None]


def models(sides: Sequence[Side]) -> Iterator[Side]:
    """Yield the first side of each model, for what does not depend on the sampler."""
    seen = set()
    for side in sides:
        if side.name not in seen:
            seen.add(side.name)
            yield side
