"""One number with what it takes to trust it: the row of a model card and of a report."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from thermotorch.names import unknown_name

KINDS = ("measured", "modelled", "unavailable")
ENERGY_UNITS = ("J", "kT", "FLOP")  # what units of heat, work and arithmetic begin with


@dataclass(frozen=True)
class Row:
    """One result.

    Args:
        metric: what was determined; rows of two models with the same metric stand side by side.
        value: the number; None exactly when the kind is "unavailable".
        unit: its unit, "" for a pure number.
        num_samples: how many generated samples it rests on; 0 for a property of the model alone, such as its size.
        seed: the seed they were generated with.
        kind: "measured" on this machine, "modelled" for a device that was not at hand, or "unavailable".
        stderr: standard error of the value, in its unit.
        low, high: ends of its 95 % interval, in its unit, where one was determined.
        command: what to type to get it again.
        note: what a reader must know beside the number.

    Raises:
        ValueError: names the field and what it may hold.
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
        if self.kind not in KINDS:
            raise ValueError(f"kind of row {self.metric!r}: expected one of {', '.join(KINDS)}, found {self.kind!r}")
        if (self.value is None) != (self.kind == "unavailable"):
            raise ValueError(
                f"row {self.metric!r}: the value is None exactly when the kind is 'unavailable', "
                f"found {self.value!r} and {self.kind!r}"
            )
        if (self.low is None) != (self.high is None) or (self.low is not None and self.value is None):
            raise ValueError(f"row {self.metric!r}: low and high are given together, and only with a value")
        for name in ("value", "stderr", "low", "high"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise ValueError(f"{name} of row {self.metric!r}: expected a finite number, found {value}")

    @property
    def is_energy(self) -> bool:
        """Whether it is about heat, work or arithmetic; cards and reports keep such rows apart from the others."""
        return self.unit.partition(" ")[0] in ENERGY_UNITS

    def to_dict(self) -> dict[str, Any]:
        """The row as it stands in a card: without the standard error, the interval or the note when there is none."""
        optional = ("stderr", "note", "low", "high")
        return {key: value for key, value in asdict(self).items() if not (key in optional and value in (None, ""))}

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> "Row":
        """The row that `to_dict` wrote.

        Raises:
            ValueError: a field that is missing or not known.
        """
        names = [field.name for field in fields(cls)]
        for key in row:
            if key not in names:
                raise unknown_name("field of a row", key, names)
        if missing := [name for name in names[:6] if name not in row]:
            raise ValueError(f"row {row.get('metric')!r}: missing {', '.join(missing)}")
        return cls(**row)


def unavailable(metric: str, unit: str, seed: int, note: str) -> Row:
    """The row of a number that could not be determined; `note` says why."""
    return Row(metric, None, unit, num_samples=0, seed=seed, kind="unavailable", note=note)


def joined(*parts: str) -> str:
    """A note of several parts, without the empty ones."""
    return ", ".join(part for part in parts if part)


def by_kind(rows: Iterable[Row]) -> dict[str, list[dict[str, Any]]]:
    """Plain rows as a model card keeps them: those in joule, kT and operations under "energy", the others under "metrics"."""
    found: dict[str, list[dict[str, Any]]] = {"metrics": [], "energy": []}
    for row in rows:
        found["energy" if row.is_energy else "metrics"].append(row.to_dict())
    return found
