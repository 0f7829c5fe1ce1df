"""Fréchet and kernel distances between two sets of features.

The features come from a small frozen digit classifier of our own, because the Inception network behind the usual FID
carries no information about digits. Distances in this space compare only with each other, and are named after it.
torchmetrics does the arithmetic; its import takes seconds and is therefore postponed to the first use.
"""

import math
import warnings

import torch
from torch import Tensor, nn

from thermotorch.evaluation.quality.blocks import row_blocks

_GROUPS = 20  # of the delete-group jackknife


class _GivenFeatures(nn.Identity):
    """Pass precomputed features through torchmetrics."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features


def frechet_distance(features: Tensor, reference: Tensor) -> tuple[float, float]:
    """Return the Fréchet distance between the Gaussians fitted to two feature sets, and its standard error.

    `|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))`, in double precision. The distance has a positive bias proportional to
    1/n, so only equal sample counts compare. A delete-group jackknife over the generated samples gives the error.

    Args:
        features: [n, feature] of the generated images, n >= 3.
        reference: [m, feature] of real images, m >= 3.

    Raises:
        ValueError: too few samples, or different numbers of features.

    Cost: up to 21 eigenvalue problems of feature x feature and as many sums over the samples.
    Source: Heusel et al., NeurIPS 2017, Eq. 6; the bias: Chong, Forsyth, CVPR 2020.
    """
    from torchmetrics.image.fid import FrechetInceptionDistance

    _check_pair(features, reference, at_least=3)
    metric = FrechetInceptionDistance(feature=_GivenFeatures(features.shape[1]), reset_real_features=False).to(
        features.device
    )
    metric.update(reference.double(), real=True)

    def distance(sample: Tensor) -> float:
        metric.reset()
        metric.update(sample, real=False)
        return max(0.0, float(metric.compute()))

    sample = features.double()
    groups = sample.chunk(min(_GROUPS, len(sample)))
    without = torch.tensor([distance(torch.cat([*groups[:k], *groups[k + 1 :]])) for k in range(len(groups))])
    return distance(sample), math.sqrt((len(groups) - 1) * without.double().var(correction=0))


def kernel_distance(
    features: Tensor, reference: Tensor, subsets: int, subset_size: int, seed: int
) -> tuple[float, float, float]:
    """Return the kernel distance, an unbiased squared maximum mean discrepancy with `k(x, y) = (x.y / width + 1)^3`.

    Args:
        features: [n, feature] of the generated images, n >= subset_size.
        reference: [m, feature] of real images, m >= subset_size.
        subsets: number of random subsets to average over.
        subset_size: number of images of each set in a subset.
        seed: seed of the subsets; torch's global generator keeps its state.

    Returns:
        The mean and the standard deviation over the subsets, and the standard error of the mean. The error combines
        the scatter over the generated samples, that of the mean witness function
        `2 (E k(y, features) - E k(y, reference))`, with the scatter of the random subsets.

    Raises:
        ValueError: fewer samples than subset_size, or different numbers of features.

    Cost: subsets x subset_size^2 + n x (n + m) kernel values.
    Source: Binkowski et al., ICLR 2018, section 4.
    """
    from torchmetrics.image.kid import KernelInceptionDistance

    _check_pair(features, reference, at_least=subset_size)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*will save all extracted features in buffer")
        metric = KernelInceptionDistance(
            feature=_GivenFeatures(features.shape[1]), subsets=subsets, subset_size=subset_size
        ).to(features.device)
    metric.update(reference.double(), real=True)
    metric.update(features.double(), real=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        mean, deviation = (float(value) for value in metric.compute())
    of_samples = _witness(features.double(), reference.double()).var().item() / len(features)
    return mean, deviation, math.sqrt(of_samples + deviation**2 / max(1, subsets - 1))  # without torchmetrics' bias


def _witness(features: Tensor, reference: Tensor) -> Tensor:
    """Return the first-order contribution of each generated sample to the kernel distance, up to a constant: [n]."""

    def mean_kernel(rows: Tensor, others: Tensor) -> Tensor:
        return (rows @ others.T / rows.shape[1] + 1.0).pow(3).mean(1)

    blocks = [features[k] for k in row_blocks(len(features), max(len(features), len(reference)))]
    return torch.cat([2.0 * (mean_kernel(rows, features) - mean_kernel(rows, reference)) for rows in blocks])


def _check_pair(features: Tensor, reference: Tensor, at_least: int) -> None:
    if features.ndim != 2 or reference.ndim != 2 or features.shape[1] != reference.shape[1]:
        raise ValueError(
            f"features, reference: expected [n, feature] of one width, "
            f"found {list(features.shape)} and {list(reference.shape)}"
        )
    if min(len(features), len(reference)) < at_least:
        raise ValueError(
            f"features, reference: expected at least {at_least} rows each, found {len(features)} and {len(reference)}"
        )
