"""Training of the digital diffusion baseline."""

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from thermotorch.dynamics.noise import Stream, normals
from thermotorch.training.optimizers import build_optimizer
from thermotorch.zoo import create_model

_GOLDEN = 0.6180339887498949


class DiffusionModule(LightningModule):
    """Denoising training of a `DiffusionModel`.

    Noise and noise levels are functions of (seed, step, slot in the global batch), so a resumed run equals an
    uninterrupted one and several processes equal one. The noise levels of a batch are spread evenly,
    `t = floor(T frac(u_step + slot / golden ratio))` with u uniform: each is uniform, and together they cover
    0 ... T - 1 better than independent ones, which makes the gradient less noisy.

    Args:
        model: `{"name": architecture, "config": constructor arguments}`.
        optimizer: see `build_optimizer`.
        objective: empty; the loss belongs to the model.
        seed: of the initial weights, the noise and the noise levels.
    """

    def __init__(self, model: dict, optimizer: dict, objective: dict | None = None, seed: int = 0) -> None:
        super().__init__()
        if objective:
            raise TypeError(f"objective: the diffusion loss has no settings, found {objective}")
        self.save_hyperparameters()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.model = create_model(model["name"], **model.get("config", {}))
        self.seed = seed

    def forward(self, noisy: Tensor, timesteps: Tensor) -> Tensor:
        return self.model(noisy, timesteps)

    def noise(self, batch: dict) -> tuple[Tensor, Tensor]:
        """The standard normals, shaped like the images, and the timesteps int64 [batch] of a batch."""
        slot, step, image = batch["slot"], batch["step"], batch["image"]
        noise = normals(self.seed, slot, step, 1, image[0].numel(), Stream.DATA)[0].view_as(image)
        offset = torch.special.ndtr(normals(self.seed, slot[:1] * 0, step, 1, 1, Stream.INITIAL))  # one for the whole batch
        level = (offset.double().item() + slot.double() * _GOLDEN) % 1.0
        return noise, (level * self.model.config["num_train_timesteps"]).long()

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        loss = self.model.loss(batch["image"], *self.noise(batch))
        self.log("train/loss", loss, prog_bar=True, sync_dist=True, batch_size=len(batch["image"]))
        return loss

    def validation_step(self, batch: dict, batch_idx: int) -> None:
        loss = self.model.loss(batch["image"], *self.noise(batch))
        self.log("val/loss", loss, prog_bar=True, sync_dist=True, batch_size=len(batch["image"]))

    def configure_optimizers(self) -> dict:
        return build_optimizer(self.parameters(), self.hparams.optimizer)
