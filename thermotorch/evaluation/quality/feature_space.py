"""The judge of generated images: a frozen feature network with the features of real images."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from thermotorch.evaluation.quality.recognition import FeatureNet
from thermotorch.zoo import load_card, load_checkpoint, load_reference
from thermotorch.zoo.rows import Row

_VERSION = 1  # raise it with the weights or the reference: distances of two versions do not compare


@dataclass(frozen=True)
class FeatureSpace:
    """The space of a distance, whose name every distance bears.

    Args:
        name: name such as "thermotorch-mnist-v1".
        net: feature network.
        reference: float [m, feature], features of real images that the network was not trained on.
        description: origin of the network and the reference, one line for reports.
        recorded: rows of the network's card; its distances are those of real images, the floor of any model.
        sha256: digests of the network's weights and of the reference in one text; "" if they come from no file.
    """

    name: str
    net: FeatureNet
    reference: Tensor
    description: str = ""
    recorded: tuple[Row, ...] = ()
    sha256: str = ""

    @classmethod
    def from_zoo(cls, checkpoint: str = "feature_net.mnist") -> "FeatureSpace":
        """Return the feature space of a checkpoint in the zoo that has reference statistics.

        Raises:
            ValueError: no such checkpoint, a damaged one, or one of a network without features.
        """
        net = load_checkpoint(checkpoint)
        if not isinstance(net, FeatureNet):
            raise ValueError(f"judge: {checkpoint} has no features; expected a feature network")
        card = load_card(checkpoint)
        reference = load_reference(checkpoint)["features"].float()
        recorded = tuple(Row.from_dict(row) for row in card["metrics"])
        accuracy = "".join(f", {row.metric} {row.value:.4g}" for row in recorded if "accuracy" in row.metric)
        return cls(
            name=f"thermotorch-{checkpoint.partition('.')[2]}-v{_VERSION}",
            net=net,
            reference=reference,
            description=f"{checkpoint} (sha256 {card['sha256'][:12]}{accuracy}) and {len(reference):,} real images",
            recorded=recorded,
            sha256=f"{card['sha256']} {card['reference']['sha256']}",
        )

    def to(self, device: str | torch.device) -> "FeatureSpace":
        """Return the space with its network and reference on another device."""
        return replace(self, net=self.net.to(device), reference=self.reference.to(device))
