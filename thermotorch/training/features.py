"""Samples and data in the layers of a feature network, as objectives compare them."""

from torch import Tensor, nn
from torch.nn import functional as F

from thermotorch.models.judge import FeatureNet
from thermotorch.objectives import feature_scales
from thermotorch.objectives.energy_statistics import Features
from thermotorch.training.captured import GradientAtHand
from thermotorch.training.module import images_of, of_kind
from thermotorch.zoo import load_checkpoint

_POOLED = 7  # width from which maps of features are averaged over 2 x 2


class FeatureModule(GradientAtHand):
    """Base of objectives with the setting `features`, the checkpoint of a feature network; None for pixels alone.

    Raises:
        ValueError: the network that judges samples.
        TypeError: a checkpoint of something else.
    """

    def prepare(self) -> None:
        super().prepare()
        self._scales: list[float] = []
        self._features: list[FeatureNet] = []  # a list, so that Lightning does not save the network with the module
        if name := self.settings["features"]:
            if name == "feature_net.mnist":
                raise ValueError(f"objective.features: {name} judges the samples, so nothing may be trained on it")
            net = of_kind("objective.features", name, load_checkpoint(name), FeatureNet)
            self._features.append(net.requires_grad_(False))

    def measures(self) -> tuple[Features, list[float]]:
        """Return the map from images to blocks of features, and the scales of the blocks."""
        blocks = net_blocks(self._features[0].to(self.device) if self._features else None)
        if not self._scales:
            self._scales = feature_scales(images_of(self.trainer).train_images()[0][:1000].to(self.device), blocks)
        return blocks, self._scales


def net_blocks(net: FeatureNet | None) -> Features:
    """Return the map from images to the blocks of `feature_distance`.

    They are the pixels and, with a network, its layers, features, logits and probabilities.
    """

    def blocks(images: Tensor) -> list[Tensor]:
        layers, maps = [images.flatten(1)], images
        if net is None:
            return layers
        for layer in net.convolutions:
            maps = layer(maps)
            if isinstance(layer, nn.ReLU):
                layers.append((F.avg_pool2d(maps, 2) if maps.shape[-1] > _POOLED else maps).flatten(1))
        features = net.to_features(maps.flatten(1))
        logits = net.to_logits(F.relu(features))
        return [*layers, features, logits, logits.softmax(1)]

    return blocks
