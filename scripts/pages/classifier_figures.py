"""The figure of calibration and rejection, and classifiers with other settings; the figure needs matplotlib."""

from typing import TYPE_CHECKING

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


def changed(
    model: ThermodynamicClassifier,
    *,
    temperature: float | None = None,
    t_final: float | None = None,
    dt: float | None = None,
) -> ThermodynamicClassifier:
    """Return the machine at another temperature, read at another time, or simulated in other steps."""
    settings = {"temperature": temperature, "t_final": t_final, "dt": dt}
    other = ThermodynamicClassifier(**model.config | {key: value for key, value in settings.items() if value})
    other.load_state_dict(model.state_dict())
    return other.eval()
