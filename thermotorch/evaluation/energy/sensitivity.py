"""Sensitivity of a ratio of energies to each assumption."""

from dataclasses import dataclass
from typing import Any

from thermotorch.evaluation.energy.ledger import TOTAL, Ledger
from thermotorch.evaluation.energy.quantity import Quantity, quantities, with_value
from thermotorch.evaluation.energy.ratio import ratio

DECISIVE = 10.0  # factor by which a decisive assumption moves the ratio


@dataclass(frozen=True)
class Side:
    """One side of a ratio, whose hardware can be varied."""

    label: str  # of the model
    hardware: Any  # device model or class of hardware, a dataclass of `Quantity` with a method `ledger`
    work: Any  # the `MachineRun` or `DigitalCount` that it prices
    line: str = TOTAL  # or one contribution

    def ledger(self) -> Ledger:
        """Return the ledger of the hardware."""
        return self.hardware.ledger(self.label, self.work)


@dataclass(frozen=True)
class Effect:
    """Effect of one quantity on a ratio."""

    label: str  # of the model
    scenario: str
    name: str
    quantity: Quantity
    at_low: float  # the ratio at its low end over the ratio at its value
    at_high: float

    @property
    def factor(self) -> float:
        """The larger of the two changes, up or down, at least one."""
        return max(self.at_low, 1 / self.at_low, self.at_high, 1 / self.at_high)

    @property
    def decisive(self) -> bool:
        return self.factor >= DECISIVE


def sensitivity(above: Side, below: Side) -> tuple[Effect, ...]:
    """Vary each quantity of both sides of the ratio above / below between its ends, the others at their values.

    Returns:
        One effect per quantity, the strongest first.

    Raises:
        ValueError: see `ratio`.

    Cost: two ledgers per quantity, microseconds each.
    """
    plain = _value(above, below)
    effects = []
    for side in (above, below):
        for name, quantity in quantities(side.hardware):
            changed = []
            for value in (quantity.low, quantity.high):
                other = Side(side.label, with_value(side.hardware, name, value), side.work, side.line)
                changed.append(_value(other, below) if side is above else _value(above, other))
            at_low, at_high = (value / plain for value in changed)
            effects.append(Effect(side.label, side.hardware.name, name, quantity, at_low, at_high))
    return tuple(sorted(effects, key=lambda effect: -effect.factor))


def _value(above: Side, below: Side) -> float:
    return ratio(above.ledger(), below.ledger(), above_line=above.line, below_line=below.line).value
