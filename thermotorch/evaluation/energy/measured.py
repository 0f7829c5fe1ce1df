"""Measured joules of a sample, with what the hardware draws when idle taken off."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from thermotorch.evaluation.energy.ledger import Ledger, LedgerLine
from thermotorch.evaluation.meter import EnergyMeter
from thermotorch.evaluation.rows import Row, unavailable

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
    """Meters the idle hardware, then the work, which is repeated until the window is long enough for the counters.

    Args:
        work: makes `num_samples` samples at each call; warmed up, so that compiling is not in it.
        num_samples: of one call.
        make_meter: a fresh meter, `lambda: EnergyMeter(device)`.
        idle_seconds: how long the idle hardware is metered first. Whatever else runs then counts as idle.
        least_seconds: of the window of work.
        sleep, clock: of the operating system; tests put their own.

    Raises:
        ValueError: a window shorter than the counters need, or work that takes no time.

    Cost: `idle_seconds`, and the longer of `least_seconds` and one call.
    """
    if idle_seconds < 1.0 or least_seconds < 1.0:
        raise ValueError(f"idle_seconds and least_seconds: expected at least 1, found {idle_seconds}, {least_seconds}")
    with make_meter() as resting:
        sleep(idle_seconds)
    with make_meter() as meter:
        started, calls = clock(), 0
        while calls == 0 or clock() - started < least_seconds:
            work()
            meter.advance()
            calls += 1
            if calls > _REPEATS:
                raise ValueError(f"work: {_REPEATS} calls took less than {least_seconds} s; make more samples in a call")
    made, before, during = calls * num_samples, resting.readings(), meter.readings()
    drawn = []
    for name, reading in during.items():
        known = reading.joule is not None and before[name].joule is not None
        watt = before[name].joule / resting.seconds if known else None
        drawn.append(
            Drawn(
                name,
                reading.source if reading.joule is None or known else before[name].source,
                reading.joule / made if known else None,
                watt * meter.seconds / made if known else None,
                watt,
                resting.seconds,
                meter.seconds,
                made,
            )
        )
    return drawn


def measured_ledger(label: str, drawn: list[Drawn]) -> Ledger:
    """One line for each counter: net joules per sample, whose range ends at gross, as if nothing were idle.

    For a thermodynamic model these are joules of the computer that simulates it, and say nothing of the device.
    """
    return Ledger(label, SCENARIO, tuple(_line(one) for one in drawn))


def measured_rows(drawn: list[Drawn], seed: int, command: str = "") -> list[Row]:
    """Gross, idle and net, a row each, for every counter."""
    rows = []
    for one in drawn:
        for kind, value in (("gross", one.gross), ("idle", one.idle), ("net", one.net)):
            metric, unit = f"energy, {one.counter}, {kind}", "J per sample"
            if value is None:
                rows.append(unavailable(metric, unit, seed, one.source))
            else:
                rows.append(Row(metric, value, unit, one.num_samples, seed, "measured", command=command, note=_note(one)))
    return rows


def _line(one: Drawn) -> LedgerLine:
    contribution = f"{one.counter}, above idle"
    if one.net is None:
        return LedgerLine(contribution, None, None, None, "unavailable", one.source)
    return LedgerLine(contribution, one.net, one.net, max(one.net, one.gross), "measured", one.source, _note(one))


def _note(one: Drawn) -> str:
    return (
        f"{one.gross:.4g} J gross of which {one.idle:.4g} J idle ({one.idle_watt:.3g} W during {one.idle_seconds:.2g} s "
        f"before); {one.num_samples:,} samples in {one.seconds:.3g} s"
    )
