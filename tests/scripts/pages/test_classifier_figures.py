import pytest
import torch

from scripts.pages.classifier_figures import changed, uncertainty_figure
from thermotorch.evaluation.quality.classification import accuracy_of_the_confident, calibration_error, reliability
from thermotorch.models.classifier.machine import ThermodynamicClassifier


@pytest.fixture
def model() -> ThermodynamicClassifier:
    torch.manual_seed(0)
    return ThermodynamicClassifier([1, 4, 4], num_classes=3, hidden=4, t_final=0.1, dt=0.02)


@pytest.fixture
def test_set() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(60, 1, 4, 4, generator=generator), torch.randint(3, (60,), generator=generator)


def test_changed_machines_leave_the_original_alone(model, test_set):
    images, _ = test_set
    hot, late, fine = changed(model, temperature=4.0), changed(model, t_final=0.2), changed(model, dt=0.01)
    assert (hot.layer.temperature, model.layer.temperature) == (4.0, 1.0)
    assert (late.layer.steps, fine.layer.steps, model.layer.steps) == (10, 10, 5)
    halfway = late.layer.run(late.features(images), seed=0, record=5).states[0]
    torch.testing.assert_close(halfway, model.run(images, seed=0).state)


def test_the_figure_shows_one_run_several_runs_and_no_noise(model, test_set):
    figure = uncertainty_figure(model, *test_set, runs=2)
    assert [text.get_text().split(",")[0] for text in figure.axes[0].get_legend().get_texts()] == [
        "one run", "2 runs", "no noise",
    ]  # fmt: skip


def lines(axes) -> dict[str, list[tuple[float, float]]]:
    return {line.get_label(): [(float(x), float(y)) for x, y in line.get_xydata()] for line in axes.get_lines()}


def test_reliability_and_rejection_are_those_of_one_run_of_several_and_of_none(model, test_set):
    images, labels = test_set
    figure = uncertainty_figure(model, images, labels, runs=3, seed=5)
    calibration, rejection = figure.axes
    outputs = model.infer(images, runs=3, seed=5).outputs
    cold = ThermodynamicClassifier([1, 4, 4], num_classes=3, hidden=4, t_final=0.1, dt=0.02)
    cold.load_state_dict(model.state_dict())
    cold.layer.temperature = 0.0
    predicted = {
        "one run": model.probabilities(outputs[:, :1]), "3 runs": model.probabilities(outputs),
        "no noise": model.probabilities(cold.infer(images).outputs),
    }  # fmt: skip
    drawn, rejected = lines(calibration), lines(rejection)
    for name, probabilities in predicted.items():
        accuracy, confidence, weight = reliability(probabilities, labels)
        filled = weight > 2e-3
        label = f"{name}, error {calibration_error(probabilities, labels).item():.3f}"
        assert drawn[label] == [*zip(confidence[filled].tolist(), accuracy[filled].tolist(), strict=True)]
        assert len(rejected[name]) == 51
        for (share, wrong), kept in zip(rejected[name], torch.linspace(0.5, 1.0, 51).tolist(), strict=True):
            right = accuracy_of_the_confident(probabilities, labels, kept).item()
            assert (share, wrong) == (pytest.approx(1 - kept, abs=1e-6), pytest.approx(1 - right))
    assert (calibration.get_xlabel(), calibration.get_ylabel()) == ("confidence", "accuracy")
    assert calibration.get_title() == "60 test images"
    assert (rejection.get_xlabel(), rejection.get_yscale()) == ("rejected share", "log")
    assert rejection.get_ylabel() == "error rate of the others"
