"""What a comparison found: for each model its numbers, pictures and curves,
as plain data that is saved and read back.
"""

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
        x: where on it, for one image.
        frechet: Frechet distance of the samples in the comparison's feature space.
        frechet_stderr: its standard error.
        recognised: fraction of the samples that the judge is confident about.
    """

    axis: str
    x: float
    frechet: float
    frechet_stderr: float
    recognised: float


@dataclass(frozen=True)
class ModelResult:
    """What the protocol gave for one model with one way of sampling it.

    Args:
        name: of the model.
        thermodynamic: whether it is a simulated thermodynamic device; else it is a digital model.
        sampling: how a digital model was sampled, in words; part of its rows' notes.
        rows: every number.
        images: the first 64 samples, [64, c, h, w] in [0, 1].
        class_counts: how many samples the judge took for each class.
        label: what the result is called in a comparison, unique there; the name unless a model is sampled in several
            ways ("ddpm.mnist, ddim 50").
        ledgers: energy of a sample by contribution, one ledger for each scenario.
        work: what the modelled ledgers price, so that their assumptions can be varied; None where it is not known.
        strip: noise becoming images, [frame, image, c, h, w] in [0, 1]; the last frame is the first samples. None for a
            model that does not show its intermediate states.
        curve: quality against the length of the generation. A digital model has one point for each way of sampling it.
        hardware: what the rows were measured on.
        date: when, ISO 8601 in UTC.
        cached: whether it was read back from an earlier run.
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
        """The row of a metric, if there is one."""
        return next((row for row in self.rows if row.metric == metric), None)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the tensors, as plain numbers and strings."""
        plain = ("name", "thermodynamic", "sampling", "class_counts", "label", "hardware", "date")
        return {
            **{key: getattr(self, key) for key in plain},
            "rows": [row.to_dict() for row in self.rows],
            "ledgers": [ledger.to_dict() for ledger in self.ledgers],
            "work": None if self.work is None else {type(self.work).__name__: asdict(self.work)},
            "curve": [asdict(point) for point in self.curve],
        }

    def tensors(self) -> dict[str, Tensor]:
        """The tensors by name."""
        return {"images": self.images} | ({} if self.strip is None else {"strip": self.strip})

    @classmethod
    def from_dict(cls, found: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> "ModelResult":
        """The result that `to_dict` and `tensors` described.

        Raises:
            ValueError, TypeError, KeyError: a field that is missing or not known.
        """
        read = {
            "rows": [Row.from_dict(row) for row in found["rows"]],
            "ledgers": tuple(Ledger.from_dict(ledger) for ledger in found["ledgers"]),
            "work": next((_WORK[name](**work) for name, work in (found.get("work") or {}).items()), None),
            "curve": tuple(CurvePoint(**point) for point in found["curve"]),
            "images": tensors["images"],
            "strip": tensors.get("strip"),
        }
        return cls(**{**found, **read})


@dataclass(frozen=True)
class Comparison:
    """The results of several models under one protocol, complete or, after an interruption, as far as they got.

    Args:
        entries: label -> name of the model, all that were asked for, in order.
        protocol: what they were put through.
        space: the judge.
        hardware: what the measurements ran on.
        command: what gives the comparison again.
        real: the rows that as many real images score: the floor of the distances.
        results: by label; the entries that are not in it were not reached.
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
