"""Classes that a model is asked to draw."""

from collections.abc import Sequence

from torch import Tensor

from thermotorch.arguments import integers


def class_labels(labels: Tensor | Sequence[int], count: int, num_classes: int) -> Tensor:
    """Return `labels` as int64 [count].

    Args:
        labels: one class for each sample, a tensor, an array or a list of integers.
        count: number of samples.
        num_classes: number of classes, 0 ... num_classes - 1.

    Raises:
        ValueError: another number of labels, or an unknown class.
    """
    try:
        classes = integers("labels", labels, (count,))
    except ValueError as error:
        raise ValueError(f"labels: expected {count} classes below {num_classes}; {error}") from None
    if count and not 0 <= int(classes.min()) <= int(classes.max()) < num_classes:
        raise ValueError(f"labels: expected {count} classes below {num_classes}, got {classes[:20].tolist()}")
    return classes
