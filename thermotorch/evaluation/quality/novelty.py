"""Originality of generated images: their distance to the training images, relative to that of held-out images."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from thermotorch.evaluation.quality.blocks import row_blocks


class KnownImages(NamedTuple):
    """Real images to compare generated ones with, [n, c, h, w] in [0, 1]."""

    training: Tensor  # those that the model was trained on
    held_out: Tensor  # of the same kind, unseen in training


@torch.no_grad()
def nearest_training_distance(images: Tensor, train_images: Tensor, chunk: int = 8192) -> tuple[Tensor, Tensor]:
    """Find the closest training image to each image, by Euclidean distance in pixel space.

    Args:
        images: [n, c, h, w] in [0, 1].
        train_images: [m, c, h, w] in [0, 1].
        chunk: number of training images to compare at a time.

    Returns:
        Distances [n] and indices into `train_images` [n].

    Raises:
        ValueError: images of different shapes, or no training images.

    Cost: n x m x pixels multiply-adds, 4 million distances in memory at most.
    """
    if images.shape[1:] != train_images.shape[1:] or not len(train_images):
        raise ValueError(f"train_images: expected [n, {list(images.shape[1:])}], found {list(train_images.shape)}")
    flat, training = images.flatten(1), train_images.flatten(1)
    distances = torch.empty(len(flat), dtype=flat.dtype, device=flat.device)
    indices = torch.empty(len(flat), dtype=torch.int64, device=flat.device)
    for rows in row_blocks(len(flat), min(chunk, len(training))):
        some = flat[rows]
        best, index = some.new_full((len(some),), math.inf), indices.new_zeros(len(some))
        for start in range(0, len(training), chunk):
            distance, position = torch.cdist(some, training[start : start + chunk]).min(1)
            index = torch.where(distance < best, position + start, index)
            best = torch.minimum(distance, best)
        # cdist goes through |x|^2 + |y|^2 - 2 x.y, which loses a copy among rounding errors.
        distances[rows], indices[rows] = (some - training[index]).norm(dim=1), index
    return distances, indices
