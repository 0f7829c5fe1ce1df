"""Training of the reference models: Gaussians in one step, and the restricted Boltzmann machine."""

import torch
from torch import Tensor

from thermotorch.dynamics import Stream, normals
from thermotorch.models.baselines.boltzmann import RestrictedBoltzmannMachine
from thermotorch.models.baselines.gaussians import Gaussians
from thermotorch.training.module import TrainingModule, images_of


class GaussiansModule(TrainingModule):
    """Fit `Gaussians` to all training images in closed form, in the first step, which the optimiser only counts."""

    kind = Gaussians
    model: Gaussians
    manual = True

    def training_step(self, batch: dict, batch_idx: int) -> None:
        self.model.fit(*(part.to(self.device) for part in images_of(self.trainer).fitted_images()))
        self.count_update()
        self.trainer.should_stop = True


class BoltzmannModule(TrainingModule):
    """Train by persistent contrastive divergence, with model averages from Markov chains that never restart.

        - d ln p / d theta = <dF(v)/dtheta>_data - <dF(v)/dtheta>_chains

    A visible unit takes the value 1 with the probability given by its pixel, drawn anew at each use of an image. Hidden
    units are averaged in closed form on both sides. Random numbers are functions of (seed, step, slot).

    Args:
        objective: `chains`, the number of Markov chains, and `sweeps`, the number of sweeps between updates.

    Source: Tieleman, ICML 2008; binary images: Salakhutdinov and Murray, ICML 2008.
    """

    kind = RestrictedBoltzmannMachine
    model: RestrictedBoltzmannMachine
    chains: Tensor
    defaults = {"chains": 500, "sweeps": 1}

    def prepare(self) -> None:
        self.register_buffer("chains", torch.zeros(self.settings["chains"], len(self.model.hidden_bias)))

    def forward(self, visible: Tensor) -> Tensor:
        return self.model.free_energy(visible)

    @torch.no_grad()
    def on_fit_start(self) -> None:
        """Set the visible biases to those of independent pixels, which gives the mean image without couplings."""
        if self.trainer.world_size > 1:
            raise ValueError("the chains persist in one process; use trainer=cpu or trainer=gpu with one device")
        if self.trainer.ckpt_path is None:
            images, _ = images_of(self.trainer).fitted_images()
            share = (images.flatten(1).sum(0) + 1.0) / (len(images) + 2.0)
            self.model.visible_bias.copy_(torch.logit(share))

    def binary(self, batch: dict) -> Tensor:
        """Draw visible units [batch, visible] in {0, 1}, each 1 with the probability given by its pixel."""
        image = batch["image"].flatten(1)
        uniform = torch.special.ndtr(
            normals(self.seed, batch["slot"], batch["step"], 1, image.shape[1], Stream.DATA)[0]
        )
        return (uniform < image).to(image)

    def advance(self, step: int, first_chain: int) -> Tensor:
        """Advance the chains, whose sample numbers count from `first_chain`, and return their visible units."""
        sweeps = self.settings["sweeps"]
        ids = first_chain + torch.arange(len(self.chains), device=self.chains.device)
        visible, self.chains = self.model.gibbs(
            self.chains, sweeps, seed=self.seed, sample_ids=ids, first_step=step * sweeps, stream=Stream.DATA
        )
        return visible

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        chains = self.advance(batch["step"], first_chain=images_of(self.trainer).batch_size)
        difference = self(self.binary(batch)).mean() - self(chains).mean()
        self.log("train/free_energy_difference", difference, prog_bar=True, batch_size=len(batch["slot"]))
        return difference
