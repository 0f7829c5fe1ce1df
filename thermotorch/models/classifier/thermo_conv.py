"""An ordinary network with a thermodynamic layer: convolutions, fluctuating units, and a linear read-out."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from thermotorch.arguments import count_of, counts_of, number_of
from thermotorch.layer import ThermodynamicLayer
from thermotorch.models.protocol import NoisyModule


class ThermodynamicConvNet(NoisyModule, nn.Module):
    """Two convolutions, a `ThermodynamicLayer` as the last hidden layer, and logits.

    Args:
        image_shape: (channels, height, width).
        widths: channels of the two convolutions, each of which halves the resolution.
        hidden: number of hidden units of the thermodynamic layer, and of its output units.
        num_classes: number of logits.
        temperature, t_final, dt, integrator: as in `ThermodynamicLayer`.
        strength: factor of the features, so that the input outweighs the noise.

    An example of the layer at work, not a published machine.
    """

    def __init__(
        self,
        image_shape: Sequence[int] = (1, 28, 28),
        widths: Sequence[int] = (8, 16),
        hidden: int = 32,
        num_classes: int = 10,
        temperature: float = 1.0,
        t_final: float = 0.2,
        dt: float = 5e-3,
        integrator: str = "splitting",
        strength: float = 10.0,
    ) -> None:
        super().__init__()
        image_shape, widths = counts_of("image_shape", image_shape, length=3), counts_of("widths", widths, length=2)
        hidden, num_classes = count_of("hidden", hidden), count_of("num_classes", num_classes)
        strength, temperature = number_of("strength", strength, signed=True), number_of("temperature", temperature)
        t_final, dt = number_of("t_final", t_final, positive=True), number_of("dt", dt, positive=True)
        self.config = {
            "image_shape": image_shape, "widths": widths, "hidden": hidden, "num_classes": num_classes,
            "temperature": temperature, "t_final": t_final, "dt": dt, "integrator": integrator, "strength": strength,
        }  # fmt: skip
        channels, height, width = image_shape
        first, second = widths
        self.first = nn.Conv2d(channels, first, 5, stride=2, padding=2)
        self.second = nn.Conv2d(first, second, 3, stride=2, padding=1)
        features = second * -(-height // 4) * -(-width // 4)
        self.thermodynamic = ThermodynamicLayer(
            features, hidden, hidden, t_final, dt, temperature, integrator=integrator
        )
        self.to_logits = nn.Linear(hidden, num_classes)
        self.strength = strength

    def forward(self, images: Tensor, seed: int | None = None, sample_ids: Tensor | None = None) -> Tensor:
        """Return the logits [batch, class] of images [batch, c, h, w] in [0, 1]."""
        features = F.relu(self.second(F.relu(self.first(images)))).flatten(1)
        return self.to_logits(self.thermodynamic(self.strength * features, seed, sample_ids))
