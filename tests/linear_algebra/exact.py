"""Exact variances of time averages of a stationary Gaussian process.

With Gamma(m) = E[x_{k+m} x_k^T] = F^m S the covariance of reads m intervals apart, averages over N reads have

    Var mean        = 1/N sum_m (1 - |m|/N) Gamma(m)
    Var mean(x_i(k+l) x_j(k)) = 1/N sum_m (1 - |m|/N) [Gamma_ii(m) Gamma_jj(m) + Gamma_ij(m+l) Gamma_ji(m-l)]   (Wick)
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from thermotorch.linear_algebra.sampling_error import series

_FORGOTTEN = 1e-10  # of Gamma(0), where sums over m stop


def mean_covariance(decay: Tensor, covariance: Tensor, reads: int) -> Tensor:
    """Return the covariance [unit, unit] of the mean of N reads; `decay` is F over one interval, `covariance` S."""
    total = covariance.clone()
    for weight, gamma in _correlations(decay, covariance, reads):
        total = total + weight * (gamma + gamma.mT)
    return total / reads


def covariance_variance(decay: Tensor, covariance: Tensor, reads: int, lag: int = 0) -> Tensor:
    """Return the variance [unit, unit] of the mean of x(k + lag) x(k)^T over N pairs, around a known mean."""
    gammas = [covariance, *(gamma for _, gamma in _correlations(decay, covariance, reads))]
    zero = torch.zeros_like(covariance)

    def at(m: int) -> Tensor:
        gamma = gammas[abs(m)] if abs(m) < len(gammas) else zero
        return gamma if m >= 0 else gamma.mT

    total, reach = zero, min(len(gammas) + lag, reads)
    for m in range(1 - reach, reach):
        own = at(m).diagonal()
        total = total + (1 - abs(m) / reads) * (torch.outer(own, own) + at(m + lag) * at(m - lag).mT)
    return total / reads


def quadratic_variance(A: Tensor, form: Tensor, temperature: float, reads: int, interval: float) -> float:
    """Return the variance of the mean of x.B x over N reads of x ~ N(0, kT A^-1), overdamped, symmetric A and B."""
    values, vectors = torch.linalg.eigh(A)
    form = vectors.mT @ form @ vectors
    rate = values[:, None] + values
    spread = temperature**2 / torch.outer(values, values)
    return (2 * form**2 * spread * series(torch.exp(-rate * interval), reads)).sum().item()


def _correlations(decay: Tensor, covariance: Tensor, reads: int) -> Iterator[tuple[float, Tensor]]:
    """Yield (1 - m/N, or zero, and Gamma(m)) for m = 1, 2, ... until it is forgotten."""
    gamma, m = decay @ covariance, 1
    while gamma.abs().max() > _FORGOTTEN * covariance.abs().max():
        yield max(0.0, 1 - m / reads), gamma
        gamma, m = decay @ gamma, m + 1
