"""Originality of generated images: their distance to the training images, relative to that of held-out images."""

import math
from typing import NamedTuple

import torch
from torch import Tensor


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
