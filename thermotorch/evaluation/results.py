"""Results of a comparison: numbers, pictures and curves of each model, as plain data that can be saved."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor

from thermotorch.evaluation.energy.digital_count import DigitalCount
from thermotorch.evaluation.energy.ledger import Ledger
from thermotorch.evaluation.energy.machine_run import MachineRun
from thermotorch.evaluation.protocol import Protocol
from thermotorch.evaluation.quality.feature_space import FeatureSpace
from thermotorch.zoo.rows import Row

OBSERVATION_TIME = "observation time"
NETWORK_EVALUATIONS = "network evaluations"
_WORK = {"MachineRun": MachineRun, "DigitalCount": DigitalCount}


@dataclass(frozen=True)
class CurvePoint:
    """Quality at one length of the generation; the points of one model have equal sample counts.

    Args:
        axis: "observation time" of a device, in units of its mobility time, or "network evaluations" of a digital
            model.
        x: position on the axis, for one image.
        frechet, frechet_stderr: Frechet distance in the comparison's feature space, and its standard error.
        recognised: fraction of the samples that the judge is confident about.
    """

    axis: str
    x: float
    frechet: float
    frechet_stderr: float
    recognised: float


@dataclass(frozen=True)
class ModelResult:
    """Result of one model, sampled in one way.

    Args:
        name: name of the model.
        thermodynamic: True for a simulated thermodynamic device, False for a digital model.
        sampling: description of the sampling, part of the rows' notes.
        rows: every number.
        images: the first 64 samples, [64, c, h, w] in [0, 1].
        class_counts: number of samples in each class, according to the judge.
        label: unique label in a comparison; the name unless a model is sampled in several ways ("ddpm.mnist, ddim 50").
        ledgers: energy of a sample by contribution, one ledger for each scenario.
        work: input of the modelled ledgers, to vary their assumptions; None if unknown.
        strip: noise becoming images, [frame, image, c, h, w] in [0, 1], the first samples last; None for a model that
            hides its intermediate states.
        curve: quality against the length of the generation, one point for a digital model.
        hardware: hardware of the measurements.
        date: ISO 8601 in UTC.
        cached: True if read back from an earlier run.
    """

    name: str
    thermodynamic: bool
    sampling: str
    rows: list[Row]
    images: Tensor
    class_counts: list[int]
    label: str = ""
    ledgers: tuple[Ledger, ...] = ()
    work: MachineRun | DigitalCount | None = None
    strip: Tensor | None = None
    curve: tuple[CurvePoint, ...] = ()
    hardware: str = ""
    date: str = ""
    cached: bool = False

    def __post_init__(self) -> None:
        if not self.label:
            object.__setattr__(self, "label", self.name)

    def row(self, metric: str) -> Row | None:
        """Return the row of a metric; None if there is none."""
        return next((row for row in self.rows if row.metric == metric), None)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the tensors as plain numbers and strings."""
        plain = ("name", "thermodynamic", "sampling", "class_counts", "label", "hardware", "date")
        return {
            **{key: getattr(self, key) for key in plain},
            "rows": [row.to_dict() for row in self.rows],
            "ledgers": [ledger.to_dict() for ledger in self.ledgers],
            "work": None if self.work is None else {type(self.work).__name__: asdict(self.work)},
            "curve": [asdict(point) for point in self.curve],
        }

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors by name."""
        return {"images": self.images} | ({} if self.strip is None else {"strip": self.strip})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> "ModelResult":
        """Return the result that `to_dict` and `tensors` described.

        Raises:
            ValueError, TypeError, KeyError: a missing or unknown field.
        """
        read = {
            "rows": [Row.from_dict(row) for row in values["rows"]],
            "ledgers": tuple(Ledger.from_dict(ledger) for ledger in values["ledgers"]),
            "work": next((_WORK[name](**work) for name, work in (values.get("work") or {}).items()), None),
            "curve": tuple(CurvePoint(**point) for point in values["curve"]),
            "images": tensors["images"],
            "strip": tensors.get("strip"),
        }
        return cls(**{**values, **read})


@dataclass(frozen=True)
class Comparison:
    """Results of several models under one protocol, complete or interrupted.

    Args:
        entries: names of the models by label, all requested ones in order.
        protocol: protocol of all models.
        space: the judge.
        hardware: hardware of the measurements.
        command: command that reproduces the comparison.
        real: rows of as many real images, the floor of the distances.
        results: results by label, without entries that were not reached.
    """

    entries: Mapping[str, str]
    protocol: Protocol
    space: FeatureSpace
    hardware: str
    command: str
    real: list[Row]
    results: Mapping[str, ModelResult] = field(default_factory=dict)

    @property
    def labels(self) -> list[str]:
        """The labels of all entries, in order."""
        return list(self.entries)
