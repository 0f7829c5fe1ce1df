"""Which machines, images and runs stand in the figures of classifiers."""

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
    monkeypatch.setattr(draw_classifiers, "observed_at", lambda model, time: [*model, f"at {time}"])
    monkeypatch.setattr(draw_classifiers, "hotter", lambda model, factor: [*model, f"{factor} times"])
    monkeypatch.setattr(draw_classifiers, "point", lambda model, images, labels: (*model, len(images)))
    monkeypatch.setattr(draw_classifiers, "uncertainty_figure", figure)
    monkeypatch.setattr(draw_classifiers, "frontier_figure", figure)
    monkeypatch.setattr(draw_classifiers, "activation_figure", figure)
    monkeypatch.setattr(draw_classifiers, "cosine_figure", figure)
    monkeypatch.setattr(draw_classifiers, "history", lambda run: f"history of {run}")
    data = SimpleNamespace(test_images=lambda: (images, torch.arange(40)))
    monkeypatch.setattr(draw_classifiers, "named_data", lambda name, folder: seen.update(data=(name, folder)) or data)
    return seen


def drawn(monkeypatch, *words) -> None:
    monkeypatch.setattr("sys.argv", ["draw_classifiers", *words])
    draw_classifiers.main()


def test_classifiers_are_judged_on_random_test_images_of_mnist(told, monkeypatch, capsys):
    drawn(monkeypatch, "classifier", "one", "two", "--data-dir", "there", "--images", "7")
    assert told["data"] == ("MNIST", "there")
    (name, dpi, (model, images, labels)), (other, _, (series,)) = told["saved"]
    assert (name, other, dpi, model) == ("uncertainty.png", "heat_frontier.png", 100, ["classifier.end_to_end"])
    chosen = torch.randperm(40, generator=torch.Generator().manual_seed(0))[:7]
    assert torch.equal(labels, chosen) and torch.equal(images.flatten().long(), chosen), "each image with its label"
    shipped = "classifier.end_to_end"
    assert series == {
        "shipped, read at 0.02 ... 0.3": [(shipped, f"at {t}", 7) for t in (0.02, 0.03, 0.05, 0.1, 0.15, 0.2, 0.3)],
        "shipped, 1 ... 300 times hotter": [(shipped, f"{f} times", 7) for f in (1, 3, 10, 30, 100, 300)],
        "teacher and student": [("classifier.teacher_student", 7)],
        "trained at other prices of heat": [
            ("trained", Path(run) / draw_classifiers.LAST, 7) for run in ("one", "two")
        ],
    }  # fmt: skip
    assert capsys.readouterr().out.count("trained") == 2


def test_without_runs_there_is_no_line_of_them_and_all_test_images_are_asked_for(told, monkeypatch):
    drawn(monkeypatch, "classifier")
    assert told["data"] == ("MNIST", "data")
    assert len(told["saved"][0][2][1]) == 40, "all there are of the ten thousand"
    assert list(told["saved"][1][2][0])[-1] == "teacher and student"


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
