"""Measured joules of a sample, with what the hardware draws when idle taken off."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from thermotorch.evaluation.energy.ledger import Ledger, LedgerLine
from thermotorch.evaluation.energy.meter import EnergyMeter

SCENARIO = "this machine"
_REPEATS = 10_000  # more calls than that in one window means that the work does nothing

MakeMeter = Callable[[], EnergyMeter]


@dataclass(frozen=True)
class Drawn:
    """What one counter saw.

    Args:
        counter: as `EnergyMeter` calls it.
        source: the kind of counter, or why there is no number.
        gross: joule per sample while the work ran; None when the counter cannot be read.
        idle: joule per sample of that which the idle hardware would have drawn in the same time.
        idle_watt: measured before the work.
        idle_seconds, seconds: the two windows.
        num_samples: made in the second.
    """

    counter: str
    source: str
    gross: float | None
    idle: float | None
    idle_watt: float | None
    idle_seconds: float
    seconds: float
    num_samples: int

    @property
    def net(self) -> float | None:
        """gross - idle; noise can make it negative."""
        return None if self.gross is None or self.idle is None else self.gross - self.idle


@dataclass(frozen=True)
class Idle:
    """The hardware at rest.

    Args:
        watts: by counter; a reason where it cannot be told.
        seconds: of the window.
    """

    watts: Mapping[str, float | str]
    seconds: float


def measure_idle(make_meter: MakeMeter, seconds: float = 2.0, sleep: Callable[[float], None] = time.sleep) -> Idle:
    """Meter the hardware while this process does nothing. Whatever else runs then counts as idle.

    Args:
        make_meter: a fresh meter, `lambda: EnergyMeter(device)`.
        seconds: of the window; it is not waited for when there is no counter to read.
        sleep: of the operating system; tests put their own.

    Raises:
        ValueError: a window shorter than the counters need.
    """
    if seconds < 1.0:
        raise ValueError(f"seconds: expected at least 1, as the counters tick slowly, found {seconds}")
    with make_meter() as meter:
        if meter.readable:
            sleep(seconds)
    return Idle(
        {
            name: source if joule is None else joule / meter.seconds
            for name, (joule, source) in meter.readings().items()
        },
        meter.seconds,
    )


def above_idle(idle: Idle, meter: EnergyMeter, num_samples: int) -> list[Drawn]:
    """What each counter of a meter saw, beside what it would have seen of the idle hardware.

    Args:
        idle: measured just before, on the same hardware.
        meter: after its block.
        num_samples: made in the block.
    """
    drawn = []
    for name, (joule, source) in meter.readings().items():
        watt = idle.watts[name]
        if joule is None or isinstance(watt, str):
            why = source if joule is None else watt
            drawn.append(Drawn(name, why, None, None, None, idle.seconds, meter.seconds, num_samples))
        else:
            rest = watt * meter.seconds / num_samples
            drawn.append(Drawn(name, source, joule / num_samples, rest, watt, idle.seconds, meter.seconds, num_samples))
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

    Where no counter can be read, nobody waits and the work runs once.

    Args:
        work: makes `num_samples` samples at each call; warmed up, so that compiling is not in it.
        num_samples: of one call.
        make_meter, idle_seconds, sleep: as in `measure_idle`.
        least_seconds: of the window of work.
        clock: in seconds; tests put their own.

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
    """One line for each counter: net joules per sample, whose range ends at gross, as if nothing were idle.

    For a thermodynamic model these are joules of the computer that simulates it, and say nothing of the device.
    """
    return Ledger(label, SCENARIO, tuple(_line(one) for one in drawn))


def _line(one: Drawn) -> LedgerLine:
    contribution = f"{one.counter}, above idle"
    if one.net is None:
        return LedgerLine(contribution, None, None, None, "unavailable", one.source)
    return LedgerLine(contribution, one.net, one.net, max(one.net, one.gross), "measured", one.source, _note(one))


def _note(one: Drawn) -> str:
    return (
        f"{one.gross:.4g} J gross of which {one.idle:.4g} J idle ({one.idle_watt:.3g} W during "
        f"{one.idle_seconds:.2g} s before); {one.num_samples:,} samples in {one.seconds:.3g} s"
    )
