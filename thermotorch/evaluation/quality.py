"""The rows about images themselves, whoever made them: what a judge, and the training images, say of them."""

import math
from functools import partial

import torch
from torch import Tensor

from thermotorch.evaluation import metrics
from thermotorch.evaluation.feature_space import FeatureSpace
from thermotorch.evaluation.protocol import Protocol
from thermotorch.evaluation.rows import Row, joined, unavailable


def quality_rows(
    images: Tensor,
    protocol: Protocol,
    space: FeatureSpace,
    train_images: Tensor | None = None,
    command: str = "",
    how: str = "",
) -> tuple[list[Row], list[int]]:
    """The rows about images [n, c, h, w] in [0, 1] themselves, and how many the judge took for each class.

    `how` says how they were sampled and becomes part of each note.
    """
    n = len(images)
    row = partial(Row, num_samples=n, seed=protocol.seed, kind="measured", command=command)
    found = images.to(space.reference.device)
    probabilities = metrics.class_probabilities(space.net, found)
    counts = metrics.class_histogram(probabilities)
    recognised, recognised_error = metrics.recognised_fraction(probabilities)
    entropy, largest = metrics.class_entropy(counts), math.log(len(counts))
    against = joined(f"against {len(space.reference):,} real images", how)
    rows = distance_rows(metrics.features(space.net, found), space.reference, protocol, space.name, command, against)
    rows += [
        row("recognised fraction", recognised, "", stderr=recognised_error,
            note=joined(f"the judge's confidence is at least {metrics.RECOGNISED}", how)),
        row("class entropy", entropy, "nat",
            note=joined(f"{entropy / largest:.3f} of ln {len(counts)}, that of equal classes", how)),
    ]  # fmt: skip
    if train_images is None:
        missing = "needs the training images, which were not at hand"
        rows += [
            unavailable(f"nearest training image, {which}", "", protocol.seed, missing) for which in ("mean", "least")
        ]
    else:
        distance, _ = metrics.nearest_training_distance(images, train_images)
        pixels = f"Euclidean distance over {images[0].numel()} pixels in [0, 1], {len(train_images):,} training images"
        pixels = joined(pixels, how)
        error = distance.double().std().item() / n**0.5
        rows += [
            row("nearest training image, mean", distance.mean().item(), "", stderr=error, note=pixels),
            row("nearest training image, least", distance.min().item(), "", note=pixels),
        ]
    return rows, counts.tolist()


def distance_rows(
    features: Tensor, reference: Tensor, protocol: Protocol, space_name: str, command: str, note: str
) -> list[Row]:
    """Frechet and kernel distance of features [n, feature] from reference features [m, feature]."""
    row = partial(Row, unit="", num_samples=len(features), seed=protocol.seed, kind="measured", command=command)
    frechet, frechet_error = metrics.frechet_distance(features, reference)
    kernel, deviation, kernel_error = metrics.kernel_distance(
        features, reference, protocol.kernel_subsets, protocol.kernel_subset_size, protocol.seed
    )
    subsets = f"{protocol.kernel_subsets} subsets of {protocol.kernel_subset_size}, standard deviation {deviation:.3g}"
    return [
        row(f"Frechet distance ({space_name})", frechet, stderr=frechet_error, note=note),
        row(f"kernel distance ({space_name})", kernel, stderr=kernel_error, note=joined(note, subsets)),
    ]


def real_rows(protocol: Protocol, space: FeatureSpace, command: str = "") -> list[Row]:
    """The distances of as many real images from the rest of the reference: what a perfect model would score.

    Empty when the reference is less than twice as large as the protocol's sample count.
    """
    n = protocol.num_samples
    if len(space.reference) < 2 * n:
        return []
    order = torch.randperm(len(space.reference), generator=torch.Generator().manual_seed(protocol.seed))
    held_out, rest = space.reference[order[:n]], space.reference[order[n:]]
    note = f"{n:,} real images against the other {len(rest):,}"
    return distance_rows(held_out, rest, protocol, space.name, command, note)
