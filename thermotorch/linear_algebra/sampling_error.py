"""Predicted errors of read-outs of a stationary device, for tests, figures and planning.

They need the spectrum of A, which a device does not know. With r = exp(-a t) the correlation of reads t apart, the
variance of a mean of N reads is that of one read times 1/N sum over |m| < N of (1 - |m|/N) r^|m|, a geometric series.
"""

import torch
from torch import Tensor


def series(ratio: Tensor, reads: int) -> Tensor:
    """Return 1/N sum over |m| < N of (1 - |m|/N) r^|m|, elementwise."""
    gap = 1 - ratio
    return ((1 + ratio) / gap - 2 * ratio * (1 - ratio**reads) / (reads * gap**2)) / reads


def inverse_error(values: Tensor, reads: int, interval: float) -> float:
    """Return the root mean square of |C / kT - A^-1|_F / |A^-1|_F from the eigenvalues of A, overdamped."""
    rate = values[:, None] + values
    spread = (1 + torch.eye(len(values)).to(values)) / torch.outer(values, values)
    squared = (spread * series(torch.exp(-rate * interval), reads)).sum()
    return (squared / (1 / values**2).sum()).sqrt().item()


def solution_error(values: Tensor, norm: float, temperature: float, reads: int, interval: float) -> float:
    """Return the root mean square of |mean - A^-1 b| / |A^-1 b| from the eigenvalues of A and the norm of A^-1 b."""
    squared = (temperature / values * series(torch.exp(-values * interval), reads)).sum()
    return squared.sqrt().item() / norm
