"""The generative thermodynamic computer: images from noise by the natural dynamics of fluctuating units."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from thermotorch.couplings import BlockCouplings
from thermotorch.dynamics import Stream, Trajectory, simulate
from thermotorch.models.noising import Noising, uncoupled
from thermotorch.potential import Potential

Progress = Callable[[int, int], None]


class Samples(NamedTuple):
    """Generated images with what they cost, in multiples of the machine's kT."""

    images: Tensor  # [sample, channel, height, width] in [0, 1]
    heat: Tensor  # [sample], heat given to the bath during the generation
    work: Tensor  # [sample], work done by switching the trained potential on at the start


class ThermodynamicGenerator(nn.Module):
    """Visible and hidden units, visible-hidden and hidden-hidden couplings, constant in time.

    Generation: from x = 0 run `t_final` with couplings and biases off (that is noise), switch them on, run `t_final`;
        the
    visible units are the image. Generation heat is V(start) - V(end), since nothing drives the run.

    Args:
        image_shape: (channels, height, width); the visible units in that order.
        hidden: number of hidden units.
        hidden_hidden: whether hidden units couple to each other.
        visible_bias: whether visible units have trainable biases; in the paper they stay zero.
        temperature, t_final, dt, j2, j4: kT, observation time, time step, on-site coefficients.
        display_range: states of a visible unit that are shown black and white; linear between, clipped outside. The
            defaults are the noiseless answers of a unit to the darkest and brightest pixel of a normalised digit.

    Cost of a sample at the defaults: 5000 steps, 1.07 M multiply-adds in each of 2500.
    Source: Whitelam, PRL 136, 037101 (2026), Eqs. 1-4; 784 visible + 512 hidden units, 532,736 trained parameters.
    """

    def __init__(
        self,
        image_shape: Sequence[int] = (1, 28, 28),
        hidden: int = 512,
        hidden_hidden: bool = True,
        visible_bias: bool = False,
        temperature: float = 0.1,
        t_final: float = 2.5,
        dt: float = 1e-3,
        j2: float = 1.0,
        j4: float = 1.0,
        display_range: Sequence[float] = (-0.35, 0.95),
    ) -> None:
        super().__init__()
        self.config = {
            "image_shape": list(image_shape),
            "hidden": hidden,
            "hidden_hidden": hidden_hidden,
            "visible_bias": visible_bias,
            "temperature": temperature,
            "t_final": t_final,
            "dt": dt,
            "j2": j2,
            "j4": j4,
            "display_range": list(display_range),
        }
        self.image_shape = tuple(image_shape)
        self.temperature, self.t_final, self.dt = temperature, t_final, dt
        self.steps = round(t_final / dt)
        visible = self.image_shape[0] * self.image_shape[1] * self.image_shape[2]
        pairs = [("visible", "hidden"), ("hidden", "hidden")] if hidden_hidden else [("visible", "hidden")]
        couplings = BlockCouplings({"visible": visible, "hidden": hidden}, pairs)
        self.visible, self.hidden = couplings.slices["visible"], couplings.slices["hidden"]
        fixed_bias = None if visible_bias else torch.arange(couplings.num_units) < visible
        self.potential = Potential(couplings, j2, 0.0, j4, fixed_bias=fixed_bias)

    def noising(self, strength: float = 2.0, ramp: float = 0.75) -> Noising:
        """The noising protocol whose reverse this machine is to follow: same units, temperature and clock."""
        names = ("hidden", "temperature", "t_final", "dt", "j2", "j4")
        return Noising(**{name: self.config[name] for name in names}, strength=strength, ramp=ramp)

    @torch.no_grad()
    def noise(self, num_samples: int, *, seed: int = 0, sample_ids: Tensor | None = None) -> Tensor:
        """Starting states: from x = 0, run `t_final` with couplings and biases off. [sample, unit]."""
        potential = uncoupled(self.potential.num_units, self.config["j2"], self.config["j4"]).to(self.potential.bias)
        state = self.potential.bias.new_zeros(num_samples, self.potential.num_units)
        return simulate(
            potential,
            state,
            steps=self.steps,
            dt=self.dt,
            temperature=self.temperature,
            seed=seed,
            sample_ids=sample_ids,
            stream=Stream.INITIAL,
        ).state

    @torch.no_grad()
    def denoise(
        self, state: Tensor, *, seed: int = 0, sample_ids: Tensor | None = None, record: int | None = None
    ) -> Trajectory:
        """Run the trained machine from `state` [sample, unit] for its observation time."""
        return simulate(
            self.potential,
            state,
            steps=self.steps,
            dt=self.dt,
            temperature=self.temperature,
            seed=seed,
            sample_ids=sample_ids,
            record=record,
        )

    @torch.no_grad()
    def sample(
        self,
        num_samples: int,
        *,
        seed: int = 0,
        sample_ids: Tensor | None = None,
        batch_size: int = 256,
        progress: Progress | None = None,
    ) -> Samples:
        """Generate images and account for their energy.

        Args:
            num_samples: how many.
            seed, sample_ids: image i is a pure function of the weights, the seed and `sample_ids[i]` (default: i).
            batch_size: how many are simulated together.
            progress: called with (samples done, num_samples) after each batch.
        """
        ids = torch.arange(num_samples) if sample_ids is None else sample_ids
        if ids.shape != (num_samples,):
            raise ValueError(f"sample_ids: expected shape ({num_samples},), got {tuple(ids.shape)}")
        batches = []
        for chunk in ids.to(self.potential.bias.device).split(batch_size):
            start = self.noise(len(chunk), seed=seed, sample_ids=chunk)
            end = self.denoise(start, seed=seed, sample_ids=chunk)
            switching = start @ self.potential.bias + self.potential.couplings.energy(start)
            batches.append((self.to_images(end.state), end.heat / self.temperature, switching / self.temperature))
            if progress is not None:
                progress(sum(len(images) for images, _, _ in batches), num_samples)
        if not batches:
            empty = self.potential.bias.new_empty(0)
            return Samples(empty.view(0, *self.image_shape), empty, empty)
        return Samples(*(torch.cat(parts) for parts in zip(*batches, strict=True)))

    def generate(
        self,
        num_samples: int,
        *,
        seed: int = 0,
        sample_ids: Tensor | None = None,
        batch_size: int = 256,
        progress: Progress | None = None,
    ) -> Tensor:
        """The images of `sample`: [sample, channel, height, width] in [0, 1]."""
        return self.sample(
            num_samples, seed=seed, sample_ids=sample_ids, batch_size=batch_size, progress=progress
        ).images

    def to_images(self, state: Tensor) -> Tensor:
        """Visible units as pictures: [..., unit] -> [..., channel, height, width] in [0, 1]."""
        low, high = self.config["display_range"]
        shown = ((state[..., self.visible] - low) / (high - low)).clamp(0.0, 1.0)
        return shown.reshape(*state.shape[:-1], *self.image_shape)

    def forward(self, state: Tensor) -> Tensor:
        """Energy of the trained machine, [..., unit] -> [...]."""
        return self.potential.energy(state)
