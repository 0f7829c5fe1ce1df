"""The contributions that every device model prices, under one name each, and how their lines are made."""

from thermotorch.evaluation.energy.ledger import LANDAUER, LedgerLine
from thermotorch.evaluation.energy.machine_run import MachineRun
from thermotorch.evaluation.energy.quantity import Interval
from thermotorch.units import ROOM_TEMPERATURE, kT_to_joule, landauer_bound

TRAJECTORY = "heat of the trajectory"
PREPARATION = "preparation of the noise"
SWITCHING = "switching the potential on"
READOUT = "read-out"
PROGRAMMING = "input and programming"
STATIC = "static bias current"
CONTRIBUTIONS = (TRAJECTORY, PREPARATION, SWITCHING, READOUT, PROGRAMMING, STATIC)

ONE_KT = kT_to_joule(1.0)  # joule, of a device at room temperature
SIMULATED = "thermodynamics of the simulated run"


def modelled(contribution: str, joule: Interval, source: str, note: str = "") -> LedgerLine:
    """A line with the range that the quantities in it leave."""
    return LedgerLine(contribution, joule.value, joule.low, joule.high, "modelled", source, note)


def in_kT(
    contribution: str, multiple: float, kT: Interval, source: str, note: str = "", error: float = 0.0
) -> LedgerLine:
    """A line of `multiple` times kT, of either sign, with the range of kT (joule) and of the multiple's error."""
    ends = [bound * (multiple + shift) for bound in (kT.low, kT.high) for shift in (-error, error)]
    return LedgerLine(contribution, kT.value * multiple, min(ends), max(ends), "modelled", source, note)


def unknown(contribution: str, why: str) -> LedgerLine:
    """A line without a number."""
    return LedgerLine(contribution, None, None, None, "unavailable", why)


def landauer(bits: int) -> LedgerLine:
    """The scale at the end: the least heat of erasing one bit for each pixel."""
    joule = landauer_bound(bits)
    note = f"least heat of erasing {bits} bits, one for each pixel, at {ROOM_TEMPERATURE:g} K: a scale, in no total"
    return LedgerLine(LANDAUER, joule, joule, joule, "modelled", "Landauer, IBM J. Res. Dev. 5, 183 (1961)", note)


def first_law(run: MachineRun) -> str:
    """Why switching adds nothing to the heat, with the numbers of the run."""
    return (
        f"on average {run.work_on:.4g} kT of work to switch on and {run.work_off:.4g} kT to switch off; over a cycle "
        f"this work is the heat of the trajectory and of the preparation, and is counted there"
    )
