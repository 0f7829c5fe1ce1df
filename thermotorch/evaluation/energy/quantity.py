"""Numbers with a range and a source: what the device models and the classes of hardware are made of."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

from thermotorch.names import unknown_name


@dataclass(frozen=True)
class Interval:
    """A non-negative number with the range it may lie in; products, quotients and sums carry the range along.

    The range of a result is exact when every number occurs in it once, as all do that stand in a ledger line.

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
        """Two to this power."""
        return Interval(2.0**self.value, 2.0**self.low, 2.0**self.high)

    def at_least(self, least: float) -> "Interval":
        """The larger of this and a number."""
        return Interval(max(self.value, least), max(self.low, least), max(self.high, least))

    __radd__, __rmul__ = __add__, __mul__


@dataclass(frozen=True)
class Quantity(Interval):
    """A named property of a device: an `Interval` with its unit and where it is from.

    Args:
        value, low, high: best estimate and range.
        unit: "" for a pure number.
        source: where it is from; begins with "assumption" where it is one, and then says why this range.
    """

    unit: str
    source: str

    @property
    def assumed(self) -> bool:
        """Whether it is an assumption rather than a number from the literature."""
        return self.source.startswith("assumption")


def quantities(hardware: Any) -> Iterator[tuple[str, Quantity]]:
    """Name and quantity of every one that a device model or a class of hardware (a dataclass) is made of."""
    for field in fields(hardware):
        if isinstance(quantity := getattr(hardware, field.name), Quantity):
            yield field.name, quantity


def with_value(hardware: Any, name: str, value: float) -> Any:
    """A copy of `hardware` in which one quantity has another value, exactly."""
    return replace(hardware, **{name: replace(getattr(hardware, name), value=value, low=value, high=value)})


def named(kind: str, name: str, hardware: Iterable[Any]) -> Any:
    """Return the device model or class of hardware of that name.

    Raises:
        ValueError: an unknown name; the message lists the known ones.
    """
    known = {each.name: each for each in hardware}
    if name not in known:
        raise unknown_name(kind, name, known)
    return known[name]


def _interval(number: Interval | float) -> Interval:
    return number if isinstance(number, Interval) else Interval.exact(number)
