"""The machines, images and runs in the figures of classifiers."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from scripts.pages import draw_classifiers


@pytest.fixture
def told(monkeypatch, tmp_path):
    """Return what was drawn, from stand-ins that are lists of what was done to them."""
    seen = {"saved": []}

    def figure(*given):
        return SimpleNamespace(savefig=lambda path, dpi: seen["saved"].append((path.name, dpi, given)))

    images = torch.arange(40.0).view(40, 1, 1, 1)
    monkeypatch.setattr(draw_classifiers, "FIGURES", tmp_path)
    monkeypatch.setattr(draw_classifiers, "load_checkpoint", lambda name: [name])
    monkeypatch.setattr(draw_classifiers, "trained_model", lambda path: ["trained", path])
    monkeypatch.setattr(draw_classifiers, "uncertainty_figure", figure)
    monkeypatch.setattr(draw_classifiers, "activation_figure", figure)
    monkeypatch.setattr(draw_classifiers, "cosine_figure", figure)
    monkeypatch.setattr(draw_classifiers, "history", lambda run: f"history of {run}")
    data = SimpleNamespace(test_images=lambda: (images, torch.arange(40)))
    monkeypatch.setattr(draw_classifiers, "named_data", lambda name, folder: seen.update(data=(name, folder)) or data)
    return seen


def drawn(monkeypatch, *words) -> None:
    monkeypatch.setattr("sys.argv", ["draw_classifiers", *words])
    draw_classifiers.main()


def test_calibration_is_that_of_the_shipped_classifier_on_random_test_images(told, monkeypatch):
    drawn(monkeypatch, "classifier", "--data-dir", "there", "--images", "7")
    assert told["data"] == ("MNIST", "there")
    ((name, dpi, (model, images, labels)),) = told["saved"]
    assert (name, dpi, model) == ("uncertainty.png", 100, ["classifier.end_to_end"])
    chosen = torch.randperm(40, generator=torch.Generator().manual_seed(0))[:7]
    assert torch.equal(labels, chosen) and torch.equal(images.flatten().long(), chosen), "each image with its label"
    drawn(monkeypatch, "classifier")
    assert told["data"] == ("MNIST", "data")
    assert len(told["saved"][1][2][1]) == 40, "all there are of the ten thousand"


def test_the_cosine_needs_a_run_of_each_way_to_train(told, monkeypatch):
    drawn(monkeypatch, "cosine", "one", "two")
    ((name, _, (histories, models)),) = told["saved"]
    assert name == "cosine.png"
    assert histories == {"genetic algorithm": "history of one", "pathwise gradient": "history of two"}
    assert models["genetic algorithm"] == ["trained", Path("one") / draw_classifiers.LAST]
    with pytest.raises(ValueError, match="zip"):
        drawn(monkeypatch, "cosine", "one")
    drawn(monkeypatch, "neuron")
    assert told["saved"][-1] == ("neuron.png", 100, ())
