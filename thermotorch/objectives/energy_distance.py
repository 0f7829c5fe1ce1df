"""The energy distance between two sets of samples.

    D^2 = 2 E|x - y| - E|x - x'| - E|y - y'|

is zero only for equal laws. Source: Szekely & Rizzo, J. Stat. Plan. Inference 143, 1249 (2013).
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Features = Callable[[Tensor], Sequence[Tensor]]


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


def _within(x: Tensor) -> Tensor:
    return torch.cdist(x, x).sum() / (len(x) * (len(x) - 1))
