import pytest
import torch

from scripts.pages.classifier_figures import Point, frontier_figure, hotter, observed_at, point, uncertainty_figure
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
    hot, late = hotter(model, 4.0), observed_at(model, 0.2)
    assert (hot.layer.temperature, model.layer.temperature) == (4.0, 1.0)
    assert (late.layer.steps, model.layer.steps) == (10, 5)
    halfway = late.layer.run(late.features(images), seed=0, record=5).states[0]
    torch.testing.assert_close(halfway, model.run(images, seed=0).state)


def test_a_point_is_one_run_on_every_image(model, test_set):
    images, labels = test_set
    found, where = model.infer(images, seed=3), point(model, images, labels, seed=3)
    right = (found.outputs[:, 0].argmax(1) == labels).double()
    assert where.accuracy == pytest.approx(right.mean().item())
    assert where.heat == pytest.approx(found.heat.mean().item())
    assert where.stderr == pytest.approx((right.std() / 60**0.5).item())


def test_the_figures_show_what_they_are_given(model, test_set):
    figure = uncertainty_figure(model, *test_set, runs=2)
    assert [text.get_text().split(",")[0] for text in figure.axes[0].get_legend().get_texts()] == [
        "one run", "2 runs", "no noise",
    ]  # fmt: skip
    frontier = frontier_figure({"mine": [Point(200.0, 0.9, 0.01), Point(100.0, 0.8, 0.01)]})
    heat, error = frontier.axes[0].get_lines()[0].get_data()
    assert list(heat) == [100.0, 200.0]
    assert list(error) == pytest.approx([0.2, 0.1])


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


def test_the_frontier_has_the_errors_of_its_points_and_the_star_of_the_paper():
    figure = frontier_figure({"mine": [Point(200.0, 0.9, 0.02), Point(100.0, 0.8, 0.01)]})
    (axes,) = figure.axes
    (bars,) = axes.containers
    segments = [[float(y) for y in segment[:, 1]] for segment in bars[2][0].get_segments()]
    assert segments == [pytest.approx([0.19, 0.21]), pytest.approx([0.08, 0.12])]
    stars = [line for line in axes.get_lines() if line.get_marker() == "*"]
    assert [(star.get_label(), *star.get_xydata()[0]) for star in stars] == [
        ("paper, 91.7 %", 1e5, pytest.approx(1 - 0.917))
    ]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("heat per inference, kT", "error rate of one run")
