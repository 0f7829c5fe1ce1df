"""Whether a generator makes new images: their distance to the training images, measured by that of held-out ones."""

import math
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from thermotorch.evaluation.protocol import Protocol
from thermotorch.evaluation.quality.metrics import nearest_training_distance
from thermotorch.zoo.rows import Row, joined, unavailable

RELATIVE = "distance to training images, relative to held-out images"


class KnownImages(NamedTuple):
    """Real images to compare generated ones with, [n, c, h, w] in [0, 1]."""

    training: Tensor  # those that the model was trained on
    held_out: Tensor  # of the same kind, which it never saw


def novelty_rows(
    images: Tensor, protocol: Protocol, known: KnownImages | None, command: str = "", how: str = ""
) -> list[Row]:
    """Distance of images [n, c, h, w] to the nearest training image: mean, least, and mean relative to held-out images.

    The last is the mean over the images, divided by that over as many held-out ones (chosen by the seed), or over all of
    them if there are fewer. Well below 1 the generator copies, or draws so blurred that its images are close to many.
    Without `known` the rows are unavailable; `how` becomes part of each note.

    Cost: 2 n x training images x pixels multiply-adds.
    """
    seed = protocol.seed
    mean_metric, least_metric = "nearest training image, mean", "nearest training image, least"
    if known is None:
        missing = "needs the training images, which were not at hand"
        return [unavailable(metric, "", seed, missing) for metric in (mean_metric, least_metric, RELATIVE)]
    order = torch.randperm(len(known.held_out), generator=torch.Generator().manual_seed(seed))
    held_out = known.held_out[order[: len(images)]]
    found, floor = (nearest_training_distance(each, known.training)[0].double() for each in (images, held_out))
    ratio = (found.mean() / floor.mean()).item()
    error, floor_error = ((each.std() / len(each) ** 0.5).item() for each in (found, floor))
    ratio_error = math.hypot(error, ratio * floor_error) / floor.mean().item()
    row = partial(Row, unit="", num_samples=len(images), seed=seed, kind="measured", command=command)
    pixels = f"Euclidean distance over {images[0].numel()} pixels in [0, 1], {len(known.training):,} training images"
    against = f"{len(held_out):,} held-out images are {floor.mean():.4g} from the nearest training image, the closest {floor.min():.4g}"
    return [
        row(mean_metric, found.mean().item(), stderr=error, note=joined(pixels, how)),
        row(least_metric, found.min().item(), note=joined(pixels, how)),
        row(RELATIVE, ratio, stderr=ratio_error, note=joined(against, how)),
    ]
