"""Measured joules, read from the hardware's own counters.

RAPL counts the whole processor package and NVML the whole graphics board, other work included; neither sees memory,
power supply or cooling. Nothing is estimated from a rated power: without a readable counter a row is unavailable.
"""

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import torch

from thermotorch.zoo.rows import Row, unavailable

POWERCAP = Path("/sys/class/powercap")
_LEAST_SECONDS = 1.0  # the counters tick about every millisecond (RAPL) to every 100 ms (NVML)


class _Unreadable(Exception):
    """A counter that is missing or cannot be read, with the reason."""


class Reading(NamedTuple):
    """Reading of one counter."""

    joule: float | None  # drawn since the block began; None if unknown
    source: str  # the counter, or the reason why there is no number


class EnergyMeter:
    """Energy drawn by the hardware while a block runs.

        with EnergyMeter("cpu") as meter:
            images = model.generate(256, progress=lambda done, total: meter.advance())
        rows = meter.rows(num_samples=256, seed=0)

    Args:
        device: device of the work; the processor is metered in any case.
        powercap: the kernel's folder of RAPL counters.
        least_seconds: least length of a block that gives a reading.
    """

    def __init__(
        self, device: str | torch.device = "cpu", powercap: Path = POWERCAP, least_seconds: float = _LEAST_SECONDS
    ) -> None:
        self.device = torch.device(device)
        self.least_seconds = least_seconds
        self.seconds = 0.0
        self._open: dict[str, Callable] = {"CPU package": lambda: _RaplCounter(powercap)}
        if self.device.type == "cuda":
            self._open["GPU board"] = lambda: _NvmlCounter(self.device)
        self._counters: dict[str, _RaplCounter | _NvmlCounter] = {}
        self._reasons: dict[str, str] = {}

    def __enter__(self) -> "EnergyMeter":
        for name, open_counter in self._open.items():
            try:
                self._counters[name] = open_counter()
            except _Unreadable as reason:
                self._reasons[name] = str(reason)
        self._synchronize()
        self._started = time.perf_counter()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._synchronize()
        self.seconds = time.perf_counter() - self._started
        self.advance()

    def advance(self) -> None:
        """Read the counters; call it now and then in a long run, since RAPL starts over at about 260 kJ."""
        for name, counter in list(self._counters.items()):
            try:
                counter.advance()
            except _Unreadable as reason:
                self._reasons[name] = str(reason)
                del self._counters[name]

    @property
    def readable(self) -> bool:
        """True if any counter can be read, inside the block and after it."""
        return bool(self._counters)

    def readings(self) -> dict[str, Reading]:
        """Return the reading of each counter."""
        readings = {}
        for name in self._open:
            if name in self._reasons:
                readings[name] = Reading(None, self._reasons[name])
            elif self.seconds < self.least_seconds:
                short = f"the run lasted {self.seconds:.2g} s and the counter needs {self.least_seconds:g} s"
                readings[name] = Reading(None, short)
            else:
                readings[name] = Reading(self._counters[name].joule, self._counters[name].source)
        return readings

    def rows(self, num_samples: int, seed: int, command: str = "") -> list[Row]:
        """Return a row of joules per sample for each counter, or an unavailable one with the reason."""
        rows = []
        for name, (joule, source) in self.readings().items():
            metric = f"energy drawn, {name}"
            if joule is None:
                rows.append(unavailable(metric, "J per sample", seed, source))
            else:
                note = f"{source}: {joule:.4g} J in {self.seconds:.3g} s, other work and idle included"
                value = joule / num_samples
                rows.append(
                    Row(metric, value, "J per sample", num_samples, seed, "measured", command=command, note=note)
                )
        return rows

    def _synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


class _RaplCounter:
    """Running average power limit: energy of all processor packages, from counters that start over at a maximum."""

    source = "RAPL"

    def __init__(self, powercap: Path) -> None:
        zones = sorted(powercap.glob("intel-rapl:*"))
        self._zones = [zone for zone in zones if self._read(zone / "name").startswith("package")]
        if not self._zones:
            raise _Unreadable(f"no processor energy counter under {powercap}")
        self._maxima = [int(self._read(zone / "max_energy_range_uj")) for zone in self._zones]
        self._last = self._readings()
        self.joule = 0.0

    def advance(self) -> None:
        now = self._readings()
        microjoule = sum(
            (after - before) % maximum for before, after, maximum in zip(self._last, now, self._maxima, strict=True)
        )
        self._last = now
        self.joule += microjoule * 1e-6

    def _readings(self) -> list[int]:
        return [int(self._read(zone / "energy_uj")) for zone in self._zones]

    @staticmethod
    def _read(path: Path) -> str:
        try:
            return path.read_text(encoding="ascii").strip()
        except OSError as error:
            raise _Unreadable(f"{path} cannot be read: {error.strerror}") from error


class _NvmlCounter:
    """The total-energy counter of a GPU, Volta or newer."""

    source = "NVML"

    def __init__(self, device: torch.device) -> None:
        try:
            import pynvml
        except ImportError as error:
            raise _Unreadable("nvidia-ml-py is not installed: pip install 'thermotorch[energy]'") from error
        self._nvml = pynvml
        try:
            pynvml.nvmlInit()
            # By UUID, because CUDA and NVML number the GPUs differently.
            self._handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
        except pynvml.NVMLError as error:
            raise _Unreadable(f"NVML: {error}") from error
        self._first = self._millijoule()
        self.joule = 0.0

    def advance(self) -> None:
        self.joule = (self._millijoule() - self._first) * 1e-3

    def _millijoule(self) -> int:
        try:
            return self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)
        except self._nvml.NVMLError as error:
            raise _Unreadable(f"NVML: {error}") from error
