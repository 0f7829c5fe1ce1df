"""Evaluation of a thermodynamic classifier: accuracy, calibration and rejection over repeated runs, and heat."""

import copy
import time
from dataclasses import asdict, dataclass
from functools import partial

import torch
from torch import Tensor

from thermotorch.arguments import count_of, number_of, seed_of
from thermotorch.evaluation.energy.card_rows import heat_rows
from thermotorch.evaluation.estimate import mean_of
from thermotorch.evaluation.speed.hardware import describe_hardware, device_of
from thermotorch.models.classifier.machine import ThermodynamicClassifier
from thermotorch.models.imperfections import realise
from thermotorch.models.protocol import TitledProgress
from thermotorch.zoo.rows import Row

_BINS = 15


@dataclass(frozen=True)
class ClassificationProtocol:
    """Plain settings of an evaluation; a ValueError for a number out of range."""

    runs: int = 20  # independent ones on every image; their spread gives the standard errors
    averaged: int = 10  # runs averaged into one answer, at most half of `runs` and a divisor of it
    devices: int = 5  # imperfect ones, with one run each on every image; 0 for none
    bits: int | None = 5  # imperfections of these devices, see `imperfect_parameters`
    mismatch: float = 0.05
    seed: int = 0  # of the thermal noise and the mismatch
    batch_size: int = 2000  # images simulated together, which changes speed only

    def __post_init__(self) -> None:
        for name, least in (("runs", 1), ("averaged", 1), ("devices", 0), ("batch_size", 1)):
            object.__setattr__(self, name, count_of(name, getattr(self, name), least))
        object.__setattr__(self, "bits", None if self.bits is None else count_of("bits", self.bits, 2))
        object.__setattr__(self, "mismatch", number_of("mismatch", self.mismatch))
        object.__setattr__(self, "seed", seed_of(self.seed))
        if self.runs % self.averaged or self.runs < 2 * self.averaged:
            raise ValueError(
                f"runs: expected a multiple of averaged={self.averaged}, at least twice that, found {self.runs}"
            )
        if self.devices == 1:
            raise ValueError(f"devices: expected 0 or at least 2 (for a standard error), found {self.devices}")

    def to_dict(self) -> dict:
        """Return the settings as plain numbers."""
        return asdict(self)


def classification_rows(
    model: ThermodynamicClassifier,
    images: Tensor,
    labels: Tensor,
    protocol: ClassificationProtocol,
    *,
    command: str = "",
    progress: TitledProgress | None = None,
) -> list[Row]:
    """Return every row of a classifier on test images [n, c, h, w] in [0, 1] with labels [n].

    Standard errors are those of the thermal noise, over runs or devices, for the given images. Another test set adds
    sqrt(accuracy (1 - accuracy) / n).

    Cost: `runs + devices + 1` runs on every image.
    """
    report = progress or (lambda description, done, total: None)
    n, seed, averaged = len(images), protocol.seed, protocol.averaged
    row = partial(Row, num_samples=n, seed=seed, kind="measured", command=command)
    device = device_of(model)
    started = time.perf_counter()
    inference = model.infer(
        images, runs=protocol.runs, seed=seed, batch_size=protocol.batch_size, progress=partial(report, "runs")
    )
    seconds = time.perf_counter() - started
    groups = inference.outputs.unflatten(1, (-1, averaged))  # [image, group, run, class]
    rows = []

    def over_runs(metric: str, values: Tensor, note: str) -> None:
        """Add the row of one value per run or group, [n]."""
        mean, error = mean_of(values)
        rows.append(row(metric, mean, "", stderr=error, note=note))

    single = f"{protocol.runs} runs on each image"
    together = f"{protocol.runs // averaged} groups of {averaged} runs on each image"
    ranked = inference.outputs.topk(2, -1).indices
    over_runs("test accuracy, one run", (ranked[..., 0] == labels[:, None]).double().mean(0), single)
    answers = groups.mean(2).argmax(-1)
    over_runs(f"test accuracy, {averaged} runs averaged", (answers == labels[:, None]).double().mean(0), together)
    over_runs("top-2 accuracy, one run", (ranked == labels[:, None, None]).any(-1).double().mean(0), single)
    cold = noiseless(model).infer(images, seed=seed, batch_size=protocol.batch_size).outputs
    accuracy = (cold[:, 0].argmax(-1) == labels).double().mean().item()
    rows.append(row("test accuracy, noiseless dynamics", accuracy, "", note="the same machine at kT = 0"))
    for metric, probabilities in {
        "one run": model.probabilities(inference.outputs.unsqueeze(2)),
        f"{averaged} runs": model.probabilities(groups),
    }.items():
        error = torch.stack([calibration_error(p, labels) for p in probabilities.unbind(1)])
        over_runs(f"expected calibration error, {metric}", error, f"{_BINS} bins of equal width")
        kept = torch.stack([accuracy_of_the_confident(p, labels, 0.9) for p in probabilities.unbind(1)])
        over_runs(f"accuracy on the 90 % most confident, {metric}", kept, "the others rejected by largest probability")
    if protocol.devices:
        accuracies = []
        for number in range(protocol.devices):
            imperfect = copy.deepcopy(model)
            realise(imperfect, bits=protocol.bits, mismatch=protocol.mismatch, seed=seed, device_id=number)
            outputs = imperfect.infer(images, seed=seed, batch_size=protocol.batch_size).outputs
            accuracies.append((outputs[:, 0].argmax(-1) == labels).double().mean())
            report("imperfect devices", number + 1, protocol.devices)
        couplings = f"{protocol.bits}-bit couplings, " if protocol.bits else ""
        metric = f"test accuracy, one run, {couplings}{protocol.mismatch:.0%} mismatch"
        over_runs(metric, torch.stack(accuracies), f"{protocol.devices} devices")
    rows += [
        row("parameters", sum(parameter.numel() for parameter in model.parameters()), "", num_samples=0),
        row("time", seconds / (n * protocol.runs), "s per inference", note=describe_hardware(device)),
        *heat_rows(inference.heat[:, 0], seed, command=command, what="inference"),
    ]
    return rows


def noiseless(model: ThermodynamicClassifier) -> ThermodynamicClassifier:
    """Return the machine at kT = 0."""
    cold = copy.deepcopy(model)
    cold.layer.temperature = 0.0
    return cold


def calibration_error(probabilities: Tensor, labels: Tensor, bins: int = _BINS) -> Tensor:
    """Return the expected calibration error, the mean over images of |accuracy - confidence| in their bin.

    Args:
        probabilities: [n, class].
        labels: [n].
        bins: number of bins of confidence, of equal width in [0, 1].
    """
    accuracy, confidence, weight = reliability(probabilities, labels, bins)
    return (weight * (accuracy - confidence).abs()).nansum()


def reliability(probabilities: Tensor, labels: Tensor, bins: int = _BINS) -> tuple[Tensor, Tensor, Tensor]:
    """Return accuracy, mean confidence and share of the images in each confidence bin, [bin], NaN for empty ones."""
    confidence, answer = probabilities.double().max(-1)
    place = (confidence * bins).long().clamp_max(bins - 1)
    count = torch.bincount(place, minlength=bins).double()
    correct = torch.bincount(place, (answer == labels).double(), minlength=bins)
    return correct / count, torch.bincount(place, confidence, minlength=bins) / count, count / len(labels)


def accuracy_of_the_confident(probabilities: Tensor, labels: Tensor, kept: float) -> Tensor:
    """Return the accuracy on the share `kept` of the images with the largest probability of the answer."""
    confidence, answer = probabilities.max(-1)
    chosen = confidence.argsort(descending=True)[: round(kept * len(labels))]
    return (answer[chosen] == labels[chosen]).double().mean()
