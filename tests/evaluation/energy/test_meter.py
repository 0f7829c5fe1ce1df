import sys
import types

import pytest
import torch

from thermotorch.evaluation.energy import meter
from thermotorch.evaluation.energy.meter import EnergyMeter


@pytest.fixture
def powercap(tmp_path):
    """Two processor packages, a sub-zone that is part of the first, and the whole platform, which includes both."""
    for zone, name, microjoule in [
        ("intel-rapl:0", "package-0", 900_000_000),
        ("intel-rapl:1", "package-1", 5_000_000),
        ("intel-rapl:0:0", "core", 77),
        ("intel-rapl:2", "psys", 88),
    ]:
        folder = tmp_path / zone
        folder.mkdir()
        (folder / "name").write_text(f"{name}\n")
        (folder / "energy_uj").write_text(f"{microjoule}\n")
        (folder / "max_energy_range_uj").write_text("1000000000\n")
    return tmp_path


def spend(powercap, zone, microjoule):
    (powercap / zone / "energy_uj").write_text(f"{microjoule}\n")


def test_joules_of_all_packages_are_added_up(powercap):
    with EnergyMeter(powercap=powercap, least_seconds=0.0) as watched:
        spend(powercap, "intel-rapl:0", 930_000_000)
        spend(powercap, "intel-rapl:1", 15_000_000)
        spend(powercap, "intel-rapl:0:0", 10_000_000)
        spend(powercap, "intel-rapl:2", 10_000_000)
    (row,) = watched.rows(num_samples=8, seed=3, command="here")
    assert row.value == pytest.approx(40.0 / 8)
    assert (row.metric, row.unit, row.kind) == ("energy drawn, CPU package", "J per sample", "measured")
    assert (row.num_samples, row.seed, row.command) == (8, 3, "here")
    assert "RAPL" in row.note and "idle included" in row.note


def test_a_counter_that_starts_over_is_followed(powercap):
    with EnergyMeter(powercap=powercap, least_seconds=0.0) as watched:
        for microjoule in (990_000_000, 300_000_000, 200_000_000):  # passes the maximum of 1 kJ twice
            spend(powercap, "intel-rapl:0", microjoule)
            watched.advance()
    (row,) = watched.rows(num_samples=1, seed=0)
    assert row.value == pytest.approx(90.0 + 310.0 + 900.0)


def test_without_a_counter_the_row_is_unavailable(tmp_path):
    with EnergyMeter(powercap=tmp_path / "absent", least_seconds=0.0) as watched:
        pass
    (row,) = watched.rows(num_samples=8, seed=0)
    assert (row.value, row.kind) == (None, "unavailable")
    assert "no processor energy counter under" in row.note


def test_a_counter_that_may_not_be_read_is_unavailable(powercap, monkeypatch):
    def refuse(path, *args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.read_text", refuse)
    with EnergyMeter(powercap=powercap, least_seconds=0.0) as watched:
        pass
    (row,) = watched.rows(num_samples=8, seed=0)
    assert row.kind == "unavailable" and row.note.endswith("cannot be read: Permission denied")


def test_a_counter_that_vanishes_is_unavailable(powercap):
    with EnergyMeter(powercap=powercap, least_seconds=0.0) as watched:
        (powercap / "intel-rapl:1" / "energy_uj").unlink()
    (row,) = watched.rows(num_samples=8, seed=0)
    assert row.kind == "unavailable" and "intel-rapl:1/energy_uj cannot be read" in row.note


def test_a_run_too_short_for_the_counter_gives_no_number(powercap):
    with EnergyMeter(powercap=powercap) as watched:
        spend(powercap, "intel-rapl:1", 6_000_000)
    (row,) = watched.rows(num_samples=8, seed=0)
    assert row.kind == "unavailable" and "the counter needs 1 s" in row.note


class NVMLError(Exception):
    pass


@pytest.fixture
def nvml(monkeypatch):
    """A stand-in for nvidia-ml-py and for the GPU it meters."""
    fake = types.ModuleType("pynvml")
    fake.millijoule = 10_000
    fake.NVMLError = NVMLError
    fake.nvmlInit = lambda: None
    fake.nvmlDeviceGetHandleByUUID = lambda uuid: {"GPU-1234": "handle"}[uuid]
    fake.nvmlDeviceGetTotalEnergyConsumption = lambda handle: fake.millijoule
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    monkeypatch.setattr(meter.torch.cuda, "get_device_properties", lambda device: types.SimpleNamespace(uuid="1234"))
    monkeypatch.setattr(meter.torch.cuda, "synchronize", lambda device: None)
    return fake


def gpu_row(watched):
    return next(row for row in watched.rows(num_samples=4, seed=0) if row.metric == "energy drawn, GPU board")


def test_joules_of_the_gpu_board(nvml, powercap):
    with EnergyMeter(torch.device("cuda"), powercap=powercap, least_seconds=0.0) as watched:
        nvml.millijoule = 30_000
        watched.advance()
        nvml.millijoule = 50_000
    assert gpu_row(watched).value == pytest.approx(40.0 / 4)
    assert [row.metric for row in watched.rows(4, 0)] == ["energy drawn, CPU package", "energy drawn, GPU board"]


def test_a_gpu_without_the_counter_is_unavailable(nvml, powercap):
    def refuse(handle):
        raise NVMLError("Not Supported")

    nvml.nvmlDeviceGetTotalEnergyConsumption = refuse
    with EnergyMeter("cuda", powercap=powercap, least_seconds=0.0) as watched:
        pass
    assert (gpu_row(watched).value, gpu_row(watched).note) == (None, "NVML: Not Supported")


def test_without_nvidia_ml_py_the_row_says_what_to_install(nvml, powercap, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with EnergyMeter("cuda", powercap=powercap, least_seconds=0.0) as watched:
        pass
    assert "pip install 'thermotorch[energy]'" in gpu_row(watched).note


def test_a_gpu_whose_counter_fails_during_the_run_has_no_number(nvml, powercap):
    """Not the joules up to then."""

    def refuse(handle):
        raise NVMLError("GPU is lost")

    with EnergyMeter("cuda", powercap=powercap, least_seconds=0.0) as watched:
        nvml.millijoule = 30_000
        watched.advance()
        nvml.nvmlDeviceGetTotalEnergyConsumption = refuse
    assert (gpu_row(watched).value, gpu_row(watched).note) == (None, "NVML: GPU is lost")
