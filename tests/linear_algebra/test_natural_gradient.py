"""The thermodynamic natural gradient between gradient descent and natural gradient descent, and what it gains."""

import pytest
import torch

from tests.linear_algebra.matrices import normal, positive
from tests.physics import assert_within
from thermotorch.linear_algebra.natural_gradient import (
    gauss_newton,
    natural_gradient,
    output_jacobian,
    softmax_curvature,
)
from thermotorch.linear_algebra.solve import Device

SIGMAS = 4.5


@pytest.mark.parametrize("time", [0.1, 1.0, 30.0])
def test_the_mean_relaxes_from_the_gradient_to_the_natural_gradient(time):
    F, gradient = positive(), normal(5, seed=1)
    found = natural_gradient(F, gradient, time, device=Device(0.2), replicas=2000)
    natural = torch.linalg.solve(F, gradient)
    truth = natural + torch.linalg.matrix_exp(-F * time) @ (gradient - natural)
    values, vectors = torch.linalg.eigh(F)
    spread = (vectors**2 @ (0.2 / values * (1 - torch.exp(-2 * values * time)))) / 2000
    assert_within(found.value, truth, spread.sqrt(), SIGMAS)
    assert_within(found.stderr, spread.sqrt(), spread.sqrt() / 4000**0.5, SIGMAS)
    assert found.time == pytest.approx(2000 * time)
    assert (found.reads, found.loads) == (2000, 1)


def test_at_time_zero_it_is_the_gradient():
    gradient = normal(5, seed=1)
    assert torch.equal(natural_gradient(positive(), gradient, 0.0).value, gradient)
    assert torch.equal(natural_gradient(positive(), gradient, 0.0, start=torch.ones(5)).value, torch.ones(5).double())


def test_gauss_newton_of_a_linear_model_is_its_hessian():
    """Squared error of y = w.x: J = x, H = 1, so F is the Hessian of the mean loss."""
    x, y = normal(20, 3), normal(20, seed=1)
    hessian = torch.autograd.functional.hessian(lambda w: 0.5 * ((x @ w - y) ** 2).mean(), torch.zeros(3).double())
    F = gauss_newton(x.unsqueeze(1), torch.ones(20, 1, 1).double(), damping=1e-3)
    torch.testing.assert_close(F, hessian + 1e-3 * torch.eye(3))


def test_jacobian_and_curvature_are_those_of_autograd():
    """J^T H J of a linear classifier is the Hessian of its cross entropy by the weights."""
    model, x, y = torch.nn.Linear(3, 4).double(), normal(6, 3), torch.arange(6) % 4
    jacobian = output_jacobian(model, x)
    F = gauss_newton(jacobian, softmax_curvature(model(x)), damping=1e-9)

    def loss(vector):
        weight, bias = vector[:12].view(4, 3), vector[12:]
        return torch.nn.functional.cross_entropy(x @ weight.T + bias, y)

    at = torch.nn.utils.parameters_to_vector(model.parameters()).detach()
    torch.testing.assert_close(F, torch.autograd.functional.hessian(loss, at), rtol=1e-6, atol=2e-9)


def test_training_by_it_needs_fewer_steps_than_the_best_gradient_descent(digits8x8):
    """Five steps on 100 digits: loss below that of gradient descent at every rate of a grid."""
    images, labels = digits8x8[0][:100].flatten(1).double(), digits8x8[1][:100]

    def trained(step) -> float:
        torch.manual_seed(0)
        model = torch.nn.Linear(64, 10).double()
        for k in range(5):
            loss = torch.nn.functional.cross_entropy(model(images), labels)
            slopes = torch.autograd.grad(loss, list(model.parameters()))
            vector = torch.nn.utils.parameters_to_vector(model.parameters()).detach()
            vector = vector - step(model, torch.cat([slope.flatten() for slope in slopes]), k)
            torch.nn.utils.vector_to_parameters(vector, model.parameters())
        return torch.nn.functional.cross_entropy(model(images), labels).item()

    def natural(model, gradient, k):
        F = gauss_newton(output_jacobian(model, images), softmax_curvature(model(images)), damping=0.02)
        return natural_gradient(F, gradient, 100.0, device=Device(1e-5), seed=k).value

    descent = min(trained(lambda model, gradient, k, rate=rate: rate * gradient) for rate in (0.1, 0.3, 1.0, 3.0, 10.0))
    assert trained(natural) < 0.5 * descent


def test_one_noisy_step_beats_a_hundred_steps_down_an_ill_conditioned_gradient():
    """Least squares with a condition number of 1e4 (features on scales 1 to 100)."""
    x = normal(200, 4) * torch.tensor([1.0, 5.0, 20.0, 100.0], dtype=torch.float64)
    truth = normal(4, seed=1)
    y = x @ truth

    def gradient(w):
        return x.T @ (x @ w - y) / len(x)

    F = gauss_newton(x.unsqueeze(1), torch.ones(200, 1, 1).double(), damping=1e-6)
    descent = torch.zeros(4).double()
    for _ in range(100):
        descent = descent - gradient(descent) / torch.linalg.eigvalsh(F)[-1]
    step = natural_gradient(F, gradient(torch.zeros(4).double()), 20.0, device=Device(1e-4), start=torch.zeros(4))
    assert (descent - truth).norm() > 0.3
    assert (-step.value - truth).norm() < 0.05


@pytest.mark.parametrize(("call", "message"), [
    (lambda: natural_gradient(torch.eye(2), torch.ones(3), 1.0), r"gradient: expected shape \(2,\)"),
    (lambda: natural_gradient(torch.eye(2), torch.ones(2), -1.0), "time must be finite and not negative"),
    (lambda: natural_gradient(torch.eye(2), torch.ones(2), 1.0, device=Device(inertia=True)), "inertia=False"),
    (lambda: natural_gradient(torch.tensor([[1.0, 1.0], [0.0, 1.0]]), torch.ones(2), 1.0), "curvature is asymmetric"),
    (lambda: gauss_newton(torch.ones(1, 1, 2), torch.ones(1, 1, 1), 0.0), "damping must be finite and positive"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_replicas_are_counted_and_a_seed_repeats_them():
    arguments = {"device": Device(0.2)}
    found, same, other = (
        natural_gradient(positive(), normal(5, seed=1), 0.7, replicas=2, seed=seed, **arguments) for seed in (3, 3, 4)
    )
    assert torch.equal(found.value, same.value) and not torch.equal(found.value, other.value)
    assert (found.reads, found.loads, found.time) == (2, 1, pytest.approx(1.4))
    assert found.stderr.isfinite().all() and (found.stderr > 0).all()
    single = natural_gradient(positive(), normal(5, seed=1), 0.7, seed=3, **arguments)
    assert single.stderr.isnan().all() and single.stderr.shape == (5,) and single.value.isfinite().all()
    assert single.reads == 1


def test_the_jacobian_has_no_columns_of_frozen_parameters():
    """Otherwise the direction would not fit the parameters that an optimiser moves."""
    torch.manual_seed(0)
    model, x = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2)), torch.randn(5, 3)
    whole = output_jacobian(model, x)
    model[0].requires_grad_(False)
    assert whole.shape == (5, 2, 3 * 4 + 4 + 4 * 2 + 2)
    torch.testing.assert_close(output_jacobian(model, x), whole[..., 3 * 4 + 4 :])
