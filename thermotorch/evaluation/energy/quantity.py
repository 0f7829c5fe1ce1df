"""Numbers with a range and a source, the parameters of device models and classes of hardware."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

from thermotorch.names import unknown_name


@dataclass(frozen=True)
class Interval:
    """A non-negative number with its range; products, quotients and sums propagate the range.

    The range of a result is exact if every number occurs in it once, as in the ledger lines.

    Raises:
        ValueError: 0 <= low <= value <= high does not hold.
    """

    value: float
    low: float
    high: float

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.value <= self.high:
            raise ValueError(f"expected 0 <= low <= value <= high, found {self.low}, {self.value}, {self.high}")

    @classmethod
    def exact(cls, value: float) -> "Interval":
        return Interval(value, value, value)

    def __add__(self, other: "Interval | float") -> "Interval":
        other = _interval(other)
        return Interval(self.value + other.value, self.low + other.low, self.high + other.high)

    def __mul__(self, other: "Interval | float") -> "Interval":
        other = _interval(other)
        return Interval(self.value * other.value, self.low * other.low, self.high * other.high)

    def __truediv__(self, other: "Interval | float") -> "Interval":
        other = _interval(other)
        return Interval(self.value / other.value, self.low / other.high, self.high / other.low)

    def __rtruediv__(self, other: float) -> "Interval":
        return Interval.exact(other) / self

    def exp2(self) -> "Interval":
        """Return two to this power."""
        return Interval(2.0**self.value, 2.0**self.low, 2.0**self.high)

    __radd__, __rmul__ = __add__, __mul__


@dataclass(frozen=True)
class Quantity(Interval):
    """A property of a device: an `Interval` with its unit and source."""

    unit: str  # "" for a pure number
    source: str  # that of an assumption begins with "assumption" and gives the reason for the range

    @property
    def assumed(self) -> bool:
        """True for an assumption, False for a number from the literature."""
        return self.source.startswith("assumption")


def quantities(hardware: Any) -> Iterator[tuple[str, Quantity]]:
    """Yield the name and value of each quantity of a device model or class of hardware (a dataclass)."""
    for field in fields(hardware):
        if isinstance(quantity := getattr(hardware, field.name), Quantity):
            yield field.name, quantity


def with_value(hardware: Any, name: str, value: float) -> Any:
    """Return a copy of `hardware` in which one quantity has exactly this value."""
    return replace(hardware, **{name: replace(getattr(hardware, name), value=value, low=value, high=value)})


def named(kind: str, name: str, hardware: Iterable[Any]) -> Any:
    """Return the device model or class of hardware of that name; a ValueError lists the known ones."""
    known = {each.name: each for each in hardware}
    if name not in known:
        raise unknown_name(kind, name, known)
    return known[name]


def _interval(number: Interval | float) -> Interval:
    return number if isinstance(number, Interval) else Interval.exact(number)
