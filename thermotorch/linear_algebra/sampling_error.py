"""What error a read-out must have: exact variances of time averages of a stationary Gaussian process.

These need the answer (the spectrum of A) and are for tests, figures and planning, never for the device.

With Gamma(m) = E[x_{k+m} x_k^T] = F^m S the covariance of reads m intervals apart, averages over N reads have

    Var mean        = 1/N sum_m (1 - |m|/N) Gamma(m)
    Var mean(x_i(k+l) x_j(k)) = 1/N sum_m (1 - |m|/N) [Gamma_ii(m) Gamma_jj(m) + Gamma_ij(m+l) Gamma_ji(m-l)]   (Wick)

Symmetric A: the sums are geometric series in the eigenbasis.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

_FORGOTTEN = 1e-10  # of Gamma(0), where sums over m stop


def series(ratio: Tensor, reads: int) -> Tensor:
    """1/N sum over |m| < N of (1 - |m|/N) r^|m|, elementwise: the variance of a mean of N reads, in units of one's."""
    gap = 1 - ratio
    return ((1 + ratio) / gap - 2 * ratio * (1 - ratio**reads) / (reads * gap**2)) / reads


def mean_covariance(decay: Tensor, covariance: Tensor, reads: int) -> Tensor:
    """Covariance [unit, unit] of the mean of N reads; `decay` is F over one interval, `covariance` S."""
    total = covariance.clone()
    for weight, gamma in _correlations(decay, covariance, reads):
        total = total + weight * (gamma + gamma.mT)
    return total / reads


def covariance_variance(decay: Tensor, covariance: Tensor, reads: int, lag: int = 0) -> Tensor:
    """Variance [unit, unit] of the entries of the mean of x(k + lag) x(k)^T over N pairs, around a known mean."""
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
    """Variance of the mean of x.B x over N reads of x ~ N(0, kT A^-1), overdamped, symmetric A and B."""
    values, vectors = torch.linalg.eigh(A)
    form = vectors.mT @ form @ vectors
    rate = values[:, None] + values
    spread = temperature**2 / torch.outer(values, values)
    return (2 * form**2 * spread * series(torch.exp(-rate * interval), reads)).sum().item()


def inverse_error(values: Tensor, reads: int, interval: float) -> float:
    """Root of the mean square of |C / kT - A^-1|_F / |A^-1|_F, from the eigenvalues of A (overdamped, stationary)."""
    rate = values[:, None] + values
    spread = (1 + torch.eye(len(values)).to(values)) / torch.outer(values, values)
    squared = (spread * series(torch.exp(-rate * interval), reads)).sum()
    return (squared / (1 / values**2).sum()).sqrt().item()


def solution_error(values: Tensor, norm: float, temperature: float, reads: int, interval: float) -> float:
    """Root of the mean square of |mean - A^-1 b| / |A^-1 b|, from the eigenvalues of A and the norm of A^-1 b."""
    squared = (temperature / values * series(torch.exp(-values * interval), reads)).sum()
    return squared.sqrt().item() / norm


def _correlations(decay: Tensor, covariance: Tensor, reads: int) -> Iterator[tuple[float, Tensor]]:
    """(1 - m/N, or zero, and Gamma(m)) for m = 1, 2, ... until it is forgotten."""
    gamma, m = decay @ covariance, 1
    while gamma.abs().max() > _FORGOTTEN * covariance.abs().max():
        yield max(0.0, 1 - m / reads), gamma
        gamma, m = decay @ gamma, m + 1
