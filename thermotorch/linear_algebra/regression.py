"""Gaussian-process and Bayesian linear regression, sampled: predictive means and variances from one loaded matrix.

A device with energy (x.A x) / 2 - f.x at kT = 1 rests in the Gaussian N(A^-1 f, A^-1). For linear regression that is
the posterior of the weights, with A its precision; for a Gaussian process A = K + noise, and x is projected on the
kernel. Two runs on one load give the means, under the force, and the variances, without it.
Source: Melanson et al., Nature Communications 16, 3757 (2025).
"""

from typing import NamedTuple

import torch
from torch import Tensor

from thermotorch.arguments import number_of, real
from thermotorch.dynamics.noise import seed_or_fresh
from thermotorch.linear_algebra.device import Device, Readout, check_square, combine
from thermotorch.linear_algebra.solve import prepare, scaled


class Prediction(NamedTuple):
    """Predictive law at each test point, with standard errors of sampling, and its cost as in `Estimate`."""

    mean: Tensor  # [test]
    mean_stderr: Tensor
    variance: Tensor  # [test], without the noise of an observation
    variance_stderr: Tensor
    time: float
    reads: int
    loads: int


def gaussian_process(
    kernel: Tensor,
    cross: Tensor,
    prior_variance: Tensor,
    targets: Tensor,
    noise_variance: float,
    *,
    device: Device | None = None,
    readout: Readout | None = None,
    seed: int | None = None,
    check: bool = True,
) -> Prediction:
    """Return the posterior of a Gaussian process: mean k.(K + s)^-1 y and variance k0 - k.(K + s)^-1 k.

    Args:
        kernel: K between training points, [train, train].
        cross: k between test and training points, [test, train].
        prior_variance: k0 at the test points, [test].
        targets: y, [train].
        noise_variance: s > 0, which also bounds the condition number.
        device, readout, seed, check: as in `solve`.

    Cost: O(train^2) for the load, O(test x train) digital operations for each read.
    """
    check_square("kernel", kernel)
    noise_variance = number_of("noise_variance", noise_variance, positive=True)
    if real("prior_variance", prior_variance).shape != cross.shape[:1]:
        raise ValueError(f"prior_variance: expected one for each test point, got shape {tuple(prior_variance.shape)}")
    loaded = kernel + noise_variance * torch.eye(len(kernel)).to(kernel)
    posterior = _project(loaded, targets, cross, device, readout, seed, check)
    return posterior._replace(variance=prior_variance - posterior.variance)


def bayesian_linear_regression(
    features: Tensor,
    targets: Tensor,
    test_features: Tensor,
    *,
    noise_variance: float,
    prior_precision: float,
    device: Device | None = None,
    readout: Readout | None = None,
    seed: int | None = None,
    check: bool = True,
) -> Prediction:
    """Return the law of w.phi at test points, for y = w.phi + noise and the prior w ~ N(0, 1/prior_precision).

    Args:
        features: phi of the data, [train, feature].
        targets: y, [train].
        test_features: phi of the test points, [test, feature]; the identity gives the posterior of the weights.
        noise_variance: variance of an observation's noise; add it to `variance` for the law of new observations.
        prior_precision: positive number.
        device, readout, seed, check: as in `solve`.

    Cost: O(train x feature^2) digital operations for the load, O(test x feature) for each read.
    """
    noise_variance = number_of("noise_variance", noise_variance, positive=True)
    prior_precision = number_of("prior_precision", prior_precision, positive=True)
    if real("features", features).dim() != 2 or real("targets", targets).shape != features.shape[:1]:
        raise ValueError(
            f"features, targets: expected [train, feature] and [train], "
            f"got {tuple(features.shape)} and {tuple(targets.shape)}"
        )
    precision = features.mT @ features / noise_variance + prior_precision * torch.eye(features.shape[1]).to(features)
    return _project(precision, features.mT @ targets / noise_variance, test_features, device, readout, seed, check)


def _project(
    A: Tensor,
    force: Tensor,
    onto: Tensor,
    device: Device | None,
    readout: Readout | None,
    seed: int | None,
    check: bool,
) -> Prediction:
    """Return mean P A^-1 f and variances diag(P A^-1 P^T) of the projections P [test, unit]."""
    device, readout, seed = device or Device(), readout or Readout(), int(seed_or_fresh(seed))
    if force.shape != (len(A),) or onto.dim() != 2 or onto.shape[1] != len(A):
        raise ValueError(
            f"expected {len(A)} targets or features and as many columns at the test points, "
            f"got {tuple(force.shape)} and {tuple(onto.shape)}"
        )
    scale = prepare(A, readout, "diagonal", check)
    loaded, rows = scaled(A, scale), (onto * scale).mT
    pulled, time = device.average(loaded, lambda x: (x @ rows).mean(0), readout, force=force * scale, seed=seed)
    free, more = device.average(
        loaded, lambda x: (x @ rows).square().mean(0), readout, seed=seed, first_sample=readout.replicas
    )
    mean, mean_stderr = combine(pulled)
    variance, variance_stderr = combine(free / device.temperature)
    reads = 2 * readout.reads * readout.replicas
    return Prediction(mean, mean_stderr, variance, variance_stderr, time + more, reads, 1)
