"""Sweeps of runs: their varied settings and their results.

Each run of a multirun (`-m`) leaves a record of its settings and results: `evaluation.json`, `samples.json` or
`training.json`. Settings that differ are the axes of the sweep; imperfect devices and seeds are repetitions, which are
averaged.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import OmegaConf

from thermotorch.evaluation.metrics import METRICS
from thermotorch.zoo.rows import Row, rows_of

RECORDS = ("evaluation.json", "samples.json", "training.json")
FAILED = "FAILED"  # file with the traceback, in the folder of a failed run
REPEATED = ("imperfections.device_id", "imperfections.seed", "protocol.seed", "seed")


@dataclass(frozen=True)
class Point:
    """Runs that differ in repetitions alone."""

    setting: dict[str, Any]  # varied settings by name
    rows: dict[str, Row]  # by metric; of several runs the mean and its standard error
    repetitions: int = 1  # number of runs
    spread: dict[str, float] = field(default_factory=dict)  # standard deviation over several runs, by metric


class Failure(NamedTuple):
    """A run without a result."""

    run: str  # name of its folder
    settings: str  # its overrides, without those that all runs share
    reason: str  # last line of its traceback, if there is one


@dataclass(frozen=True)
class Sweep:
    """The points of a sweep in the order of its runs."""

    axes: list[str]  # names of the settings that differ between points
    points: list[Point]  # in the order of the first run of each
    common: dict[str, Any]  # settings that all runs share
    repeated: list[str] = field(default_factory=list)  # names of the settings that differ between repetitions

    def metrics(self) -> list[str]:
        """Return the metrics of records with `in_sweeps`, and a varying size, or else all that every point has."""
        known = [
            metric
            for metric, row in self.points[0].rows.items()
            if row.value is not None and all(metric in point.rows for point in self.points)
        ]
        in_sweeps = [metric for metric in METRICS if metric.in_sweeps]
        names = [next(filter(metric.matches, known), None) for metric in in_sweeps]
        if not any(names):
            return known
        if len({point.rows["parameters"].value for point in self.points if "parameters" in point.rows}) > 1:
            names.append("parameters")
        return [metric for metric in names if metric]


def read_sweep(folder: Path) -> Sweep:
    """Read the sweep whose runs left their records in `<folder>/<number>/`, without failed runs.

    Raises:
        FileNotFoundError: no run has a record.
    """
    paths = [path for run in _run_folders(folder) if (path := _record(run)) is not None]
    if not paths:
        raise FileNotFoundError(f"{folder}: no run folder here holds a record ({', '.join(RECORDS)})")
    runs = [_read(path) for path in paths]
    settings = [_flat({key: value for key, value in run.items() if key not in ("metrics", "energy")}) for run in runs]
    names = list(dict.fromkeys(name for setting in settings for name in setting))
    varied = [name for name in names if any(one.get(name) != settings[0].get(name) for one in settings)]
    axes = [name for name in varied if name not in REPEATED]
    groups: dict[str, list[int]] = {}
    for place, setting in enumerate(settings):
        groups.setdefault(repr([setting.get(name) for name in axes]), []).append(place)
    points = []
    for members in groups.values():
        rows = [{row.metric: row for row in rows_of(runs[k])} for k in members]
        setting = {name: settings[members[0]].get(name) for name in axes}
        points.append(Point(setting, *_averaged(rows)))
    common = {name: value for name, value in settings[0].items() if name not in varied}
    return Sweep(axes, points, common, [name for name in varied if name in REPEATED])


def failures(folder: Path) -> list[Failure]:
    """Return the runs of a sweep that failed, or stopped before they had a result."""
    runs = [run for run in _run_folders(folder) if (run / ".hydra").is_dir()]
    overrides = {run: _overrides(run) for run in runs}
    common = set.intersection(*map(set, overrides.values())) if len(runs) > 1 else set()
    failed = []
    for run in runs:
        if _record(run) is not None:
            continue
        traceback = (run / FAILED).read_text(encoding="utf-8").strip() if (run / FAILED).is_file() else ""
        reason = traceback.rpartition("\n")[2] or "stopped before it had a result"
        failed.append(Failure(run.name, " ".join(word for word in overrides[run] if word not in common), reason))
    return failed


def _run_folders(folder: Path) -> list[Path]:
    """Return the folders of the runs in the order of their numbers."""
    return sorted((path for path in folder.glob("*/") if path.is_dir()), key=lambda path: (len(path.name), path.name))


def _record(run: Path) -> Path | None:
    """Return the record of a run that did not fail."""
    if (run / FAILED).is_file():
        return None
    return next((run / name for name in RECORDS if (run / name).is_file()), None)


def _read(path: Path) -> dict[str, Any]:
    """Read a record: results under "metrics" and "energy", settings under the other keys."""
    record = json.loads(path.read_text(encoding="utf-8"))
    if path.name != "training.json":
        return record
    overrides = (word.lstrip("+").partition("=") for word in _overrides(path.parent))
    logged = [
        Row(name, value, "", 0, record["seed"], "measured").to_dict()
        for name, value in record.get("logged", {}).items()
        if value is not None and math.isfinite(value)
    ]  # fmt: skip
    return {"experiment": record["experiment"]} | {name: _plain(value) for name, _, value in overrides} | {
        "seed": record["seed"], "metrics": logged, "energy": [],
    }  # fmt: skip


def _overrides(run: Path) -> list[str]:
    """Return the overrides of a run, `name=value` each, from Hydra's file."""
    path = run / ".hydra" / "overrides.yaml"
    return [str(word) for word in OmegaConf.load(path)] if path.is_file() else []


def _plain(text: str) -> Any:
    """Parse a number, or return the text."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _flat(settings: dict, prefix: str = "") -> dict[str, Any]:
    """Flatten nested settings to dotted names."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _averaged(rows: Sequence[Mapping[str, Row]]) -> tuple[dict[str, Row], int, dict[str, float]]:
    """Return the rows of one point, its number of runs, and their standard deviations.

    Rows of several runs are averaged, with the standard error of their scatter.
    """
    if len(rows) == 1:
        return dict(rows[0]), 1, {}
    averaged, spread = {}, {}
    for metric, first in rows[0].items():
        values = [one[metric].known for one in rows if metric in one and one[metric].value is not None]
        if len(values) < len(rows):
            continue
        mean = sum(values) / len(values)
        spread[metric] = (sum((value - mean) ** 2 for value in values) / (len(values) - 1)) ** 0.5
        averaged[metric] = Row(**{**first.to_dict(), "value": mean, "stderr": spread[metric] / len(values) ** 0.5})
    return averaged, len(rows), spread
