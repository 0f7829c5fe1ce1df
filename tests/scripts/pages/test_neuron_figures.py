import pytest
import torch

from scripts.pages.neuron_figures import activation_figure, cosine_error, cosine_figure, neuron_response
from thermotorch.couplings import BlockCouplings
from thermotorch.dynamics import simulate
from thermotorch.models.classifier.layered import LayeredComputer
from thermotorch.models.classifier.neuron import neuron_activation
from thermotorch.potential import Potential


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


def test_every_curve_of_the_activations_is_that_of_its_well_and_temperature():
    figure = activation_figure(betas=(1.0, 4.0), times=(0.05, 0.1), samples=20, seed=3)
    force = torch.linspace(-10, 10, 401, dtype=torch.float64)
    wells = [(1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (1.0, 0.0, 1.0)]
    *equilibrium, finite = figure.axes
    for axes, well in zip(equilibrium, wells, strict=True):
        assert axes.get_title() == f"J = ({well[0]:g}, {well[1]:g}, {well[2]:g}), equilibrium"
        assert axes.get_xlabel() == "input I"
        for line, beta in zip(axes.get_lines(), (1.0, 4.0), strict=True):
            assert line.get_label() == f"$\\beta$ = {beta:g}"
            found = torch.tensor(line.get_xydata())
            torch.testing.assert_close(found[:, 0], force)
            torch.testing.assert_close(found[:, 1], neuron_activation(force, *well, 1 / beta))
    assert "mean position" in equilibrium[0].get_ylabel() and equilibrium[0].get_ylim() == (-2, 2)
    some = torch.linspace(-10, 10, 21)
    for bars, time in zip(finite.containers, (0.05, 0.1), strict=True):
        expected = neuron_response(some, time, num_samples=20, temperature=0.1, seed=3)
        assert bars.get_label() == f"t = {time:g}"
        torch.testing.assert_close(torch.tensor([float(y) for y in bars[0].get_ydata()]), expected.mean)
        ends = torch.tensor([[float(y) for y in segment[:, 1]] for segment in bars[2][0].get_segments()])
        torch.testing.assert_close(ends[:, 1] - ends[:, 0], 2 * expected.stderr, rtol=1e-4, atol=1e-6)
    (black,) = [line for line in finite.get_lines() if line.get_label() == "equilibrium"]
    torch.testing.assert_close(torch.tensor(black.get_ydata()), neuron_activation(force, temperature=0.1))
    assert finite.get_title() == "J = (1, 0, 1), $\\beta$ = 10, 20 runs"


def test_every_curve_of_the_cosine_is_of_its_way_to_train():
    histories = {
        "one": (torch.tensor([10.0, 100.0]), torch.tensor([0.5, 0.1])),
        "two": (torch.tensor([20.0, 50.0]), torch.tensor([0.4, 0.3])),
    }
    models = {"one": computer(), "two": LayeredComputer([3, 1], temperature=0.2, dt=0.1)}
    figure = cosine_figure(histories, models, samples=5, seed=4)
    training, fit, notch = figure.axes
    z, times = torch.linspace(0, 1, 101), torch.linspace(0.2, 2.0, 19)
    curves = {
        axes: {line.get_label(): torch.tensor(line.get_xydata()) for line in axes.get_lines()} for axes in figure.axes
    }
    for name, (runs, phi) in histories.items():
        torch.testing.assert_close(curves[training][name].float(), torch.stack([runs, phi], 1))
        with torch.no_grad():
            torch.testing.assert_close(curves[fit][name][:, 1].float(), models[name](z, 5, 4).flatten())
        errors = [cosine_error(models[name], time, samples=5, seed=4) for time in times.tolist()]
        torch.testing.assert_close(curves[notch][name].float(), torch.stack([times, torch.tensor(errors)], 1))
    torch.testing.assert_close(curves[fit]["cos 2$\\pi$z"][:, 1].float(), torch.cos(2 * torch.pi * z))
    assert set(curves[training]["best constant"][:, 1].tolist()) == {0.5}
    (line,) = [line for line in notch.get_lines() if line.get_label() not in models]
    assert set(line.get_xdata()) == {models["one"].t_final}
    assert [axes.get_xlabel() for axes in figure.axes] == ["simulated runs", "input z", "observation time"]
    assert fit.get_ylabel() == "output, 5 runs averaged" and training.get_ylabel() == notch.get_ylabel() != ""
    assert (training.get_xscale(), training.get_yscale(), notch.get_yscale()) == ("log", "log", "log")


def test_the_error_of_a_computer_is_that_of_its_runs_at_that_time():
    model = LayeredComputer([3, 1], temperature=0.2, dt=0.1)
    z = torch.linspace(0, 1, 7)
    with torch.no_grad():
        expected = (model(z, 9, 3, t_final=0.5) - torch.cos(2 * torch.pi * z)).square().mean().item()
    assert cosine_error(model, 0.5, samples=9, inputs=7, seed=3) == pytest.approx(expected)
    assert cosine_error(model, 0.5) == cosine_error(model, 0.5, samples=25, inputs=16, seed=1)


def test_a_response_is_the_mean_over_runs_with_its_error():
    force = torch.tensor([-2.0, 0.5])
    found = neuron_response(force, 0.3, num_samples=50, dt=0.01, temperature=0.2, seed=3)
    potential = Potential(BlockCouplings({"neuron": 2}, []), 1.0, 0.0, 1.0)
    run = simulate(potential, torch.zeros(50, 2), steps=30, dt=0.01, temperature=0.2, seed=3, drive=force)
    torch.testing.assert_close(found.mean, run.state.mean(0))
    torch.testing.assert_close(found.variance, run.state.var(0))
    torch.testing.assert_close(found.stderr, (run.state.var(0) / 50).sqrt())
    soft = neuron_response(force, 0.3, num_samples=50, dt=0.01, temperature=0.2, seed=3, j2=0.5, j3=0.1, j4=0.2)
    assert (soft.mean.abs() > found.mean.abs()).all()
