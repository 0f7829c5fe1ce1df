"""Distances between laws that need samples alone: the energy distance and the energy score.

    D^2 = 2 E|x - y| - E|x - x'| - E|y - y'|                  of two sets of samples, zero only for equal laws
    S(x, x'; y) = (|x - y| + |x' - y|) / 2 - |x - x'| / 2     of two samples x, x' given a condition, and the outcome y

S is a proper score: its mean over conditions is least if and only if the samples follow the conditional law of y; the
last term rewards variety. Sources: Szekely & Rizzo, J. Stat. Plan. Inference 143, 1249 (2013); for the score Gneiting &
Raftery, J. Am. Stat. Assoc. 102, 359 (2007), section 4.3, and for denoising De Bortoli et al., 2025.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Features = Callable[[Tensor], Sequence[Tensor]]  # images -> blocks, [batch, feature] each

_SMOOTHING = 1e-6  # added to |x|^2 in a score, so that the gradient of a distance exists at zero


def energy_distance(x: Tensor, y: Tensor) -> Tensor:
    """Return the unbiased estimate of D^2 from x [n, feature] and y [m, feature], a scalar in the features' unit.

    Raises:
        ValueError: fewer than two samples in a set, or different numbers of features.

    Cost: n^2 + n m + m^2 distances.
    """
    if x.dim() != 2 or y.dim() != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) < 2:
        raise ValueError(
            f"x, y: expected [n, feature] and [m, feature], n, m >= 2, got {tuple(x.shape)} and {tuple(y.shape)}"
        )
    return 2 * torch.cdist(x, y).mean() - _within(x) - _within(y)


def feature_distance(
    images: Tensor, real: Tensor, features: Features, scales: Sequence[float], classes: Tensor | None = None
) -> Tensor:
    """Return the energy distance summed over blocks of features, each divided by its scale.

        L = sum_k D^2(f_k(images) / scale_k, f_k(real) / scale_k)

    Args:
        images: generated images, [n, channel, height, width] in [0, 1]; gradients reach them.
        real: real images, [n, channel, height, width].
        features: images -> blocks f_k, [batch, feature] each.
        scales: one scale for each block, as from `feature_scales`.
        classes: one-hot classes of both sets, float [n, class], appended to every block to compare the laws class by
            class.
    """
    with torch.no_grad():
        targets = features(real)
    total = images.new_zeros(())
    for block, target, scale in zip(features(images), targets, scales, strict=True):
        pair = (block / scale, target / scale)
        total = total + energy_distance(*(pair if classes is None else (torch.cat([x, classes], 1) for x in pair)))
    return total


@torch.no_grad()
def feature_scales(real: Tensor, features: Features) -> list[float]:
    """Return the mean distance of each block of features from its mean over images [m, channel, height, width]."""
    return [(block - block.mean(0)).norm(dim=1).mean().item() for block in features(real)]


def energy_score(one: Tensor, other: Tensor, truth: Tensor) -> Tensor:
    """Return the mean of S over conditions, a scalar in the features' unit.

    Args:
        one, other: two independent samples for each condition, [condition, feature].
        truth: outcomes, [condition, feature]; tensors of different shapes are a ValueError.
    """
    if not one.shape == other.shape == truth.shape or one.dim() != 2:
        shapes = [tuple(tensor.shape) for tensor in (one, other, truth)]
        raise ValueError(f"one, other, truth: expected three tensors [condition, feature] of one shape, got {shapes}")
    error = _distance(one, truth) + _distance(other, truth)
    return 0.5 * (error - _distance(one, other)).mean()


def feature_score(one: Tensor, other: Tensor, truth: Tensor, features: Features, scales: Sequence[float]) -> Tensor:
    """Return `energy_score` summed over blocks of features, each divided by its scale.

    Args:
        one, other: two images for each condition, [condition, channel, height, width]; gradients reach them.
        truth: real images of the same shape.
        features, scales: as in `feature_distance`.
    """
    with torch.no_grad():
        targets = features(truth)
    count, total = len(one), one.new_zeros(())
    for block, target, scale in zip(features(torch.cat([one, other])), targets, scales, strict=True):
        total = total + energy_score(block[:count], block[count:], target) / scale
    return total


def _within(x: Tensor) -> Tensor:
    return torch.cdist(x, x).sum() / (len(x) * (len(x) - 1))


def _distance(x: Tensor, y: Tensor) -> Tensor:
    return ((x - y).square().sum(1) + _SMOOTHING).sqrt()
