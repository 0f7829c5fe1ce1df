"""Figures of thermodynamic classifiers: calibration, rejection, and accuracy against heat; they need matplotlib."""

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from scripts.pages.neuron_figures import new_figure
from thermotorch.evaluation.quality.classification import (
    accuracy_of_the_confident,
    calibration_error,
    noiseless,
    reliability,
)
from thermotorch.models.classifier.machine import ThermodynamicClassifier

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PUBLISHED = {"paper, 91.7 %": (1e5, 0.917)}  # heat in kT and accuracy of one run, Whitelam, PNAS 123 (2026)


class Point(NamedTuple):
    """A machine on the plane of heat and accuracy."""

    heat: float  # per inference, kT
    accuracy: float  # of one run
    stderr: float  # of the accuracy, over images


def uncertainty_figure(
    model: ThermodynamicClassifier, images: Tensor, labels: Tensor, runs: int = 10, seed: int = 0
) -> "Figure":
    """Draw reliability and rejection for one run, several runs, and the machine without noise."""
    found = model.infer(images, runs=runs, seed=seed).outputs
    predictive = {
        "one run": model.probabilities(found[:, :1]),
        f"{runs} runs": model.probabilities(found),
        "no noise": model.probabilities(noiseless(model).infer(images).outputs),
    }
    figure = new_figure(8.5, 3.6)
    calibration, rejection = figure.subplots(1, 2)
    calibration.plot([0, 1], [0, 1], color="grey", linestyle=":")
    kept = torch.linspace(0.5, 1.0, 51)
    for name, probabilities in predictive.items():
        accuracy, confidence, weight = reliability(probabilities, labels)
        filled = weight > 2e-3
        error = calibration_error(probabilities, labels).item()
        calibration.plot(confidence[filled], accuracy[filled], "o-", markersize=3, label=f"{name}, error {error:.3f}")
        wrong = [1 - accuracy_of_the_confident(probabilities, labels, share).item() for share in kept.tolist()]
        rejection.plot(1 - kept, wrong, label=name)
    calibration.set(xlabel="confidence", ylabel="accuracy", title=f"{len(labels):,} test images")
    calibration.legend(frameon=False)
    rejection.set(xlabel="rejected share", ylabel="error rate of the others", yscale="log")
    return figure


def point(model: ThermodynamicClassifier, images: Tensor, labels: Tensor, seed: int = 0) -> Point:
    """Return the machine's point for one run on every image."""
    found = model.infer(images, seed=seed)
    right = (found.outputs[:, 0].argmax(-1) == labels).double()
    return Point(found.heat.mean().item(), right.mean().item(), right.std().item() / len(labels) ** 0.5)


def hotter(model: ThermodynamicClassifier, factor: float) -> ThermodynamicClassifier:
    """Return the machine at `factor` times its temperature."""
    changed = copy.deepcopy(model)
    changed.layer.temperature *= factor
    return changed


def observed_at(model: ThermodynamicClassifier, t_final: float) -> ThermodynamicClassifier:
    """Return the machine read at another time."""
    changed = copy.deepcopy(model)
    changed.layer.t_final, changed.layer.steps = t_final, round(t_final / changed.layer.dt)
    return changed


def frontier_figure(series: Mapping[str, Sequence[Point]]) -> "Figure":
    """Error rate against heat per inference, one line for each way to change a machine, and the paper's point."""
    figure = new_figure(6, 4)
    axes = figure.subplots()
    for name, points in series.items():
        ordered = sorted(points)
        heat, error = [p.heat for p in ordered], [1 - p.accuracy for p in ordered]
        axes.errorbar(heat, error, [p.stderr for p in ordered], fmt="o-", markersize=4, label=name)
    for name, (heat, accuracy) in PUBLISHED.items():
        axes.plot([heat], [1 - accuracy], "k*", markersize=10, label=name)
    axes.set(xscale="log", yscale="log", xlabel="heat per inference, kT", ylabel="error rate of one run")
    axes.legend(frameon=False)
    return figure
