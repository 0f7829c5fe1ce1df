"""Times of GPU work in one process, alternating with its rival, beside goals and floors; for `gpu_checks.py`."""

import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch


@dataclass
class Row:
    """One measured case. Times in ms; `ratio` is eager's time over ours."""

    name: str
    ms: float
    spread: float
    eager_ms: float | None = None
    goal_ms: float | None = None
    floor_ms: float | None = None
    floor_ratio: float | None = None
    notes: dict = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        return None if self.eager_ms is None else self.eager_ms / self.ms

    def verdict(self) -> str:
        missed = []
        if self.floor_ms is not None and self.ms > self.floor_ms:
            missed.append(f"floor {self.floor_ms} ms")
        if self.floor_ratio is not None and self.ratio is not None and self.ratio < self.floor_ratio:
            missed.append(f"floor {self.floor_ratio}x eager")
        if missed or self.goal_ms is None:
            unmissed = "floor met" if self.floor_ratio is not None else "measured"
            return f"MISSED {' and '.join(missed)}" if missed else unmissed
        return "goal met" if self.ms <= self.goal_ms else "floor met"

    def line(self) -> str:
        eager = "" if self.eager_ms is None else f"  eager {self.eager_ms:9.3f} ms  {self.ratio:7.1f}x"
        return f"{self.name:66s} {self.ms:9.3f} ms  +-{self.spread:4.0%}{eager}  {self.verdict()}  {self.notes or ''}"


class Bench:
    def __init__(self, folder: Path, dry: bool) -> None:
        self.dry, self.device = dry, "cpu" if dry else "cuda"
        self.folder, self.rows, self.failures = folder, [], []

    def size(self, value: int, tiny: int) -> int:
        return tiny if self.dry else value

    def time(self, function: Callable[[], object]) -> float:
        """Return the milliseconds of one call."""
        if self.dry:
            begin = time.perf_counter()
            function()
            return 1e3 * (time.perf_counter() - begin)
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        first.record()
        function()
        last.record()
        torch.cuda.synchronize()
        return first.elapsed_time(last)

    def measure(
        self, name: str, ours: Callable[[], object], eager: Callable[[], object] | None = None,
        eager_scale: float = 1.0, repeats: int = 7, **limits,
    ) -> Row:  # fmt: skip
        """Alternate `ours` and `eager` (whose time counts `eager_scale` times), after one warm-up of each."""
        repeats = 1 if self.dry else repeats
        compile_ms, _ = self.time(ours), eager and self.time(eager)
        times, eager_times = [], []
        for i in range(repeats):
            times.append(self.time(ours))
            if eager is not None and i < 3:
                eager_times.append(eager_scale * self.time(eager))
        median, eager_median = statistics.median(times), statistics.median(eager_times) if eager_times else None
        row = Row(name, median, (max(times) - min(times)) / median, eager_median, **limits)
        row.notes["first call, ms"] = round(compile_ms, 1)
        self.rows.append(row)
        print(row.line(), flush=True)
        return row

    def attempt(self, part: Callable[["Bench"], None]) -> None:
        """Run one part, and report a failure."""
        try:
            part(self)
        except Exception as error:  # noqa: BLE001  whatever a device can raise
            self.failures.append(f"{part.__name__}: {type(error).__name__}: {error}")
            print("FAILED", self.failures[-1], flush=True)

    def write(self) -> str:
        """Write both files, and return the verdicts."""
        device = "dry run" if self.dry else torch.cuda.get_device_name()
        import triton

        head = f"{device}, torch {torch.__version__}, Triton {triton.__version__}, Python {sys.version.split()[0]}"
        rows = [{**asdict(row), "ratio": row.ratio, "verdict": row.verdict()} for row in self.rows]
        results = {"machine": head, "rows": rows, "failures": self.failures}
        (self.folder / "results.json").write_text(json.dumps(results, indent=1))
        verdicts = [f"{row.verdict()}: {row.name}" for row in self.rows if row.floor_ms or row.floor_ratio]
        verdicts += [f"FAILED {failure}" for failure in self.failures]
        lines = [head, "", *(row.line() for row in self.rows), "", *verdicts]
        (self.folder / "report.txt").write_text("\n".join(lines) + "\n")
        return "\n".join(verdicts)
