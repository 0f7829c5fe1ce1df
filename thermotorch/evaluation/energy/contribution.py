"""The contributions that every device model prices, and the lines of its ledger."""

from abc import ABC, abstractmethod
from typing import ClassVar

from thermotorch.evaluation.energy.ledger import LANDAUER, Ledger, LedgerLine
from thermotorch.evaluation.energy.machine_run import MachineRun
from thermotorch.evaluation.energy.quantity import Interval
from thermotorch.units import ROOM_TEMPERATURE, kT_to_joule, landauer_bound


class Line:
    """Names of these lines."""

    TRAJECTORY = "heat of the trajectory"
    PREPARATION = "preparation of the noise"
    SWITCHING = "switching the potential on"
    READOUT = "read-out"
    PROGRAMMING = "input and programming"
    STATIC = "static bias current"


CONTRIBUTIONS = (
    Line.TRAJECTORY, Line.PREPARATION, Line.SWITCHING, Line.READOUT, Line.PROGRAMMING, Line.STATIC,
)  # fmt: skip
ONE_KT = kT_to_joule(1.0)  # joule, of a device at room temperature
SIMULATED = "thermodynamics of the simulated run"


class DeviceModel(ABC):
    """A model of a device, a frozen dataclass of quantities that prices the run of a machine."""

    name: ClassVar[str]

    @abstractmethod
    def lines(self, run: MachineRun) -> tuple[LedgerLine, ...]:
        """Return the contributions in joules per sample."""

    def ledger(self, model: str, run: MachineRun) -> Ledger:
        """Return the ledger of the model labelled `model`, with Landauer's bound for one bit per pixel."""
        return Ledger(model, self.name, (*self.lines(run), landauer(run.read_units)))


def modelled(contribution: str, joule: Interval, source: str, note: str = "") -> LedgerLine:
    """Return a line with the range of its quantities."""
    return LedgerLine(contribution, joule.value, joule.low, joule.high, "modelled", source, note)


def in_kT(
    contribution: str, multiple: float, kT: Interval, source: str, note: str = "", error: float = 0.0
) -> LedgerLine:
    """Return a line of `multiple` times kT, of either sign, with the ranges of kT (joule) and of the multiple."""
    ends = [bound * (multiple + shift) for bound in (kT.low, kT.high) for shift in (-error, error)]
    return LedgerLine(contribution, kT.value * multiple, min(ends), max(ends), "modelled", source, note)


def unknown(contribution: str, why: str) -> LedgerLine:
    """Return a line without a number."""
    return LedgerLine(contribution, None, None, None, "unavailable", why)


def landauer(bits: int) -> LedgerLine:
    """Return the scale of a ledger, the least heat of erasing one bit per pixel."""
    joule = landauer_bound(bits)
    note = f"least heat of erasing {bits} bits, one for each pixel, at {ROOM_TEMPERATURE:g} K: a scale, in no total"
    return LedgerLine(LANDAUER, joule, joule, joule, "modelled", "Landauer, IBM J. Res. Dev. 5, 183 (1961)", note)
