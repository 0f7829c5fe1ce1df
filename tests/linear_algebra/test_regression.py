"""Sampled regressions against their closed forms, within predicted errors."""

import pytest
import torch

from tests.linear_algebra import exact
from tests.linear_algebra.matrices import normal, unit_diagonal
from tests.physics import assert_within
from thermotorch.dynamics.linear.ornstein_uhlenbeck import OrnsteinUhlenbeck
from thermotorch.linear_algebra.regression import bayesian_linear_regression, gaussian_process
from thermotorch.linear_algebra.solve import Device, Readout

SIGMAS = 4.5
READOUT = Readout(reads=4000, warmup=400.0)


def assert_prediction(found, A, onto, mean, variance) -> None:
    """Compare mean and variance with the truth, within the predicted errors of the read-out."""
    loaded, scale = unit_diagonal(A)
    ou, rows = OrnsteinUhlenbeck(loaded, D=2 * torch.eye(len(A)).to(A)), onto * scale
    means = exact.mean_covariance(ou.transition(1.0).decay, ou.stationary()[1], READOUT.reads)
    predicted = torch.stack([row @ means @ row for row in rows]).sqrt()
    assert_within(found.mean, mean, predicted, SIGMAS)
    assert_within(found.mean_stderr, predicted, predicted / 38**0.5, SIGMAS)
    predicted = torch.tensor([
        exact.quadratic_variance(loaded, torch.outer(row, row), 1.0, READOUT.reads, 1.0) ** 0.5 for row in rows
    ])  # fmt: skip
    assert_within(found.variance, variance, predicted, SIGMAS)
    assert_within(found.variance_stderr, predicted, predicted / 38**0.5, SIGMAS)
    assert (found.reads, found.loads) == (8000, 1)


def test_gaussian_process():
    x, test = torch.linspace(-2, 2, 12).double(), torch.tensor([-2.5, -0.3, 0.7, 3.0]).double()

    def kernel(a, b):
        return torch.exp(-0.5 * (a[:, None] - b) ** 2)

    targets, A = torch.sin(2 * x), kernel(x, x) + 0.2 * torch.eye(12)
    found = gaussian_process(kernel(x, x), kernel(test, x), torch.ones(4).double(), targets, 0.2, readout=READOUT)
    mean = kernel(test, x) @ torch.linalg.solve(A, targets)
    variance = 1 - (kernel(test, x) @ torch.linalg.inv(A) * kernel(test, x)).sum(1)
    assert_prediction(found, A, kernel(test, x), mean, variance)
    assert variance[-1] > 5 * variance[1], "far from the data the prior is left"


def test_bayesian_linear_regression():
    phi, test, s, a = normal(40, 4), normal(6, 4, seed=1), 0.25, 0.5
    targets = phi @ normal(4, seed=2) + s**0.5 * normal(40, seed=3)
    found = bayesian_linear_regression(phi, targets, test, noise_variance=s, prior_precision=a, readout=READOUT)
    precision = phi.T @ phi / s + a * torch.eye(4)
    mean = test @ torch.linalg.solve(precision, phi.T @ targets / s)
    variance = (test @ torch.linalg.inv(precision) * test).sum(1)
    assert_prediction(found, precision, test, mean, variance)


def test_a_colder_device_has_the_same_variances_and_sharper_means():
    phi, targets = normal(40, 4), normal(40, seed=3)
    options = {"noise_variance": 1.0, "prior_precision": 1.0, "readout": READOUT}
    cold, warm = (
        bayesian_linear_regression(phi, targets, torch.eye(4).double(), device=Device(kT), seed=0, **options)
        for kT in (0.01, 1.0)
    )
    torch.testing.assert_close(cold.variance, warm.variance)
    torch.testing.assert_close(10 * cold.mean_stderr, warm.mean_stderr)


def test_shapes_that_do_not_fit_are_refused():
    """A kernel of four points and a cross kernel of two test points; two features of four points."""
    cases = [
        ((torch.eye(4), torch.ones(2, 3), torch.ones(2), torch.ones(4)), "expected 4 targets"),
        ((torch.eye(4), torch.ones(2, 4), torch.ones(2), torch.ones(3)), "expected 4 targets"),
        ((torch.eye(4), torch.ones(4), torch.ones(4), torch.ones(4)), "expected 4 targets"),
        ((torch.eye(4), torch.ones(2, 4), torch.ones(4), torch.ones(4)), "prior_variance: expected one for each test"),
        ((torch.ones(4, 3), torch.ones(2, 4), torch.ones(2), torch.ones(4)), "kernel: expected a square matrix"),
    ]
    for arguments, message in cases:
        with pytest.raises(ValueError, match=message):
            gaussian_process(*arguments, 0.1)
    for features, targets, test in (((4,), 4, (2, 2)), ((4, 2), 3, (2, 2)), ((4, 2), 4, (2, 3)), ((4, 2), 4, (2,))):
        with pytest.raises(ValueError, match=r"features(, targets: expected| and as many columns)"):
            bayesian_linear_regression(
                torch.ones(features), torch.ones(targets), torch.ones(test), noise_variance=1.0, prior_precision=1.0
            )


def test_the_same_seed_gives_the_same_prediction():
    """And another seed another one, of both kinds of regression."""
    kernel, cross = torch.eye(3).double() + 0.3, 0.4 * torch.ones(2, 3).double()
    options = {"readout": Readout(reads=400)}
    for call in (
        lambda seed: gaussian_process(kernel, cross, torch.ones(2), torch.ones(3).double(), 0.5, seed=seed, **options),
        lambda seed: bayesian_linear_regression(
            kernel, kernel[0], cross, noise_variance=0.5, prior_precision=2.0, seed=seed, **options
        ),
    ):
        first, same, other = call(1), call(1), call(2)
        assert torch.equal(first.mean, same.mean) and torch.equal(first.variance, same.variance)
        assert not torch.equal(first.mean, other.mean) and not torch.equal(first.variance, other.variance)


def test_means_and_variances_are_read_from_different_noise(monkeypatch):
    """Two runs of the same load: no sample number, and so no noise, is in both."""
    seen, average = [], Device.average

    def spy(self, A, statistic, readout, *, first_sample=0, **options):
        seen.append(range(first_sample, first_sample + readout.replicas))
        return average(self, A, statistic, readout, first_sample=first_sample, **options)

    monkeypatch.setattr(Device, "average", spy)
    options = {"noise_variance": 1.0, "prior_precision": 1.0, "readout": Readout(reads=400, replicas=3)}
    bayesian_linear_regression(normal(40, 4), normal(40, seed=3), torch.eye(4).double(), seed=0, **options)
    assert len({number for numbers in seen for number in numbers}) == 2 * 3
