import pytest
import torch

from scripts.pages.classifier_figures import Point, frontier_figure, hotter, observed_at, point, uncertainty_figure
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
