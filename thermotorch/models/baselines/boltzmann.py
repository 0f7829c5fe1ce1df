"""The restricted Boltzmann machine of binary units, sampled by Gibbs' rule."""

from collections.abc import Callable, Sequence
from math import prod

import torch
from torch import Tensor, nn

from thermotorch.arguments import count_of, counts_of, sample_numbers, seed_of
from thermotorch.dynamics import Stream, normals
from thermotorch.models.drawing import batches


class RestrictedBoltzmannMachine(nn.Module):
    """Visible and hidden units in {0, 1}, coupled between the layers.

        p(v, h) ~ exp(v W h + b v + c h),   p(h = 1 | v) = sigmoid(v W + c),   p(v = 1 | h) = sigmoid(W h + b)

    Generation starts with all hidden units off, so that visible ones are independent, and takes `sampling_steps` sweeps
    of Gibbs' rule. The image is p(v = 1 | h) after the last one, without the noise of the visible units.

    Args:
        image_shape: (channels, height, width); a pixel in [0, 1] is the probability of its unit.
        hidden: number of hidden units.
        sampling_steps: number of sweeps from noise to an image.

    Cost of a sample: 2 x pixels x hidden multiply-adds and pixels + hidden random numbers in each sweep.
    Source: Smolensky 1986; Hinton, Neural Computation 14, 1771 (2002).
    """

    def __init__(self, image_shape: Sequence[int] = (1, 28, 28), hidden: int = 512, sampling_steps: int = 500) -> None:
        super().__init__()
        image_shape, hidden = counts_of("image_shape", image_shape), count_of("hidden", hidden)
        sampling_steps = count_of("sampling_steps", sampling_steps)
        self.config = {"image_shape": image_shape, "hidden": hidden, "sampling_steps": sampling_steps}
        self.sampling_steps = sampling_steps
        self.image_shape = tuple(image_shape)
        self.weight = nn.Parameter(0.01 * torch.randn(prod(image_shape), hidden))
        self.visible_bias = nn.Parameter(torch.zeros(prod(image_shape)))
        self.hidden_bias = nn.Parameter(torch.zeros(hidden))

    def hidden_probability(self, visible: Tensor) -> Tensor:
        """Return p(h = 1 | v): [..., visible] -> [..., hidden]."""
        return torch.sigmoid(visible @ self.weight + self.hidden_bias)

    def visible_probability(self, hidden: Tensor) -> Tensor:
        """Return p(v = 1 | h): [..., hidden] -> [..., visible]."""
        return torch.sigmoid(hidden @ self.weight.T + self.visible_bias)

    def free_energy(self, visible: Tensor) -> Tensor:
        """Return F(v) = -b v - sum_j ln(1 + exp((v W + c)_j)), so that p(v) ~ exp(-F): [..., visible] -> [...]."""
        softplus = nn.functional.softplus(visible @ self.weight + self.hidden_bias)
        return -(visible @ self.visible_bias) - softplus.sum(-1)

    @torch.no_grad()
    def gibbs(
        self,
        hidden: Tensor,
        steps: int,
        *,
        seed: int,
        sample_ids: Tensor,
        first_step: int = 0,
        stream: Stream = Stream.DYNAMICS,
    ) -> tuple[Tensor, Tensor]:
        """Return visible [batch, visible] and hidden units [batch, hidden] after some sweeps.

        Each draws all visible units given the hidden ones and then all hidden units.

        Args:
            hidden: [batch, hidden] in {0, 1}.
            steps: number of sweeps, at least 1.
            seed, sample_ids, first_step, stream: identity of the random numbers, which are a pure function of them.
        """
        pixels, steps, seed = len(self.visible_bias), count_of("steps", steps), seed_of(seed)
        for step in range(first_step, first_step + steps):
            noise = normals(seed, sample_ids, step, 1, pixels + hidden.shape[1], stream)[0]
            uniform = torch.special.ndtr(noise).to(hidden)
            visible = (uniform[:, :pixels] < self.visible_probability(hidden)).to(hidden)
            hidden = (uniform[:, pixels:] < self.hidden_probability(visible)).to(hidden)
        return visible, hidden

    @torch.no_grad()
    def generate(
        self,
        num_samples: int,
        *,
        seed: int = 0,
        sample_ids: Tensor | None = None,
        batch_size: int = 256,
        progress: Callable[[int, int], None] | None = None,
    ) -> Tensor:
        """Return images as `Generator.generate`; image i is a function of seed and `sample_ids[i]` (default: i)."""
        num_samples, batch_size = count_of("num_samples", num_samples, 0), count_of("batch_size", batch_size)
        seed, ids = seed_of(seed), sample_numbers(sample_ids, (num_samples,))
        images = self.weight.new_empty(num_samples, *self.image_shape)
        for rows in batches(num_samples, batch_size, progress):
            chunk = ids[rows].to(self.weight.device)
            off = self.hidden_bias.new_zeros(len(chunk), len(self.hidden_bias))
            _, hidden = self.gibbs(off, self.sampling_steps, seed=seed, sample_ids=chunk)
            images[rows] = self.visible_probability(hidden).view(-1, *self.image_shape)
        return images
