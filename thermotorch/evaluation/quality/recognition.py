"""Features and classes of images according to the judge: recognisability, class balance, obedience to labels."""

from collections.abc import Callable
from typing import Protocol, Self, runtime_checkable

import torch
from torch import Tensor

from thermotorch.evaluation.estimate import Estimate, fraction_of

RECOGNISED = 0.9  # the judge's confidence from which an image counts as a digit


@runtime_checkable
class FeatureNet(Protocol):
    """The network of a judge, for images [n, c, h, w] in [0, 1]."""

    def features(self, images: Tensor) -> Tensor:
        """Return the features of images, [n, feature]."""
        ...

    def __call__(self, images: Tensor) -> Tensor:
        """Return the logits of the classes, [n, class]."""
        ...

    def to(self, device: str | torch.device) -> Self:
        """Move the network to a device."""
        ...


@torch.no_grad()
def in_batches(function: Callable[[Tensor], Tensor], images: Tensor, batch_size: int = 512) -> Tensor:
    """Apply a function to images [n, c, h, w] in batches, and join the results: [n, ...]."""
    batches = images.split(batch_size)
    first = function(batches[0])
    # In place, since small results that stay between large ones that go keep the allocator from handing memory back.
    joined = first.new_empty(len(images), *first.shape[1:])
    joined[: len(first)] = first
    for number, batch in enumerate(batches[1:], 1):
        joined[number * batch_size : number * batch_size + len(batch)] = function(batch)
    return joined


def features(feature_net: FeatureNet, images: Tensor, batch_size: int = 512) -> Tensor:
    """Return the features of images [n, c, h, w] in [0, 1]: [n, feature_net.num_features]."""
    return in_batches(feature_net.features, images, batch_size)


def class_probabilities(feature_net: FeatureNet, images: Tensor, batch_size: int = 512) -> Tensor:
    """Return the class probabilities of images [n, c, h, w] in [0, 1]: [n, classes]."""
    return in_batches(feature_net, images, batch_size).softmax(-1)


def recognised_fraction(probabilities: Tensor, threshold: float = RECOGNISED) -> Estimate:
    """Return the fraction of images whose top class has at least probability `threshold`, and its standard error.

    Args:
        probabilities: [n, class].
    """
    return fraction_of(probabilities.amax(-1) >= threshold)


def conditional_accuracy(probabilities: Tensor, labels: Tensor) -> Estimate:
    """Return the fraction of images whose top class is the requested one, and its standard error.

    Args:
        probabilities: [n, class].
        labels: int64 [n].
    """
    return fraction_of(probabilities.argmax(-1) == labels.to(probabilities.device))


def class_histogram(probabilities: Tensor) -> Tensor:
    """Count the images of each top class: [n, class] -> int64 [class]."""
    return torch.bincount(probabilities.argmax(-1), minlength=probabilities.shape[-1])


def class_entropy(histogram: Tensor) -> float:
    """Return the entropy of a class histogram, `-sum p ln p`, in nats; ln 10 for ten equally frequent classes."""
    share = histogram.double() / histogram.sum()
    return float(-torch.special.xlogy(share, share).sum()) + 0.0  # no minus zero
