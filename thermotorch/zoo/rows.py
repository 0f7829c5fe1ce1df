"""One number with its provenance: the row of a model card, of a comparison and of a report."""

import math
import operator
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from thermotorch.names import unknown_name

KINDS = ("measured", "modelled", "unavailable")
ENERGY_UNITS = ("J", "kT", "FLOP")  # the first words of units of heat, work and arithmetic
_REQUIRED = ("metric", "value", "unit", "num_samples", "seed", "kind")
_OMITTED = ("stderr", "note", "low", "high")  # left out of a card when empty


@dataclass(frozen=True)
class Row:
    """One result.

    Args:
        metric: the quantity; rows of two models with the same metric stand side by side.
        value: the number; None exactly when the kind is "unavailable".
        unit: the unit, "" for a pure number.
        num_samples: number of generated samples that the value is computed from; 0 for a property of the model alone,
            such as its size.
        seed: seed of those samples.
        kind: "measured" on this machine, "modelled" for a device that was not at hand, or "unavailable".
        stderr: standard error of the value, in its unit.
        low, high: ends of the 95 % interval, in the unit of the value, where one was determined.
        command: the command that reproduces the number.
        note: caveats that belong beside the number.

    Raises:
        ValueError: a field of the wrong type or out of range; the message names the row and the field.
    """

    metric: str
    value: float | None
    unit: str
    num_samples: int
    seed: int
    kind: str
    stderr: float | None = None
    command: str = ""
    note: str = ""
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        for name in ("metric", "unit", "kind", "command", "note"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(f"{name} of row {self.metric!r}: expected a string, found {getattr(self, name)!r}")
        for name in ("num_samples", "seed"):
            try:
                object.__setattr__(self, name, operator.index(getattr(self, name)))
            except TypeError:
                raise ValueError(
                    f"{name} of row {self.metric!r}: expected an integer, found {getattr(self, name)!r}"
                ) from None
        for name in ("value", "stderr", "low", "high"):
            value = getattr(self, name)
            if hasattr(value, "__float__") and not isinstance(value, int | float):  # a scalar of numpy or torch
                object.__setattr__(self, name, float(value))
        numbers = {name: getattr(self, name) for name in ("value", "stderr", "low", "high")}
        check_numbers(f"row {self.metric!r}", self.kind, "value", numbers)

    @property
    def known(self) -> float:
        """Return the value, or raise a ValueError if it is unavailable."""
        if self.value is None:
            raise ValueError(f"row {self.metric!r} is unavailable")
        return self.value

    @property
    def is_energy(self) -> bool:
        """Return True for a unit of heat, work or arithmetic; cards and reports list such rows separately."""
        return self.unit.partition(" ")[0] in ENERGY_UNITS

    def to_dict(self) -> dict[str, Any]:
        """Return the row as a card stores it, without an empty standard error, interval or note."""
        return {key: value for key, value in asdict(self).items() if not (key in _OMITTED and value in (None, ""))}

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> "Row":
        """Return the row that `to_dict` wrote.

        Raises:
            ValueError: no mapping, or a field that is missing, unknown or wrong.
        """
        if not isinstance(row, Mapping):
            raise ValueError(f"row: expected a mapping, found {row!r:.80}")
        names = [field.name for field in fields(cls)]
        for key in row:
            if key not in names:
                raise unknown_name("field of a row", key, names)
        if missing := [name for name in _REQUIRED if name not in row]:
            raise ValueError(f"row {row.get('metric')!r}: missing {', '.join(missing)}")
        return cls(**row)


def check_numbers(label: str, kind: str, name: str, numbers: Mapping[str, Any]) -> None:
    """Raise a ValueError unless the number `name`, its `low` and `high`, and the kind agree, and all are finite."""
    value, low, high = (numbers[key] for key in (name, "low", "high"))
    if kind not in KINDS:
        raise ValueError(f"kind of {label}: expected one of {', '.join(KINDS)}, found {kind!r}")
    if (value is None) != (kind == "unavailable"):
        raise ValueError(
            f"{label}: {name} is None exactly when the kind is 'unavailable', found {value!r} and {kind!r}"
        )
    if (low is None) != (high is None) or (low is not None and value is None):
        raise ValueError(f"{label}: low and high are given together, and only with {name}")
    for key, number in numbers.items():
        if number is not None and not (isinstance(number, int | float) and math.isfinite(number)):
            raise ValueError(f"{key} of {label}: expected a finite number, found {number!r}")


def unavailable(metric: str, unit: str, seed: int, note: str) -> Row:
    """Return the row of a number that could not be determined; `note` gives the reason."""
    return Row(metric, None, unit, num_samples=0, seed=seed, kind="unavailable", note=note)


def joined(*parts: str) -> str:
    """Join the non-empty parts of a note with commas."""
    return ", ".join(part for part in parts if part)


def rows_of(card: Mapping[str, Any]) -> list[Row]:
    """Return the rows of a model card, or of another record with "metrics" and "energy"."""
    return [Row.from_dict(row) for row in (*card.get("metrics", ()), *card.get("energy", ()))]


def by_kind(rows: Iterable[Row]) -> dict[str, list[dict[str, Any]]]:
    """Split rows as a model card does: units of joule, kT and operations under "energy", the rest under "metrics"."""
    parts: dict[str, list[dict[str, Any]]] = {"metrics": [], "energy": []}
    for row in rows:
        parts["energy" if row.is_energy else "metrics"].append(row.to_dict())
    return parts
