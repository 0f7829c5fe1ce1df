"""Results of comparisons on disk.

The key of a result holds everything its numbers depend on: weights, judge, protocol, sampler, code, and the hardware,
to which seconds and joules belong. One safetensors file holds its pictures, and its numbers as JSON in the metadata;
nothing is unpickled.
"""

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from thermotorch.dynamics.cpu.build import cache_folder
from thermotorch.evaluation.entries import Entry
from thermotorch.evaluation.metrics import METRICS, Metric
from thermotorch.evaluation.quality.feature_space import FeatureSpace
from thermotorch.evaluation.results import ModelResult
from thermotorch.files import write_file

CACHE_FORMAT = 1
_CODE = ("units.py", "potential.py", "couplings.py", "layer.py", "dynamics", "models", "evaluation")
_CODE_OF_REPORTS = ("report", "pictures", "markdown", "figures", "hub_")  # the appearance is no part of a result
_LIBRARIES = ("thermotorch", "torch", "diffusers", "torchmetrics")

log = logging.getLogger(__name__)


def results_folder() -> Path:
    """Return the folder `results` of `$THERMOTORCH_CACHE`, or of `thermotorch` in the user's cache folder."""
    return cache_folder() / "results"


class ResultCache:
    """Results in a folder, which is created with the first of them, one file each."""

    def __init__(self, folder: str | os.PathLike) -> None:
        self.folder = Path(folder)

    def load(self, key: Mapping[str, Any]) -> tuple[dict, dict[str, Tensor]] | None:
        """Return the plain values and tensors under a key; None if there are none, or they cannot be read."""
        path = self._path(key)
        try:
            if not path.is_file():
                return None
            with safe_open(path, framework="pt") as file:
                values = json.loads(file.metadata()["values"])
                return values, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            log.warning("%s cannot be read and is measured again: %s", path, error)
            return None

    def save(self, key: Mapping[str, Any], values: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Path:
        """Write plain values and tensors under a key, all or nothing, and return the file.

        A folder that cannot be written is a warning: what was measured for hours is worth more than its copy.
        """
        path = self._path(key)
        metadata = {"key": json.dumps(key), "values": json.dumps(values, allow_nan=False)}
        data = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, metadata)
        try:
            write_file(path, data)
        except OSError as error:
            log.warning("%s cannot be written, so the result is not kept: %s", path, error)
        return path

    def load_result(self, key: Mapping[str, Any]) -> ModelResult | None:
        """Return the result of one entry, if there is one that this version understands."""
        saved = self.load(key)
        try:
            return saved and ModelResult.from_dict(*saved)
        except (ValueError, TypeError, KeyError) as error:
            log.warning("%s is of another version and measured again: %s", self._path(key), error)
            return None

    def save_result(self, key: Mapping[str, Any], result: ModelResult) -> Path:
        """Write the result of one entry."""
        return self.save(key, result.to_dict(), result.tensors())

    def _path(self, key: Mapping[str, Any]) -> Path:
        text = json.dumps(key, sort_keys=True)
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()}.safetensors"


def result_key(entry: Entry, weights: str, space: FeatureSpace, hardware: str) -> dict[str, Any]:
    """Return everything that the numbers of one entry depend on; `weights` is the sha256 of its weights.

    The label and the name of the protocol are not part of it.
    """
    protocol = entry.protocol.to_dict()
    del protocol["name"]
    if not entry.able.takes_sampler:
        del protocol["sampler"], protocol["steps"], protocol["execution"]
    if "precision" not in entry.able.options:
        del protocol["precision"]
    config = dict(sorted(entry.able.config.items()))
    return {"what": "model", "weights": weights, "config": config, **_common(protocol, space, hardware)}


def real_key(protocol: Mapping[str, Any], space: FeatureSpace, hardware: str) -> dict[str, Any]:
    """Return everything that the rows of real images depend on."""
    settings = {
        key: value
        for key, value in protocol.items()
        if key not in ("name", "sampler", "steps", "execution", "precision", "batch_size")
    }
    return {"what": "real images", **_common(settings, space, hardware)}


def _common(protocol: Mapping[str, Any], space: FeatureSpace, hardware: str) -> dict[str, Any]:
    return {
        "format": CACHE_FORMAT,
        "code": code_digest(),
        "versions": {name: _version(name) for name in _LIBRARIES},
        "metrics": [_fingerprint(metric) for metric in METRICS],
        "judge": f"{space.name} {space.sha256}",
        "protocol": dict(protocol),
        "hardware": hardware,
    }


def _fingerprint(metric: Metric) -> str:
    """Return the name and a digest of the code of a metric, which may be registered outside the package."""
    code = getattr(metric.measure, "__code__", None)
    body = str(code and [code.co_code, code.co_names, [x for x in code.co_consts if isinstance(x, int | float | str)]])
    return f"{metric.name} {hashlib.sha256(body.encode()).hexdigest()[:16]}"


@lru_cache(maxsize=1)
def code_digest() -> str:
    """Return the digest of the sources that make and judge images."""
    package = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for name in _CODE:
        path = package / name
        for file in sorted(path.rglob("*") if path.is_dir() else [path]):
            place = file.relative_to(package)
            part_of_reports = any(part.startswith(_CODE_OF_REPORTS) for part in place.parts)
            if file.suffix in (".py", ".h", ".cpp") and not part_of_reports:
                digest.update(place.as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
