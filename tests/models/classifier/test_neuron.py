"""The thermodynamic neuron against quadrature, its closed limits, and simulation."""

import pytest
import torch

from scripts.pages.neuron_figures import neuron_response
from tests.physics import Boltzmann, assert_within, expectation_after
from thermotorch.models.classifier.neuron import NeuronActivation, neuron_activation

float64 = torch.float64
WELLS = [(0.0, 0.0, 1.0), (1.0, 0.0, 1.0), (1.0, 1.5, 1.0), (-2.0, 0.0, 1.0), (-1.0, 0.7, 0.5)]

# <x>(I) at I = 0.5, 1, 2, 5, 10 and the variance at I = 0, tabulated independently.
PUBLISHED = [
    ((1.0, 0.0, 0.0), 1.0, (0.2500, 0.5000, 1.0000, 2.5000, 5.0000), 0.5000),
    ((0.0, 0.0, 1.0), 1.0, (0.1671, 0.3236, 0.5813, 0.9988, 1.3218), 0.3380),
    ((1.0, 0.0, 1.0), 1.0, (0.1163, 0.2290, 0.4323, 0.8421, 1.1968), 0.2340),
    ((1.0, 0.0, 1.0), 0.1, (0.1959, 0.3549, 0.5708, 0.9162, 1.2312), 0.04088),
    ((1.0, 0.0, 1.0), 0.0, (0.2267, 0.3855, 0.5898, 0.9237, 1.2348), None),
]


@pytest.mark.parametrize(("well", "temperature", "means", "variance"), PUBLISHED)
def test_the_published_table(well, temperature, means, variance):
    force = torch.tensor([0.5, 1.0, 2.0, 5.0, 10.0], dtype=float64)
    found = neuron_activation(force, *well, temperature)
    torch.testing.assert_close(found, torch.tensor(means, dtype=float64), rtol=0, atol=6e-5)
    torch.testing.assert_close(neuron_activation(-force, *well, temperature), -found)
    if variance is not None:
        zero = torch.zeros((), dtype=float64, requires_grad=True)
        (slope,) = torch.autograd.grad(neuron_activation(zero, *well, temperature), zero)
        assert slope.item() * temperature == pytest.approx(variance, abs=6e-5)


@pytest.mark.parametrize("temperature", [1.0, 0.1, 0.01])
@pytest.mark.parametrize("well", WELLS)
def test_mean_and_slope_equal_quadrature(well, temperature):
    """The slope is var / kT. Quadrature on 40,001 fixed nodes against some tens of nodes that move with the force."""
    force = torch.tensor([-30.0, -3.0, -0.3, 0.0, 0.01, 1.0, 20.0], dtype=float64, requires_grad=True)
    truth = [Boltzmann(*well, f, temperature) for f in force.tolist()]
    mean = neuron_activation(force, *well, temperature)
    (slope,) = torch.autograd.grad(mean.sum(), force)
    torch.testing.assert_close(mean, torch.tensor([b.mean() for b in truth], dtype=float64), rtol=0, atol=1e-11)
    variance = torch.tensor([b.variance for b in truth], dtype=float64)
    torch.testing.assert_close(slope * temperature, variance, rtol=1e-10, atol=0)
    torch.testing.assert_close(
        neuron_activation(force.float(), *well, temperature).double(), mean, rtol=2e-6, atol=2e-6
    )


@pytest.mark.parametrize("temperature", [0.0, 0.3])
@pytest.mark.parametrize("well", [(1.0, 0.0, 0.0), (1.0, 0.5, 1.0), (-1.0, 0.7, 0.5)])
def test_derivatives_equal_finite_differences(well, temperature):
    force = torch.linspace(-4.1, 4, 8, dtype=float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda f: neuron_activation(f, *well, temperature), force)
    assert torch.autograd.gradgradcheck(lambda f: neuron_activation(f, *well, temperature), force)


@pytest.mark.parametrize("temperature", [1e-3, 1e-2, 1.0])
@pytest.mark.parametrize("j4", [0.01, 1.0, 100.0])
def test_a_pair_of_wells_is_at_zero_on_average_without_a_force(j4, temperature):
    """Both of them, however far apart and however many kT deep, up to the force at which one wins."""
    force = torch.tensor([0.0, -0.02, 0.02], dtype=float64)
    none, down, up = neuron_activation(force, -0.5, 0.0, j4, temperature)
    assert abs(none) < 1e-7 and up > 0
    torch.testing.assert_close(down, -up)


def test_small_and_large_forces():
    """Linear with slope 1 / (2 j2) for cold neurons, then the cube root;
    at any temperature the same for large forces.
    """
    small, large = torch.tensor([1e-3], dtype=float64), torch.tensor([1e6], dtype=float64)
    torch.testing.assert_close(neuron_activation(small, 0.7, 0.0, 2.0, 0.0), small / 1.4, rtol=1e-5, atol=0)
    for temperature in (0.0, 1.0, 10.0):
        cube_root = (large / 8.0) ** (1 / 3)
        torch.testing.assert_close(neuron_activation(large, 0.0, 0.0, 2.0, temperature), cube_root, rtol=1e-6, atol=0)
    torch.testing.assert_close(neuron_activation(small, 0.7, 0.0, 0.0, 5.0), small / 1.4)


def test_simulated_neurons_reach_the_activation():
    force = torch.tensor([-5.0, 0.0, 0.5, 2.0])
    found = neuron_response(force, 3.0, dt=0.02, num_samples=4000, temperature=0.5, integrator="leimkuhler_matthews")
    truth = neuron_activation(force, temperature=0.5)
    assert_within(found.mean, truth, found.stderr, 4)
    variance = torch.tensor([Boltzmann(1.0, 0.0, 1.0, f, 0.5).variance for f in force.tolist()])
    assert_within(found.variance, variance, variance * (2 / 4000) ** 0.5 * 1.2, 4)


def test_at_a_finite_time_it_is_the_propagator_and_not_the_activation():
    force, time = torch.tensor([1.0, 5.0]), 0.2
    found = neuron_response(force, time, dt=2e-3, num_samples=4000, temperature=0.5, seed=1, integrator="heun")
    truth = torch.tensor([
        expectation_after(lambda x: x, 0.0, time, j2=1.0, j4=1.0, temperature=0.5, force=f) for f in force.tolist()
    ])  # fmt: skip
    assert_within(found.mean, truth, found.stderr, 4)
    assert ((neuron_activation(force, temperature=0.5) - found.mean) / found.stderr).min() > 20


def test_the_module_is_the_function_and_trains():
    torch.manual_seed(0)
    module = NeuronActivation(j2=0.5, j3=0.1, j4=2.0, temperature=0.2)
    assert repr(module) == "NeuronActivation(j2=0.5, j3=0.1, j4=2.0, temperature=0.2)"
    x = torch.linspace(-3, 3, 7)
    assert torch.equal(module(x), neuron_activation(x, 0.5, 0.1, 2.0, 0.2))
    net = torch.nn.Sequential(torch.nn.Linear(1, 16), module, torch.nn.Linear(16, 1))
    optimizer = torch.optim.Adam(net.parameters(), 0.02)
    x = torch.linspace(-1, 1, 64).unsqueeze(1)
    for _ in range(300):
        loss = (net(x) - torch.cos(3 * x)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.01


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: neuron_activation(torch.ones(2), 1.0, 0.0, -1.0), "no lower bound"),
        (lambda: neuron_activation(torch.ones(2), 0.0, 0.0, 0.0), "no lower bound"),
        (lambda: NeuronActivation(j3=1.0, j4=0.0), "no lower bound"),
        (lambda: NeuronActivation(temperature=-0.1), "temperature must be finite and not negative"),
        (lambda: neuron_activation(torch.ones(2, dtype=torch.int64)), "force: expected a float32 or float64 tensor"),
        (lambda: neuron_response(torch.ones(2, 2), 1.0), r"force: expected a tensor \[force\]"),
        (lambda: neuron_response(torch.ones(2), 1.0, num_samples=1), "num_samples: expected at least 2"),
        (lambda: neuron_response(torch.ones(2), 0.1, dt=0.2), "dt must be positive and at most t_final"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
