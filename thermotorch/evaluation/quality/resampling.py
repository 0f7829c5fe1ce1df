"""Bootstrap intervals of the two distances, over other samples of the same model.

The generated samples are drawn again with replacement; the reference images belong to the judge and stay fixed. Both
distances are functions of the count of each sample, so no sample is copied.
"""

import torch
from torch import Tensor

from thermotorch.evaluation.quality.blocks import row_blocks


def interval(value: float, replicates: Tensor) -> tuple[float, float]:
    """Return the central 95 % interval of the replicates [resample], shifted so that their mean is the value.

    Repeated samples in a resample raise a Frechet distance by about its own bias, so plain percentiles may lie above
    the value. The interval covers the mean distance of this many samples. With few samples in many dimensions it is too
    wide rather than too narrow: of 200 sets of 150 samples it held that mean for 96.5 % in 4 dimensions and for 99.5 %
    in 32, where plain percentiles held it for 0.5 %.
    """
    ends = torch.tensor([0.025, 0.975], dtype=replicates.dtype, device=replicates.device)
    low, high = (replicates - replicates.mean()).quantile(ends).tolist()
    return value + low, value + high


def frechet_replicates(features: Tensor, reference: Tensor, resamples: int, seed: int) -> Tensor:
    """Return the Frechet distances of resampled features [n, feature] from reference [m, feature]: [resample].

    `|m1 - m2|^2 + tr(C1 + C2) - 2 tr (C2^(1/2) C1 C2^(1/2))^(1/2)`, the last of a symmetric matrix, in double
    precision.

    Cost: resamples x n x feature^2 / 2 multiply-adds and as many eigenvalue problems of feature x feature as resamples.
    Source: Efron, Ann. Statist. 7, 1 (1979); the distance: `frechet_distance`.
    """
    n, width = features.shape
    centre = reference.double().mean(0)
    sample, target = features.double() - centre, (reference.double() - centre).T.cov()
    counts = _counts(n, resamples, seed).to(sample)
    upper = torch.triu_indices(width, width, device=sample.device)
    products = sample.new_zeros(resamples, upper.shape[1])
    for rows in row_blocks(n, upper.shape[1]):
        block = sample[rows]
        products += counts[:, rows] @ (block[:, upper[0]] * block[:, upper[1]])
    second = sample.new_zeros(resamples, width, width)
    second[:, upper[0], upper[1]] = second[:, upper[1], upper[0]] = products
    mean = counts @ sample / n
    covariance = (second - n * mean.unsqueeze(2) * mean.unsqueeze(1)) / (n - 1)
    values, vectors = torch.linalg.eigh(target)
    root = (vectors * values.clamp_min(0.0).sqrt()) @ vectors.T
    cross = torch.linalg.eigvalsh(root @ covariance @ root).clamp_min(0.0).sqrt().sum(-1)
    return mean.square().sum(-1) + covariance.diagonal(dim1=1, dim2=2).sum(-1) + target.trace() - 2.0 * cross


def kernel_replicates(features: Tensor, reference: Tensor, resamples: int, seed: int) -> Tensor:
    """Return the kernel distances of resampled features [n, feature], up to the constant of the reference: [resample].

    Pairs of a sample with itself do not count, even if it was drawn twice, as in the unbiased estimate; resamples
    without any other pair are left out.

    Cost: n x (n + m) kernel values and resamples x n^2 multiply-adds, 4 million values in memory at most.
    Source: Efron 1979; the kernel: `kernel_distance`.
    """
    sample, target = features.double(), reference.double()
    counts = _counts(len(sample), resamples, seed).to(sample)
    within, across = sample.new_zeros(resamples), sample.new_zeros(resamples)
    for rows in row_blocks(len(sample), max(len(sample), len(target))):
        kernel = _kernel(sample[rows], sample)
        kernel[torch.arange(len(rows)), rows] = 0.0
        within += (counts[:, rows] * (counts @ kernel.T)).sum(1)
        across += counts[:, rows] @ _kernel(sample[rows], target).mean(1)
    n = len(sample)
    pairs = n**2 - counts.square().sum(1)
    return (within / pairs - 2.0 * across / n)[pairs > 0]  # of three or four samples, all may be drawn as one


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1.0).pow(3)


def _counts(n: int, resamples: int, seed: int) -> Tensor:
    """Return how often each of n samples is in each resample: float64 [resample, n], rows sum to n."""
    generator, counts = torch.Generator().manual_seed(seed), torch.empty(resamples, n, dtype=torch.float64)
    for row in counts:
        row.copy_(torch.bincount(torch.randint(n, (n,), generator=generator), minlength=n))
    return counts
