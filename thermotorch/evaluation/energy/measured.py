"""Measured joules of a sample, less those of the idle hardware."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from thermotorch.evaluation.energy.ledger import Ledger, LedgerLine
from thermotorch.evaluation.energy.meter import EnergyMeter

SCENARIO = "this machine"
_REPEATS = 10_000  # more calls than this in one window mean that the work does nothing

MakeMeter = Callable[[], EnergyMeter]


@dataclass(frozen=True)
class Drawn:
    """Reading of one counter; no joules where it cannot be read."""

    counter: str  # its name in `EnergyMeter`
    source: str  # its kind, or the reason why there is no number
    gross: float | None  # joules per sample while the work ran
    idle: float | None  # joules per sample that the idle hardware would have drawn in the same time
    idle_watt: float | None  # idle power, measured before the work
    idle_seconds: float  # length of the window of rest
    seconds: float  # length of the window of work
    num_samples: int  # made in the window of work

    @property
    def net(self) -> float | None:
        """gross - idle, negative if noise makes it so."""
        return None if self.gross is None or self.idle is None else self.gross - self.idle


class Idle(NamedTuple):
    """The hardware at rest."""

    watts: Mapping[str, float | str]  # power by counter, or the reason why it is unknown
    seconds: float  # length of the window


def measure_idle(make_meter: MakeMeter, seconds: float = 2.0, sleep: Callable[[float], None] = time.sleep) -> Idle:
    """Meter the hardware while this process sleeps. Other processes count as idle.

    Args:
        make_meter: factory of meters, `lambda: EnergyMeter(device)`.
        seconds: length of the window; without a readable counter there is no wait.
        sleep: function that waits.

    Raises:
        ValueError: a window shorter than the counters need.
    """
    if seconds < 1.0:
        raise ValueError(f"seconds: expected at least 1, as the counters tick slowly, found {seconds}")
    with make_meter() as meter:
        if meter.readable:
            sleep(seconds)
    readings = meter.readings().items()
    watts = {name: source if joule is None else joule / meter.seconds for name, (joule, source) in readings}
    return Idle(watts, meter.seconds)


def above_idle(idle: Idle, meter: EnergyMeter, num_samples: int) -> list[Drawn]:
    """Return the reading of each counter with the share of the idle hardware.

    Args:
        idle: the hardware at rest, metered just before.
        meter: meter after its block.
        num_samples: number of samples made in the block.
    """
    drawn = []
    for name, (joule, source) in meter.readings().items():
        watt, windows = idle.watts[name], (idle.seconds, meter.seconds, num_samples)
        if joule is None:
            drawn.append(Drawn(name, source, None, None, None, *windows))
        elif isinstance(watt, str):
            drawn.append(Drawn(name, watt, None, None, None, *windows))
        else:
            drawn.append(Drawn(name, source, joule / num_samples, watt * meter.seconds / num_samples, watt, *windows))
    return drawn


def measure(
    work: Callable[[], object],
    num_samples: int,
    make_meter: MakeMeter,
    *,
    idle_seconds: float = 2.0,
    least_seconds: float = 1.0,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Drawn]:
    """Meter the idle hardware, then the work, which is repeated until the window is long enough for the counters.

    Without a readable counter there is no wait and the work runs once.

    Args:
        work: function that makes `num_samples` samples; already warmed up.
        num_samples: number of samples of one call.
        make_meter, idle_seconds, sleep: arguments of `measure_idle`.
        least_seconds: least length of the window of work.
        clock: function that returns the time in seconds.

    Raises:
        ValueError: a window shorter than the counters need, or work that takes no time.

    Cost: `idle_seconds`, and the longer of `least_seconds` and one call.
    """
    if least_seconds < 1.0:
        raise ValueError(f"least_seconds: expected at least 1, as the counters tick slowly, found {least_seconds}")
    idle = measure_idle(make_meter, idle_seconds, sleep)
    with make_meter() as meter:
        started, calls = clock(), 0
        while calls == 0 or (meter.readable and clock() - started < least_seconds):
            work()
            meter.advance()
            calls += 1
            if calls > _REPEATS:
                raise ValueError(f"work: {_REPEATS} calls in less than {least_seconds} s; make more samples in a call")
    return above_idle(idle, meter, calls * num_samples)


def measured_ledger(label: str, drawn: list[Drawn]) -> Ledger:
    """Return a ledger of the net joules of each counter; a range ends at the gross ones.

    For a thermodynamic model these are joules of the computer that simulates it, not of the device.
    """
    return Ledger(label, SCENARIO, tuple(_line(one) for one in drawn))


def _line(one: Drawn) -> LedgerLine:
    contribution = f"{one.counter}, above idle"
    if one.net is None or one.gross is None:
        return LedgerLine(contribution, None, None, None, "unavailable", one.source)
    note = (
        f"{one.gross:.4g} J gross of which {one.idle:.4g} J idle ({one.idle_watt:.3g} W during "
        f"{one.idle_seconds:.2g} s before); {one.num_samples:,} samples in {one.seconds:.3g} s"
    )
    return LedgerLine(contribution, one.net, one.net, max(one.net, one.gross), "measured", one.source, note)
