"""Peak memory of a run."""

import ctypes
import gc
from pathlib import Path
from types import TracebackType

import torch

from thermotorch.zoo.rows import Row, unavailable

PROCESS = Path("/proc/self")
ON_GPU = "peak memory, torch's allocator on the GPU"
ON_CPU = "peak memory, growth of the process"
_MEBI = 2**20


class PeakMemory:
    """The peak memory of a block.

    On a GPU this is the memory that torch's allocator has handed out, weights included. Elsewhere it is the growth of
    the resident memory of the process, after free memory is handed back where the C library can (glibc); it needs
    Linux, which alone can reset the peak.

    Args:
        device: device of the work.
        process: the kernel's folder about this process.
    """

    def __init__(self, device: str | torch.device = "cpu", process: Path = PROCESS) -> None:
        self.device = torch.device(device)
        self._process = process
        self._peak: float | None = None

    def __enter__(self) -> "PeakMemory":
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            return self
        self._start = None
        _hand_back()
        try:
            (self._process / "clear_refs").write_text("5", encoding="ascii")  # the peak starts anew
            self._start = self._kibi("VmRSS")
        except (OSError, ValueError):
            pass
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if self.device.type == "cuda":
            self._peak = torch.cuda.max_memory_allocated(self.device) / _MEBI
        elif self._start is not None:
            self._peak = max(0.0, (self._kibi("VmHWM") - self._start) * 1024 / _MEBI)

    def row(self, num_samples: int, seed: int, command: str = "", note: str = "") -> Row:
        """Return the row of the peak in MiB, or an unavailable one."""
        metric = ON_GPU if self.device.type == "cuda" else ON_CPU
        if self._peak is None:
            return unavailable(metric, "MiB", seed, f"{self._process} does not say")
        return Row(metric, self._peak, "MiB", num_samples, seed, "measured", command=command, note=note)

    def _kibi(self, field: str) -> int:
        """Return a field of the process's status, in KiB."""
        for line in (self._process / "status").read_text(encoding="utf-8").splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1])
        raise ValueError(field)


def _hand_back() -> None:
    """Free unused memory, down to the system."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
