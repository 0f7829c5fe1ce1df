"""A distance between two sets of samples that needs neither densities nor a critic.

    D^2 = 2 E|x - y| - E|x - x'| - E|y - y'|

is zero only for equal laws, and its estimate below is unbiased. In a space of features it compares what the features
see. Source: Szekely & Rizzo, J. Stat. Plan. Inference 143, 1249 (2013).
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Features = Callable[[Tensor], Sequence[Tensor]]


def energy_distance(x: Tensor, y: Tensor) -> Tensor:
    """D^2 above, estimated from x [n, feature] and y [m, feature] without bias; a scalar in the features' unit.

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
    """Sum over blocks of features of their energy distance in units of their scales.

        L = sum_k D^2(f_k(images) / scale_k, f_k(real) / scale_k)

    Args:
        images: generated, [n, channel, height, width] in [0, 1]; gradients flow into them.
        real: [n, channel, height, width].
        features: images -> blocks f_k, [batch, feature] each.
        scales: of each block, such as `feature_scales` gives.
        classes: float [n, class], one-hot, of both: joined to every block, so that images are right for their class.
    """
    with torch.no_grad():
        wanted = features(real)
    total = images.new_zeros(())
    for found, target, scale in zip(features(images), wanted, scales, strict=True):
        pair = (found / scale, target / scale)
        total = total + energy_distance(*(pair if classes is None else (torch.cat([x, classes], 1) for x in pair)))
    return total


@torch.no_grad()
def feature_scales(real: Tensor, features: Features) -> list[float]:
    """Mean distance of each block of features from its mean over real images [m, channel, height, width]."""
    return [(block - block.mean(0)).norm(dim=1).mean().item() for block in features(real)]


def _within(x: Tensor) -> Tensor:
    return torch.cdist(x, x).sum() / (len(x) * (len(x) - 1))
