import pytest
import torch

from scripts.pages.neuron_figures import activation_figure, cosine_error, cosine_figure
from thermotorch.models.classifier.layered import LayeredComputer


def computer() -> LayeredComputer:
    torch.manual_seed(0)
    return LayeredComputer([2, 1], temperature=0.0, dt=0.1)


def test_a_constant_answer_scores_the_plateau():
    """phi of y = c: c^2 plus the mean square of the cosine, 1/2 and half of 1/16 for the end point that counts
    twice.
    """
    model = computer()
    model.output.data.zero_()
    assert cosine_error(model, 1.0, samples=1) == pytest.approx(0.5 + 0.5 / 16, abs=1e-5)


def test_the_activations_are_drawn_for_three_wells_and_finite_times():
    figure = activation_figure(times=(0.01,), samples=10)
    titles = [axes.get_title() for axes in figure.axes]
    assert [title.startswith(("J = (1, 0, 0)", "J = (0, 0, 1)", "J = (1, 0, 1)")) for title in titles] == [True] * 4
    (line, *_) = figure.axes[0].get_lines()
    force, mean = torch.tensor(line.get_xydata()).T
    torch.testing.assert_close(mean, force / 2)


def test_the_cosine_figure_has_every_way_to_train_in_every_panel():
    curve = torch.tensor([10.0, 100.0]), torch.tensor([0.5, 0.1])
    figure = cosine_figure({"one": curve, "two": curve}, {"one": computer(), "two": computer()}, samples=1)
    training, fit, notch = figure.axes
    assert [len(axes.get_lines()) for axes in (training, fit, notch)] == [3, 3, 3]
