"""Images as a judge sees them: what the metrics are functions of."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from thermotorch.evaluation.protocol import Protocol
from thermotorch.evaluation.quality.neighbours import Neighbours, neighbours
from thermotorch.evaluation.quality.novelty import KnownImages, nearest_training_distance


class Value(NamedTuple):
    """Value of a metric.

    `value` is None where the metric cannot be determined; `note` then gives the reason.
    """

    value: float | None
    stderr: float | None = None
    low: float | None = None  # ends of the 95 % interval
    high: float | None = None
    note: str = ""


class Nearest(NamedTuple):
    """Distances to the nearest training image, float64."""

    images: Tensor  # [n]
    held_out: Tensor  # [min(n, held-out images)], of held-out images
    note: str


@dataclass(eq=False)
class Judged:
    """Images, their features and their classes; what several metrics share is computed once.

    Args:
        protocol: settings of the metrics, and the seed.
        features: [n, feature], of the images.
        reference: [m, feature], of real images.
        probabilities: [n, class], according to the judge; empty where features alone are at hand.
        images: [n, c, h, w] in [0, 1]; empty where features alone are at hand.
        labels: int64 [n], the requested classes; None where none were requested.
        known: training and held-out images; None where they are not at hand.
    """

    protocol: Protocol
    features: Tensor
    reference: Tensor
    probabilities: Tensor = field(default_factory=lambda: torch.empty(0))
    images: Tensor = field(default_factory=lambda: torch.empty(0))
    labels: Tensor | None = None
    known: KnownImages | None = None

    @cached_property
    def neighbours(self) -> Neighbours:
        """Fidelity and variety among nearest neighbours; see `neighbours`."""
        return neighbours(self.features, self.reference, self.protocol.neighbours)

    @cached_property
    def nearest(self) -> Nearest | None:
        """Distances of the images, and of as many held-out ones, to the training images; None without these.

        The seed of the protocol selects the held-out images.

        Cost: 2 n x training images x pixels multiply-adds.
        """
        if self.known is None or not len(self.images):
            return None
        training, held_out = self.known
        order = torch.randperm(len(held_out), generator=torch.Generator().manual_seed(self.protocol.seed))
        pixels = self.images[0].numel()
        return Nearest(
            nearest_training_distance(self.images, training)[0].double(),
            nearest_training_distance(held_out[order[: len(self.images)]], training)[0].double(),
            f"Euclidean distance over {pixels} pixels in [0, 1], {len(training):,} training images",
        )
