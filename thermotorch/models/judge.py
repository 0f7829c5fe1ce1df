"""A small classifier whose penultimate layer is the feature space for the quality of generated images."""

from collections.abc import Iterable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from thermotorch.arguments import count_of, counts_of, number_of, real
from thermotorch.models.protocol import Judge


class FeatureNet(Judge, nn.Module):
    """A convolutional classifier without normalisation layers or dropout: a pure function of one image.

    Args:
        image_size: height and width of an image in pixels.
        channels: number of channels of an image.
        widths: channels of the convolutional stages, each of which halves the resolution.
        num_features: size of the feature vector.
        num_classes: number of classes.
    """

    def __init__(
        self,
        image_size: int = 28,
        channels: int = 1,
        widths: Iterable[int] = (32, 64),
        num_features: int = 64,
        num_classes: int = 10,
    ) -> None:
        super().__init__()
        image_size, channels = count_of("image_size", image_size), count_of("channels", channels)
        widths, num_features = counts_of("widths", widths), count_of("num_features", num_features)
        num_classes = count_of("num_classes", num_classes)
        if not widths:
            raise ValueError("widths: expected at least one stage, found none")
        self.config = {
            "image_size": image_size, "channels": channels, "widths": widths, "num_features": num_features,
            "num_classes": num_classes,
        }  # fmt: skip
        self.image_shape = (channels, image_size, image_size)
        self.num_features = num_features
        layers: list[nn.Module] = [nn.Conv2d(channels, widths[0], 5, stride=2, padding=2), nn.ReLU()]
        for narrow, wide in pairwise(widths):
            layers += [nn.Conv2d(narrow, wide, 3, stride=2, padding=1), nn.ReLU()]
            layers += [nn.Conv2d(wide, wide, 3, padding=1), nn.ReLU()]
        side = -(-image_size // 2 ** len(widths))
        self.convolutions = nn.Sequential(*layers)
        self.to_features = nn.Linear(widths[-1] * side * side, num_features)
        self.to_logits = nn.Linear(num_features, num_classes)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)

    def features(self, images: Tensor) -> Tensor:
        """Return the features [batch, num_features] of images [batch, c, h, w] in [0, 1], before the last nonlinearity.

        At that place they are closest to Gaussian, which a Frechet distance assumes.

        Raises:
            ValueError: images of another shape.
        """
        if real("images", images).ndim != 4 or tuple(images.shape[1:]) != self.image_shape:
            raise ValueError(
                f"images: expected [batch, {', '.join(map(str, self.image_shape))}], found {list(images.shape)}"
            )
        return self.to_features(self.convolutions(images).flatten(1))

    @torch.no_grad()
    def divide_features(self, scale: float) -> None:
        """Divide the features by `scale` > 0 and keep the logits, since relu(f / scale) scale = relu(f)."""
        scale = number_of("scale", scale, positive=True)
        for parameter in self.to_features.parameters():
            parameter.div_(scale)
        self.to_logits.weight.mul_(scale)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits [batch, num_classes] of images [batch, c, h, w] in [0, 1]."""
        return self.to_logits(F.relu(self.features(images)))
