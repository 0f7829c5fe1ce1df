"""Flow matching: the network of the diffusion baseline, trained to carry noise to images along straight lines."""

from collections.abc import Iterable

import torch
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from torch import Tensor

from thermotorch.models.baselines.diffusion import DiffusionModel


class EqualSteps(FlowMatchEulerDiscreteScheduler):
    """Equally spaced levels from 1 to 1 / steps; the last default level is so near 0 that it would waste a step."""

    # diffusers has four more arguments here, which `generate` does not use.
    def set_timesteps(self, steps: int, device: str | torch.device = "cpu") -> None:  # type: ignore[override]
        super().set_timesteps(device=device, sigmas=[1 - step / steps for step in range(steps)])


class FlowMatchingModel(DiffusionModel):
    """A U-Net that predicts the velocity of `x_s = (1 - s) x_0 + s noise`, with s from 1 (noise) to 0 (image).

    An image is the end of dx/ds = E[noise - x_0 | x_s], solved by Euler's method in steps of equal length.

    Source: Lipman et al., Flow Matching, ICLR 2023; Liu, Gong, Liu, Rectified Flow, ICLR 2023. Network, classes and
    guidance are those of `DiffusionModel`, the scheduler is that of `diffusers`.

    Args:
        image_size, channels, block_out_channels, layers_per_block, attention, num_classes, guidance: as in
            `DiffusionModel`.
        num_train_timesteps: number of levels s = (t + 1) / num_train_timesteps in training. The network's timesteps run
            from 1, the lowest level, to num_train_timesteps, pure noise.
    """

    samplers = {"euler": 20}
    compared = ("euler:10", "euler:20")

    def __init__(
        self,
        image_size: int = 28,
        channels: int = 1,
        block_out_channels: Iterable[int] = (32, 64, 64),
        layers_per_block: int = 1,
        attention: bool = True,
        num_train_timesteps: int = 1000,
        num_classes: int = 0,
        guidance: float = 1.0,
    ) -> None:
        super().__init__(
            image_size, channels, block_out_channels, layers_per_block, attention, num_train_timesteps,
            num_classes=num_classes, guidance=guidance,
        )  # fmt: skip
        del self.config["beta_schedule"], self.config["prediction_type"]

    def noised(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return noisy images, the timesteps for the network, and the velocity noise - clean."""
        conditioning = timesteps + 1
        level = (conditioning / self.config["num_train_timesteps"]).view(-1, 1, 1, 1).to(clean)
        return torch.lerp(clean, noise, level), conditioning, noise - clean

    def scheduler(self, sampler: str) -> FlowMatchEulerDiscreteScheduler:
        """Return a fresh `diffusers` scheduler of the one sampler, "euler"."""
        self._check_sampler(sampler)
        return EqualSteps(num_train_timesteps=self.config["num_train_timesteps"])
