"""The predicted errors of read-outs, against the spread over many independent ones."""

import pytest
import torch

from tests.linear_algebra import exact
from tests.linear_algebra.matrices import normal, positive
from tests.physics import assert_within
from thermotorch.dynamics.linear.ornstein_uhlenbeck import OrnsteinUhlenbeck
from thermotorch.linear_algebra import sampling_error

COUNT, READS, INTERVAL = 4000, 30, 0.4
SYSTEMS = {
    "symmetric": (positive(3), 1.4 * torch.eye(3, dtype=torch.float64)),  # kT = 0.7
    "general": (normal(3, 3) + 2 * torch.eye(3), positive(3, seed=1)),
}


def runs(name: str) -> tuple[OrnsteinUhlenbeck, torch.Tensor]:
    """Return stationary paths [read, run, unit]."""
    A, D = SYSTEMS[name]
    ou = OrnsteinUhlenbeck(A, D=D)
    times = torch.cat([torch.zeros(1), 100 + INTERVAL * torch.arange(READS)]).double()
    return ou, ou.sample(times, torch.zeros(COUNT, 3, dtype=torch.float64), seed=0)[1:]


def assert_variance(samples: torch.Tensor, predicted: torch.Tensor) -> None:
    """Compare the variance over dim 0 with its prediction, within the error from the samples' fourth moment."""
    squares = (samples - samples.mean(0)).square()
    assert_within(squares.mean(0), predicted, squares.std(0) / len(samples) ** 0.5, 4.5)


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_variance_of_means(name):
    ou, x = runs(name)
    predicted = exact.mean_covariance(ou.transition(INTERVAL).decay, ou.stationary()[1], READS)
    means = x.mean(0)
    assert_variance(means, predicted.diagonal())
    assert_variance(means.sum(-1), predicted.sum())


@pytest.mark.parametrize("lag", [0, 2])
@pytest.mark.parametrize("name", SYSTEMS)
def test_the_variance_of_covariances(name, lag):
    ou, x = runs(name)
    pairs = torch.einsum("tri,trj->rij", x[lag:], x[: len(x) - lag]) / (len(x) - lag)
    law = ou.transition(INTERVAL).decay, ou.stationary()[1]
    assert_variance(pairs, exact.covariance_variance(*law, READS - lag, lag))


def test_the_closed_forms_are_the_sums():
    A, kT = SYSTEMS["symmetric"][0], 0.7
    ou, x = runs("symmetric")
    decay, covariance = ou.transition(INTERVAL).decay, ou.stationary()[1]
    entries = exact.covariance_variance(decay, covariance, READS)
    error = sampling_error.inverse_error(torch.linalg.eigvalsh(A), READS, INTERVAL)
    assert error == pytest.approx((entries.sum().sqrt() / covariance.norm()).item(), rel=1e-9)
    means = exact.mean_covariance(decay, covariance, READS)
    error = sampling_error.solution_error(torch.linalg.eigvalsh(A), 2.0, kT, READS, INTERVAL)
    assert error == pytest.approx(means.trace().sqrt().item() / 2, rel=1e-9)
    form = positive(3, seed=4)
    energies = torch.einsum("tri,ij,trj->r", x, form, x) / len(x)
    assert_variance(energies, torch.tensor(exact.quadratic_variance(A, form, kT, READS, INTERVAL)).double())
