"""The energy of one sample by contribution: every joule of a comparison stands in a ledger."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from thermotorch.zoo.rows import check_numbers

LANDAUER = "Landauer bound"  # a scale for the other lines: last, and in no total
TOTAL = "total"
PARTIAL = "total, at least"  # of a ledger with unknown contributions


@dataclass(frozen=True)
class LedgerLine:
    """One contribution to the energy of a sample; a ValueError for fields that contradict each other."""

    contribution: str
    joule: float | None  # per sample; None exactly when the kind is "unavailable". Negative where energy is gained
    low: float | None  # range that the uncertainty of the model leaves around `joule`; None where none is stated
    high: float | None
    kind: str  # "modelled" for a device that was not at hand, "measured" on this machine, or "unavailable"
    source: str
    note: str = ""  # caveats

    def __post_init__(self) -> None:
        label = f"ledger line {self.contribution!r}"
        check_numbers(label, self.kind, "joule", {name: getattr(self, name) for name in ("joule", "low", "high")})
        if self.joule is not None and not self.least <= self.joule <= self.most:
            raise ValueError(f"{label}: expected low <= joule <= high, found {self.low}, {self.joule}, {self.high}")

    @property
    def known(self) -> float:
        """The joules of a line that has them; ValueError for one that is unavailable."""
        if self.joule is None:
            raise ValueError(f"ledger line {self.contribution!r} is unavailable")
        return self.joule

    @property
    def least(self) -> float:
        """The lower end of the range, or the joules themselves without one."""
        return self.known if self.low is None else self.low

    @property
    def most(self) -> float:
        """The upper end of the range, or the joules themselves without one."""
        return self.known if self.high is None else self.high

    @property
    def at_least(self) -> bool:
        """True for a sum that lacks contributions, which is displayed with "at least"."""
        return self.contribution == PARTIAL

    @property
    def is_total(self) -> bool:
        return self.contribution in (TOTAL, PARTIAL)


@dataclass(frozen=True)
class Ledger:
    """Every contribution to the energy of one sample of a model, on one device or class of hardware.

    Raises:
        ValueError: modelled and measured lines in one ledger, a contribution twice, or a scale that is not last.
    """

    model: str  # its label in the comparison
    scenario: str  # name of the device or hardware
    lines: tuple[LedgerLine, ...]  # all modelled or all measured, apart from unavailable ones; Landauer's bound last

    def __post_init__(self) -> None:
        where = f"ledger of {self.model!r}, {self.scenario!r}"
        kinds = {line.kind for line in self.lines} - {"unavailable"}
        if len(kinds) > 1:
            raise ValueError(f"{where}: modelled and measured joules never share a ledger; make one of each")
        names = [line.contribution for line in self.lines]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{where}: {', '.join(repeated)} more than once")
        if LANDAUER in names[:-1]:
            raise ValueError(f"{where}: {LANDAUER} is a scale and comes last")

    def line(self, contribution: str) -> LedgerLine | None:
        """Return the line of a contribution, or Landauer's bound; None if there is none."""
        return next((line for line in self.lines if line.contribution == contribution), None)

    @property
    def contributions(self) -> tuple[LedgerLine, ...]:
        """The lines without the scale."""
        return tuple(line for line in self.lines if line.contribution != LANDAUER)

    @property
    def missing(self) -> tuple[str, ...]:
        """Contributions of unknown energy, which the total lacks."""
        return tuple(line.contribution for line in self.contributions if line.joule is None)

    @property
    def kind(self) -> str:
        """ "modelled" or "measured"; "unavailable" when no contribution is known."""
        return next((line.kind for line in self.contributions if line.joule is not None), "unavailable")

    @property
    def total(self) -> LedgerLine:
        """Sum of the known contributions, `at_least` where others are unknown; its ends are the sums of their ends."""
        known = [line for line in self.contributions if line.joule is not None]
        if not known:
            return LedgerLine(TOTAL, None, None, None, "unavailable", "no contribution is known")
        name, note = (PARTIAL, f"lower bound: without {', '.join(self.missing)}") if self.missing else (TOTAL, "")
        return LedgerLine(name, *_sums(known), self.kind, "sum of the contributions", note)

    @classmethod
    def sum(cls, parts: Mapping[str, "Ledger"]) -> "Ledger":
        """Return the ledger of a machine that is made of parts, each with the same contributions and scale.

        A contribution is the sum over the parts, which its note lists; unavailable if it is so for a part. The ends of
        its range are the sums of their ends, since one device model and its assumptions hold for all parts.

        Args:
            parts: ledgers by the name of the part, one at least.
        """
        first = next(iter(parts.values()))
        lines = []
        for line in first.contributions:
            name, of_parts = line.contribution, [part.line(line.contribution) for part in parts.values()]
            known = [other for other in of_parts if other and other.joule is not None]
            if len(known) < len(parts):
                lines.append(LedgerLine(name, None, None, None, "unavailable", line.source, line.note))
            else:
                shares = "; ".join(f"{part} {other.known:.2g} J" for part, other in zip(parts, known, strict=True))
                lines.append(LedgerLine(name, *_sums(known), line.kind, line.source, shares))
        scale = first.line(LANDAUER)
        return cls(first.model, first.scenario, (*lines, *([scale] if scale else [])))

    def to_dict(self) -> dict[str, Any]:
        """Return the ledger as plain values."""
        return {"model": self.model, "scenario": self.scenario, "lines": [asdict(line) for line in self.lines]}

    @classmethod
    def from_dict(cls, ledger: Mapping[str, Any]) -> "Ledger":
        """Return the ledger that `to_dict` wrote.

        Raises:
            ValueError: fields that contradict each other.
            KeyError, TypeError: a missing or an unknown field.
        """
        return cls(ledger["model"], ledger["scenario"], tuple(LedgerLine(**line) for line in ledger["lines"]))


def _sums(lines: Sequence[LedgerLine]) -> tuple[float, float, float]:
    """Return the sums of the joules of known lines and of both ends of their ranges."""
    return sum(line.known for line in lines), sum(line.least for line in lines), sum(line.most for line in lines)
