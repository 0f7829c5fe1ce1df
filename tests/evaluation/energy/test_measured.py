import pytest

from thermotorch.evaluation.energy.measured import Drawn, Idle, above_idle, measure, measure_idle, measured_ledger
from thermotorch.evaluation.energy.meter import EnergyMeter


class Machine:
    """A processor of 3 W idle and 13 W at work, with its RAPL counter and its clock; one call of work lasts 0.4 s."""

    def __init__(self, powercap) -> None:
        self.powercap, self.now, self.microjoule = powercap, 100.0, 5_000_000.0
        zone = powercap / "intel-rapl:0"
        zone.mkdir()
        (zone / "name").write_text("package-0\n")
        (zone / "max_energy_range_uj").write_text("1000000000000\n")
        self.counter = zone / "energy_uj"
        self.spend(0.0, 0.0)

    def spend(self, seconds, watt):
        self.now += seconds
        self.microjoule += 1e6 * watt * seconds
        self.counter.write_text(f"{round(self.microjoule)}\n")

    def measure(self, num_samples=10, **options):
        return measure(
            lambda: self.spend(0.4, 13.0), num_samples, lambda: EnergyMeter(powercap=self.powercap),
            sleep=lambda seconds: self.spend(seconds, 3.0), clock=lambda: self.now, **options,
        )  # fmt: skip


@pytest.fixture
def machine(tmp_path, monkeypatch):
    machine = Machine(tmp_path)
    monkeypatch.setattr("thermotorch.evaluation.energy.meter.time.perf_counter", lambda: machine.now)
    return machine


def test_idle_is_taken_off(machine):
    (drawn,) = machine.measure()
    assert drawn.num_samples == 30  # three calls of 0.4 s fill the second
    assert drawn.seconds == pytest.approx(1.2)
    assert drawn.idle_watt == pytest.approx(3.0)
    assert drawn.gross == pytest.approx(13.0 * 1.2 / 30)
    assert drawn.idle == pytest.approx(3.0 * 1.2 / 30)
    assert drawn.net == pytest.approx(10.0 * 1.2 / 30)


def test_the_ledger_holds_net_joules_whose_range_ends_at_gross(machine):
    ledger = measured_ledger("ddpm", machine.measure())
    (line,) = ledger.lines
    assert (line.joule, line.low, line.high) == pytest.approx((0.4, 0.4, 0.52))
    assert (ledger.kind, ledger.scenario, line.contribution) == ("measured", "this machine", "CPU package, above idle")
    assert line.note == "0.52 J gross of which 0.12 J idle (3 W during 2 s before); 30 samples in 1.2 s"


def test_a_longer_window_repeats_the_work(machine):
    (drawn,) = machine.measure(least_seconds=3.9)
    assert (drawn.num_samples, drawn.seconds) == (100, pytest.approx(4.0))


def test_without_a_counter_the_work_runs_once_and_the_line_says_why(tmp_path):
    calls = []
    drawn = measure(lambda: calls.append(None), 5, lambda: EnergyMeter(powercap=tmp_path / "absent"))
    assert len(calls) == 1
    (line,) = measured_ledger("ddpm", drawn).lines
    assert (line.joule, line.kind) == (None, "unavailable")
    assert "no processor energy counter" in line.source


def test_watts_are_of_the_time_that_went_by(machine):
    """A system that wakes a waiting process late does not make it thirsty."""
    idle = measure_idle(
        lambda: EnergyMeter(powercap=machine.powercap),
        seconds=2.0,
        sleep=lambda seconds: machine.spend(seconds + 0.5, 3.0),
    )
    assert (idle.seconds, idle.watts["CPU package"]) == pytest.approx((2.5, 3.0))


def test_nobody_waits_for_a_counter_that_is_not_there(tmp_path):
    naps = []
    idle = measure_idle(lambda: EnergyMeter(powercap=tmp_path / "absent"), sleep=naps.append)
    assert naps == []
    assert "no processor energy counter" in idle.watts["CPU package"]


def test_windows_that_are_too_short_and_work_that_does_nothing_are_refused(machine):
    with pytest.raises(ValueError, match="at least 1"):
        machine.measure(idle_seconds=0.1)
    with pytest.raises(ValueError, match="at least 1"):
        machine.measure(least_seconds=0.1)
    with pytest.raises(ValueError, match="make more samples in a call"):
        measure(
            lambda: None, 1, lambda: EnergyMeter(powercap=machine.powercap), sleep=lambda s: None, clock=lambda: 0.0
        )


def test_without_the_idle_power_there_is_no_net_energy(machine):
    """Gross joules alone would pass for net ones."""
    with EnergyMeter(powercap=machine.powercap) as meter:
        machine.spend(2.0, 13.0)
    drawn = above_idle(Idle({"CPU package": "no reading at rest"}, 2.0), meter, 10)
    (line,) = measured_ledger("ddpm", drawn).lines
    assert (line.joule, line.kind, line.source) == (None, "unavailable", "no reading at rest")


def test_a_second_is_long_enough_and_two_of_rest_are_taken_unless_told(machine):
    naps = []

    def sleep(seconds):
        naps.append(seconds)
        machine.spend(seconds, 3.0)

    for given in ({}, {"seconds": 1.0}):
        measure_idle(lambda: EnergyMeter(powercap=machine.powercap), sleep=sleep, **given)
    assert naps == [2.0, 1.0]
    (drawn,) = machine.measure(idle_seconds=1.0, least_seconds=1.0)
    assert (drawn.idle_seconds, drawn.num_samples) == (pytest.approx(1.0), 30)


@pytest.mark.parametrize(("gross", "idle"), [(None, 1.0), (1.0, None), (None, None)])
def test_a_reading_that_lacks_either_part_has_no_net_and_its_line_no_joules(gross, idle):
    drawn = Drawn("CPU package", "why", gross, idle, None, 2.0, 1.0, 10)
    assert drawn.net is None
    (line,) = measured_ledger("ddpm", [drawn]).lines
    assert (line.joule, line.kind, line.source) == (None, "unavailable", "why")


def test_noise_may_put_the_work_below_idle_and_the_range_then_still_holds_it():
    """Gross joules of a machine at rest that drew 2 J more in the same time."""
    (line,) = measured_ledger("ddpm", [Drawn("CPU package", "RAPL", 1.0, 3.0, 1.5, 2.0, 1.0, 10)]).lines
    assert (line.joule, line.low, line.high) == (-2.0, -2.0, 1.0)
