"""A GPU works on after a call has returned: whoever reads a clock or a counter waits for it first."""

import sys
from itertools import cycle
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from thermotorch.evaluation import Protocol, generation
from thermotorch.evaluation.energy.meter import EnergyMeter
from thermotorch.evaluation.entries import Entry
from thermotorch.evaluation.speed.benchmark import _timed
from thermotorch.evaluation.speed.memory import ON_GPU
from thermotorch.models.baselines.execution import EXECUTIONS, fastest_execution


class Gpu:
    """A GPU whose work takes no time until someone waits for it."""

    def __init__(self) -> None:
        self.now, self.queued, self.peak = 100.0, 0.0, 7 * 2**20

    def work(self, seconds: float) -> None:
        self.queued += seconds

    def wait(self, device: object = None) -> None:
        self.now, self.queued = self.now + self.queued, 0.0

    def forget_peak(self, device: object) -> None:
        self.peak = 0


@pytest.fixture
def gpu(monkeypatch) -> Gpu:
    gpu = Gpu()
    monkeypatch.setattr(torch.cuda, "synchronize", gpu.wait)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", gpu.forget_peak)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: gpu.peak)
    monkeypatch.setattr("time.perf_counter", lambda: gpu.now)
    monkeypatch.setitem(sys.modules, "pynvml", None)  # its counter is unavailable
    return gpu


def test_the_clock_of_a_meter(gpu, tmp_path):
    """Work queued before the block is not of the block, and work queued in it is."""
    gpu.work(8.0)
    with EnergyMeter("cuda", powercap=tmp_path) as meter:
        gpu.work(3.0)
    assert meter.seconds == 3.0


def test_the_clock_of_a_benchmark(gpu):
    assert _timed(lambda: gpu.work(3.0), "cuda", lambda: gpu.now) == 3.0


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("winner", EXECUTIONS)
def test_the_clock_that_chooses_an_execution(gpu, winner):
    turns = cycle(EXECUTIONS)
    network = nn.Linear(1, 1)
    network.parameters = lambda: iter([SimpleNamespace(device=torch.device("cuda"))])  # type: ignore[method-assign]
    work = lambda: gpu.work(1.0 if next(turns) == winner else 3.0)  # noqa: E731
    assert fastest_execution(network, work, clock=lambda: gpu.now) == winner


class OnGpu(nn.Module):
    """A generator that takes two seconds a call and 5 MiB."""

    def __init__(self, gpu: Gpu) -> None:
        super().__init__()
        self.gpu = gpu

    def generate(self, num_samples, *, seed=0, batch_size=256, progress=None):
        self.gpu.work(2.0)
        self.gpu.peak += 5 * 2**20
        return torch.rand(num_samples, 1, 2, 2)


def test_the_clocks_of_a_generation(gpu, monkeypatch):
    monkeypatch.setattr(generation, "device_of", lambda model: torch.device("cuda"))
    entry = Entry("net", "net", OnGpu(gpu), Protocol(num_samples=4, kernel_subset_size=2, neighbours=1))
    rows = {row.metric: row for row in generation.generate(entry).rows}
    assert (rows["warm-up"].value, rows["time"].value, rows["speed"].value) == (2.0, 0.5, 2.0)
    assert rows[ON_GPU].value == 5.0  # of the run alone, without the warm-up and what came before
