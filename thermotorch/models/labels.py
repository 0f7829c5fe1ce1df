"""Classes that a model is asked to draw."""

from collections.abc import Sequence

import torch
from torch import Tensor


def class_labels(labels: Tensor | Sequence[int], count: int, num_classes: int) -> Tensor:
    """Return `labels` as int64 [count].

    Args:
        labels: one class for each sample: a tensor, an array or a list of integers.
        count: number of samples.
        num_classes: classes that the model knows, 0 ... num_classes - 1.

    Raises:
        ValueError: another number of labels, or one that is no such class.
    """
    classes = torch.as_tensor(labels)
    whole = not classes.is_floating_point() and not classes.is_complex() and classes.dtype != torch.bool
    known = classes.shape == (count,) and (whole or not count)
    if not known or (count and not 0 <= int(classes.min()) <= int(classes.max()) < num_classes):
        raise ValueError(
            f"labels: expected {count} classes below {num_classes}, got {classes.dtype} {tuple(classes.shape)} "
            f"{classes.flatten()[:20].tolist()}"
        )
    return classes.long()
