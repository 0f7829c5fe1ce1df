"""Sampling that generators share: classes, known pixels and batches."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from thermotorch.arguments import count_of, flags, integers, real, sample_numbers, seed_of
from thermotorch.dynamics.operators.arguments import PRECISIONS
from thermotorch.dynamics.problem import choose
from thermotorch.models.protocol import Progress, Samples, Thermodynamic


class ImageDevice(Thermodynamic, nn.Module):
    """A thermodynamic device that draws images of chosen classes, batch by batch, and completes known pixels.

    Attributes:
        num_classes: number of classes; 0 for none.
    """

    num_classes: int

    @property
    def draws_class(self) -> bool:
        """Return True if samples without `labels` draw their own class."""
        return False

    @torch.no_grad()
    def sample(
        self,
        num_samples: int,
        *,
        seed: int = 0,
        sample_ids: Tensor | None = None,
        labels: Tensor | None = None,
        known: Tensor | None = None,
        mask: Tensor | None = None,
        batch_size: int = 256,
        progress: Progress | None = None,
        times: Sequence[float] = (),
        precision: str = "ieee",
    ) -> Samples:
        """Generate images, with heat and work in multiples of kT.

        Args:
            num_samples: number of images.
            seed, sample_ids: image i is a pure function of the weights, the seed and `sample_ids[i]` (default: i).
            labels: classes of the images, int64 [num_samples], for a machine with label units. By default its own die
                draws them, or they are `id % num_classes` if it has none.
            known, mask: images [num_samples, channel, height, width] in [0, 1], and the pixels of them that are held
                while the machine draws the others, bool [channel, height, width] (inpainting).
            batch_size: number of images per batch.
            progress: callback (samples done, num_samples) after each batch.
            times: increasing times of the `frames`, which are on the CPU, such as some of `readable_times`. They do
                not change the samples.
            precision: format of products with the couplings, as in `simulate`: "ieee" (float32), "tf32" or "bf16". The
                latter two are faster where a processor or a GPU has matrix units. They round every field by about 5e-6
                and 2e-3 of its size, so that a sample follows another path of the same law within that error.

        Raises:
            ValueError: an argument of the wrong shape or range, or an unknown precision.
        """
        choose("precision", precision, PRECISIONS)
        num_samples, batch_size = count_of("num_samples", num_samples, 0), count_of("batch_size", batch_size)
        seed, ids = seed_of(seed), sample_numbers(sample_ids, (num_samples,))
        if labels is not None or not self.draws_class:
            labels = class_labels(labels, ids, self.num_classes)
        if (known is None) != (mask is None):
            raise ValueError("known, mask: expected both, the images and the mask of their known pixels")
        if known is not None and real("known", known).shape != (num_samples, *self.image_shape):
            raise ValueError(f"known: expected shape {(num_samples, *self.image_shape)}, got {tuple(known.shape)}")
        device, at, parts = next(self.parameters()).device, self._moments(times), []
        mask = None if mask is None else flags("mask", mask, self.image_shape).to(device)
        for rows in batches(num_samples, batch_size, progress):
            pixels = None if known is None else known[rows].to(device)
            images, heat, work, frames = self._draw(
                ids[rows].to(device),
                None if labels is None else labels[rows].to(device),
                seed,
                pixels,
                mask,
                at,
                precision,
            )
            shown = [torch.stack([frame.cpu() for frame in frames], 1)] if at else []
            parts.append((images, heat / self.temperature, work / self.temperature, *shown))
        images, heat, work, *shown = (torch.cat(column) for column in zip(*parts, strict=True))
        return Samples(images, heat, work, shown[0].transpose(0, 1) if at else None)

    @abstractmethod
    def _moments(self, times: Sequence[float]) -> list[Any]:
        """Return times of `frames` as the device counts them, or raise a ValueError."""

    @abstractmethod
    def _draw(
        self,
        ids: Tensor,
        labels: Tensor | None,
        seed: int,
        known: Tensor | None,
        mask: Tensor | None,
        at: list[Any],
        precision: str,
    ) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
        """Return images, heat and work of a batch, in the potential's unit, and images at the moments `at`."""


def class_labels(labels: Tensor | Sequence[int] | None, ids: Tensor, num_classes: int) -> Tensor:
    """Return the class of each sample, int64 [sample].

    Args:
        labels: one class for each sample, a tensor, an array or a list of integers; None for `id % num_classes`.
        ids: numbers of the samples, [sample].
        num_classes: number of classes, 0 ... num_classes - 1; 0 gives zeros, and refuses labels.
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
    """Yield the rows of each batch, int64, one empty batch for no samples; call `progress` after each."""
    for rows in torch.arange(num_samples).split(batch_size):
        yield rows
        if progress is not None and len(rows):
            progress(int(rows[-1]) + 1, num_samples)
