"""The judge of generated images: a frozen feature network with the features of real images."""

from dataclasses import dataclass, replace

from torch import Tensor, nn

from thermotorch.zoo import load_card, load_checkpoint, load_reference
from thermotorch.zoo.rows import Row

_VERSION = 1  # to be raised when the weights or the reference change: distances of two versions do not compare


@dataclass(frozen=True)
class FeatureSpace:
    """What distances are measured in; its name belongs to every distance.

    Args:
        name: such as "thermotorch-mnist-v1".
        net: `.features(images)` -> [n, feature] and `(images)` -> logits [n, class], for images [n, c, h, w] in [0, 1].
        reference: float [m, feature], the features of real images that the network was not trained on.
        description: one line for reports: where the network and the reference come from.
        recorded: rows of the network's card; distances among them are those of real images, the floor of any model.
        sha256: digests of the network's weights and of the reference, one text; "" when they come from no file.
    """

    name: str
    net: nn.Module
    reference: Tensor
    description: str = ""
    recorded: tuple[Row, ...] = ()
    sha256: str = ""

    @classmethod
    def from_zoo(cls, checkpoint: str = "feature_net.mnist") -> "FeatureSpace":
        """The feature space of a checkpoint in the zoo that has reference statistics.

        Raises:
            ValueError: no such checkpoint, or one that cannot be trusted.
        """
        card = load_card(checkpoint)
        reference = load_reference(checkpoint)["features"].float()
        recorded = tuple(Row.from_dict(row) for row in card["metrics"])
        accuracy = "".join(f", {row.metric} {row.value:.4g}" for row in recorded if "accuracy" in row.metric)
        return cls(
            name=f"thermotorch-{checkpoint.partition('.')[2]}-v{_VERSION}",
            net=load_checkpoint(checkpoint),
            reference=reference,
            description=f"{checkpoint} (sha256 {card['sha256'][:12]}{accuracy}) and {len(reference):,} real images",
            recorded=recorded,
            sha256=f"{card['sha256']} {card['reference']['sha256']}",
        )

    def to(self, device: str) -> "FeatureSpace":
        """The same space with its network and reference on another device."""
        return replace(self, net=self.net.to(device), reference=self.reference.to(device))
