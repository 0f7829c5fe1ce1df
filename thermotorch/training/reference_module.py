"""Fitting the models that generators are measured against: Gaussians in one step, the restricted Boltzmann machine."""

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from thermotorch.dynamics import Stream, normals
from thermotorch.models.baselines.boltzmann import RestrictedBoltzmannMachine
from thermotorch.models.baselines.gaussians import Gaussians
from thermotorch.training.given import images_of, new_model, sole_optimizer
from thermotorch.training.optimizers import build_optimizer


class GaussiansModule(LightningModule):
    """The closed-form fit of `Gaussians` to all training images, which the first step does.

    Args:
        model: `{"name": "gaussians", "config": {...}}`.
        optimizer: see `build_optimizer`; it moves nothing and only counts the step.
        objective: empty.
        seed: not used.
    """

    def __init__(self, model: dict, optimizer: dict, objective: dict | None = None, seed: int = 0) -> None:
        super().__init__()
        if objective:
            raise TypeError(f"objective: unknown {sorted(objective)}, expected nothing")
        self.save_hyperparameters()
        self.automatic_optimization = False
        self.model = new_model(model, Gaussians)

    def training_step(self, batch: dict, batch_idx: int) -> None:
        self.model.fit(*(part.to(self.device) for part in images_of(self.trainer).fitted_images()))
        sole_optimizer(self).step()
        self.trainer.should_stop = True

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        return build_optimizer(self.parameters(), self.hparams["optimizer"])


class BoltzmannModule(LightningModule):
    """Persistent contrastive divergence: the likelihood gradient, its model average from Markov chains that never
    restart.

        - d ln p / d theta = <dF(v)/dtheta>_data - <dF(v)/dtheta>_chains

    Visible units take the value 1 with the probability that the pixel says, anew each time an image is used. Hidden
    units are averaged in closed form on both sides. Random numbers are functions of (seed, step, slot).

    Args:
        model: `{"name": "rbm", "config": {...}}`.
        optimizer: see `build_optimizer`.
        objective: `chains`, how many, and `sweeps` of each between updates.
        seed: of the initial weights, the chains and the binary images.

    Source: Tieleman, ICML 2008; binary images: Salakhutdinov, Murray, ICML 2008.
    """

    chains: Tensor

    def __init__(self, model: dict, optimizer: dict, objective: dict | None = None, seed: int = 0) -> None:
        super().__init__()
        settings = {"chains": 500, "sweeps": 1, **(objective or {})}
        if unknown := settings.keys() - {"chains", "sweeps"}:
            raise TypeError(f"objective: unknown {sorted(unknown)}, expected chains or sweeps")
        self.save_hyperparameters()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.model = new_model(model, RestrictedBoltzmannMachine)
        self.settings, self.seed = settings, seed
        self.register_buffer("chains", torch.zeros(settings["chains"], len(self.model.hidden_bias)))

    def forward(self, visible: Tensor) -> Tensor:
        return self.model.free_energy(visible)

    @torch.no_grad()
    def on_fit_start(self) -> None:
        """The first visible biases are those of independent pixels, so that couplings need not learn the mean image."""
        if self.trainer.world_size > 1:
            raise ValueError("the chains persist in one process; use trainer=cpu or trainer=gpu with one device")
        if self.trainer.ckpt_path is None:
            images, _ = images_of(self.trainer).fitted_images()
            share = (images.flatten(1).sum(0) + 1.0) / (len(images) + 2.0)
            self.model.visible_bias.copy_(torch.logit(share))

    def binary(self, batch: dict) -> Tensor:
        """Visible units [batch, visible] in {0, 1}, each 1 with the probability that its pixel says."""
        image = batch["image"].flatten(1)
        uniform = torch.special.ndtr(
            normals(self.seed, batch["slot"], batch["step"], 1, image.shape[1], Stream.DATA)[0]
        )
        return (uniform < image).to(image)

    def advance(self, step: int, first_chain: int) -> Tensor:
        """Moves the chains on and returns their visible units; their noise is that of ids from `first_chain` on."""
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

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        return build_optimizer(self.parameters(), self.hparams["optimizer"])
