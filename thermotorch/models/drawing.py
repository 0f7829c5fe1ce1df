"""Classes and batches of a generator's samples."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from thermotorch.arguments import integers
from thermotorch.models.protocol import Progress


def class_labels(labels: Tensor | Sequence[int] | None, ids: Tensor, num_classes: int) -> Tensor:
    """Return the class of each sample, int64 [sample].

    Args:
        labels: one class for each sample, a tensor, an array or a list of integers; None for `id % num_classes`.
        ids: numbers of the samples, [sample].
        num_classes: number of classes, 0 ... num_classes - 1; 0 gives zeros.

    Raises:
        ValueError: another number of labels, an unknown class, or labels for a model without classes.
    """
    if labels is None:
        return ids % max(1, num_classes)
    if not num_classes:
        raise ValueError("labels: this model has no label units (num_classes = 0) and cannot draw a chosen class")
    count = len(ids)
    try:
        classes = integers("labels", labels, (count,))
    except ValueError as error:
        raise ValueError(f"labels: expected {count} classes below {num_classes}; {error}") from None
    if count and not 0 <= int(classes.min()) <= int(classes.max()) < num_classes:
        raise ValueError(f"labels: expected {count} classes below {num_classes}, got {classes[:20].tolist()}")
    return classes


def batches(num_samples: int, batch_size: int, progress: Progress | None) -> Iterator[Tensor]:
    """Yield the rows of each batch, int64; a single empty batch for no samples.

    Args:
        num_samples, batch_size: number of samples, in total and per batch.
        progress: callback (samples done, num_samples) after each batch.
    """
    for rows in torch.arange(num_samples).split(batch_size):
        yield rows
        if progress is not None and len(rows):
            progress(int(rows[-1]) + 1, num_samples)
