"""A harmonic well for each pixel."""

from math import prod

import torch
from torch import Tensor, nn

import thermotorch as tt


class PixelWells(nn.Module):
    """Units without couplings, V = sum_i (j2 x_i^2 + b_i x_i): in equilibrium a Gaussian for each pixel.

        mean_i = -b_i / (2 j2),   variance = kT / (2 j2)

    Args:
        image_shape: (channels, height, width).
        j2, temperature: curvature of the wells and kT, in the same unit of energy.
        t_final: length of a run from x = 0, in units of 1 / mobility; wells relax within 1 / (2 j2).
    """

    def __init__(
        self, image_shape: list[int], j2: float = 10.0, temperature: float = 0.1, t_final: float = 0.5
    ) -> None:
        super().__init__()
        self.config = {"image_shape": list(image_shape), "j2": j2, "temperature": temperature, "t_final": t_final}
        self.image_shape, self.temperature, self.t_final = tuple(image_shape), temperature, t_final
        self.potential = tt.Potential(tt.LatticeCouplings((1, prod(image_shape)), offsets=[]), j2=j2, j4=0.0)

    def forward(self, images: Tensor) -> Tensor:
        """Images [batch, c, h, w] -> -ln p per image up to a constant, [batch]: (V(x) - min V) / kT."""
        lowest = -self.potential.bias.square() / (4 * self.potential.j2)
        return (self.potential.energy(images.flatten(1)) - lowest.sum()) / self.temperature

    @torch.no_grad()
    def generate(self, num_samples: int, *, seed: int = 0, batch_size: int = 64, progress=None) -> Tensor:
        """Images [sample, c, h, w] in [0, 1] from runs of the dynamics, all at once."""
        start = self.potential.bias.new_zeros(num_samples, self.potential.num_units)
        dt = self.t_final / 100
        run = tt.simulate(self.potential, start, steps=100, dt=dt, temperature=self.temperature, seed=seed)
        if progress is not None:
            progress(num_samples, num_samples)
        return run.state.clamp(0.0, 1.0).view(num_samples, *self.image_shape)
