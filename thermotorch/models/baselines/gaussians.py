"""Gaussians fitted to images, one for all or one for each class."""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, Self

import torch
from torch import Tensor, nn

from thermotorch.arguments import count_of, counts_of, integer, sample_numbers, seed_of
from thermotorch.dynamics import Stream, normals
from thermotorch.models.drawing import batches, class_labels


class Gaussians(nn.Module):
    """A Gaussian over the pixels for each class, along its leading principal components.

        x = mean_c + basis_c z,   z standard normal,   clipped to [0, 1] in an image

    With as many components as pixels it has the mean and the covariance of the images; a smaller number omits the
    directions of least variance.

    Args:
        image_shape: (channels, height, width).
        num_classes: number of Gaussians, one for each class; 0 fits one to all images.
        components: number of components of each Gaussian; None for as many as pixels.

    Cost of a sample: components x pixels multiply-adds.
    Source: Bishop, Pattern Recognition and Machine Learning (2006), section 12.1.
    """

    def __init__(
        self, image_shape: Sequence[int] = (1, 28, 28), num_classes: int = 10, components: int | None = 20
    ) -> None:
        super().__init__()
        image_shape, num_classes = counts_of("image_shape", image_shape), count_of("num_classes", num_classes, 0)
        pixels = prod(image_shape)
        if not image_shape:
            raise ValueError("image_shape: expected (channels, height, width), found nothing")
        components = pixels if components is None else integer("components", components)
        if not 1 <= components <= pixels:
            raise ValueError(
                f"components: expected 1 ... {pixels} (the number of pixels) or None for all, found {components}"
            )
        self.config: dict[str, Any] = {"image_shape": image_shape, "num_classes": num_classes, "components": components}
        self.image_shape, self.num_classes = tuple(image_shape), num_classes
        self.mean = nn.Parameter(torch.zeros(max(1, num_classes), pixels))
        self.basis = nn.Parameter(torch.zeros(max(1, num_classes), pixels, components))

    @torch.no_grad()
    def fit(self, images: Tensor, labels: Tensor) -> Self:
        """Set the mean of each class, and the eigenvectors of its covariance times the roots of their eigenvalues.

        Args:
            images: [n, c, h, w] in [0, 1].
            labels: classes, int64 [n]; unused by a single Gaussian.

        Raises:
            ValueError: a class without images.

        Cost: n x pixels^2 multiply-adds, and an eigenvalue problem of size pixels for each Gaussian.
        """
        components = self.config["components"]
        for group, (mean, basis) in enumerate(zip(self.mean, self.basis, strict=True)):
            own = (images[labels == group] if self.num_classes else images).flatten(1).double()
            if not len(own):
                raise ValueError(f"labels: no image of class {group} among {len(labels)}")
            variances, directions = torch.linalg.eigh(own.T.cov(correction=0))
            mean.copy_(own.mean(0))
            basis.copy_((directions * variances.clamp_min(0.0).sqrt())[:, -components:])
        return self

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        """Return pixels [batch, pixel], not clipped, from normals [batch, component] and classes [batch]."""
        return self.mean[labels] + (self.basis[labels] @ z.unsqueeze(-1)).squeeze(-1)

    @torch.no_grad()
    def generate(
        self,
        num_samples: int,
        *,
        seed: int = 0,
        sample_ids: Tensor | None = None,
        batch_size: int = 256,
        progress: Callable[[int, int], None] | None = None,
        labels: Tensor | None = None,
    ) -> Tensor:
        """Return images as `Generator.generate`, by default of the classes `id % num_classes`.

        Image i is a function of the seed, its class and `sample_ids[i]` (default: i).
        """
        num_samples, batch_size = count_of("num_samples", num_samples, 0), count_of("batch_size", batch_size)
        seed, ids = seed_of(seed), sample_numbers(sample_ids, (num_samples,)).cpu()
        labels = class_labels(labels, ids, self.num_classes).cpu()
        images = self.mean.new_empty(num_samples, *self.image_shape)
        for rows in batches(num_samples, batch_size, progress):
            z = normals(seed, ids[rows], 0, 1, self.config["components"], Stream.INITIAL)[0].to(self.mean)
            images[rows] = self(z, labels[rows].to(z.device)).clamp(0.0, 1.0).view(-1, *self.image_shape)
        return images
