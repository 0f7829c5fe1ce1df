"""The energy score, a proper score of samples from a conditional law.

    S(x, x'; y) = (|x - y| + |x' - y|) / 2 - |x - x'| / 2

for two independent samples x, x' given a condition, and the outcome y. Its mean is least if and only if the samples
follow the conditional law of y; the last term rewards variety. Source: Gneiting & Raftery, J. Am. Stat. Assoc. 102,
359 (2007), section 4.3; for denoising De Bortoli et al., 2025.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from thermotorch.objectives.energy_distance import Features

_SMOOTHING = 1e-6  # added to |x|^2, so that the gradient of a distance exists at zero


def energy_score(one: Tensor, other: Tensor, truth: Tensor) -> Tensor:
    """Return the mean of S over conditions.

    Args:
        one, other: two independent samples for each condition, [condition, feature].
        truth: outcomes, [condition, feature].

    Returns:
        A scalar in the features' unit.

    Raises:
        ValueError: tensors of different shapes.
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
        features: images -> blocks, [batch, feature] each.
        scales: one scale for each block, as from `feature_scales`.
    """
    with torch.no_grad():
        targets = features(truth)
    count, total = len(one), one.new_zeros(())
    for block, target, scale in zip(features(torch.cat([one, other])), targets, scales, strict=True):
        total = total + energy_score(block[:count], block[count:], target) / scale
    return total


def _distance(x: Tensor, y: Tensor) -> Tensor:
    return ((x - y).square().sum(1) + _SMOOTHING).sqrt()
