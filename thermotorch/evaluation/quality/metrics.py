"""How good generated images are: distances to real ones in a fixed feature space, recognisability, variety, novelty.

The feature space is a small frozen digit classifier of our own, because the Inception network of the usual FID means
nothing on digits. Its distances compare with each other only, hence their name. torchmetrics does the arithmetic; it is
imported where it is used, because that takes seconds.
"""

import math
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

RECOGNISED = 0.9  # the classifier's confidence from which an image counts as a digit
_GROUPS = 20  # of the delete-group jackknife


class _GivenFeatures(nn.Identity):
    """The feature extractor for torchmetrics when the features are at hand."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features


@torch.no_grad()
def in_batches(function: Callable[[Tensor], Tensor], images: Tensor, batch_size: int = 512) -> Tensor:
    """`function` of images [n, c, h, w] in batches, joined: [n, ...]."""
    return torch.cat([function(batch) for batch in images.split(batch_size)])


def features(feature_net: nn.Module, images: Tensor, batch_size: int = 512) -> Tensor:
    """Features of images [n, c, h, w] in [0, 1]: [n, feature_net.num_features]."""
    return in_batches(feature_net.features, images, batch_size)


def class_probabilities(feature_net: nn.Module, images: Tensor, batch_size: int = 512) -> Tensor:
    """Softmax of the classifier for images [n, c, h, w] in [0, 1]: [n, classes]."""
    return in_batches(feature_net, images, batch_size).softmax(-1)


def frechet_distance(features: Tensor, reference: Tensor) -> tuple[float, float]:
    """Frechet distance of the Gaussians fitted to two feature sets, with its standard error.

    `|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))`, in double precision. It is biased upwards in proportion to 1/n, so
    only equal sample counts compare. The standard error is that of a delete-group jackknife over the generated samples.

    Args:
        features: [n, feature] of the generated images, n >= 3.
        reference: [m, feature] of real images, m >= 3.

    Raises:
        ValueError: too few samples, or features of different widths.

    Cost: up to 21 eigenvalue problems of feature x feature and as many sums over the samples.
    Source: Heusel et al., NeurIPS 2017, Eq. 6; the bias: Chong, Forsyth, CVPR 2020.
    """
    from torchmetrics.image.fid import FrechetInceptionDistance

    _check_pair(features, reference, at_least=3)
    metric = FrechetInceptionDistance(feature=_GivenFeatures(features.shape[1]), reset_real_features=False)
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
    """Kernel distance, an unbiased squared maximum mean discrepancy with `k(x, y) = (x.y / dimension + 1)^3`.

    Args:
        features: [n, feature] of the generated images, n >= subset_size.
        reference: [m, feature] of real images, m >= subset_size.
        subsets: how many random subsets are averaged.
        subset_size: how many images of each side form a subset.
        seed: of the subsets; torch's global generator is left as it was.

    Returns:
        Mean over the subsets, standard deviation over the subsets, and the standard error of the mean over the
        generated samples: that of a mean of the witness function `2 (E k(y, features) - E k(y, reference))` over them,
        with the scatter of the random subsets.

    Raises:
        ValueError: fewer samples than a subset holds, or features of different widths.

    Cost: subsets x subset_size^2 + n x (n + m) kernel values.
    Source: Binkowski et al., ICLR 2018, section 4.
    """
    from torchmetrics.image.kid import KernelInceptionDistance

    _check_pair(features, reference, at_least=subset_size)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*will save all extracted features in buffer")
        metric = KernelInceptionDistance(
            feature=_GivenFeatures(features.shape[1]), subsets=subsets, subset_size=subset_size
        )
    metric.update(reference.double(), real=True)
    metric.update(features.double(), real=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        mean, deviation = (float(value) for value in metric.compute())
    of_samples = _witness(features.double(), reference.double()).var().item() / len(features)
    return mean, deviation, math.sqrt(of_samples + deviation**2 / subsets)


def recognised_fraction(probabilities: Tensor, threshold: float = RECOGNISED) -> tuple[float, float]:
    """Fraction of images whose most probable class has at least probability `threshold`, with its standard error.

    Args:
        probabilities: [n, class].
    """
    fraction = (probabilities.amax(-1) >= threshold).double().mean().item()
    return fraction, math.sqrt(fraction * (1.0 - fraction) / len(probabilities))


def conditional_accuracy(probabilities: Tensor, labels: Tensor) -> tuple[float, float]:
    """Fraction of images whose most probable class is the one that was asked for, with its standard error.

    Args:
        probabilities: [n, class].
        labels: int64 [n].
    """
    fraction = (probabilities.argmax(-1) == labels.to(probabilities.device)).double().mean().item()
    return fraction, math.sqrt(fraction * (1.0 - fraction) / len(probabilities))


def class_histogram(probabilities: Tensor) -> Tensor:
    """How many images have each class as their most probable one: [n, class] -> int64 [class]."""
    return torch.bincount(probabilities.argmax(-1), minlength=probabilities.shape[-1])


def class_entropy(histogram: Tensor) -> float:
    """Entropy of a class histogram, `-sum p ln p`, in nats; ln 10 when ten classes are equally frequent."""
    share = histogram.double() / histogram.sum()
    return float(-torch.special.xlogy(share, share).sum()) + 0.0  # no minus zero


@torch.no_grad()
def nearest_training_distance(images: Tensor, train_images: Tensor, chunk: int = 8192) -> tuple[Tensor, Tensor]:
    """The closest training image to each image, by Euclidean distance in pixel space.

    Args:
        images: [n, c, h, w] in [0, 1].
        train_images: [m, c, h, w] in [0, 1].
        chunk: training images compared at a time.

    Returns:
        Distances [n] and indices into `train_images` [n].

    Raises:
        ValueError: images of different shapes, or none to compare with.

    Cost: n x m x pixels multiply-adds, n x chunk distances in memory.
    """
    if images.shape[1:] != train_images.shape[1:] or not len(train_images):
        raise ValueError(f"train_images: expected [n, {list(images.shape[1:])}], found {list(train_images.shape)}")
    flat, training = images.flatten(1), train_images.flatten(1)
    best = torch.full((len(flat),), math.inf, device=flat.device)
    index = torch.zeros(len(flat), dtype=torch.int64, device=flat.device)
    for start in range(0, len(training), chunk):
        distance, position = torch.cdist(flat, training[start : start + chunk]).min(1)
        closer = distance < best
        best = torch.where(closer, distance, best)
        index = torch.where(closer, position + start, index)
    # cdist goes through |x|^2 + |y|^2 - 2 x.y, which loses a copy among rounding errors.
    return (flat - training[index]).norm(dim=1), index


def _witness(features: Tensor, reference: Tensor, chunk: int = 1000) -> Tensor:
    """How much each generated sample adds to the kernel distance, to first order and up to a constant: [n]."""

    def mean_kernel(rows: Tensor, others: Tensor) -> Tensor:
        return (rows @ others.T / rows.shape[1] + 1.0).pow(3).mean(1)

    return torch.cat([
        2.0 * (mean_kernel(rows, features) - mean_kernel(rows, reference)) for rows in features.split(chunk)
    ])  # fmt: skip


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
