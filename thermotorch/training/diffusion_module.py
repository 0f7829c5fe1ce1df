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
        objective: `{"label_dropout": 0.1}`, the fraction of images whose class a model that is told classes does not get.
        seed: of the initial weights, the noise and the noise levels.
    """

    def __init__(self, model: dict, optimizer: dict, objective: dict | None = None, seed: int = 0) -> None:
        super().__init__()
        if unknown := set(objective or {}) - {"label_dropout"}:
            raise TypeError(f"objective: unknown {sorted(unknown)}, expected label_dropout or nothing")
        self.save_hyperparameters()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.model = create_model(model["name"], **model.get("config", {}))
        self.label_dropout = (objective or {}).get("label_dropout", 0.1)
        self.seed = seed

    def forward(self, noisy: Tensor, timesteps: Tensor) -> Tensor:
        return self.model(noisy, timesteps)

    def noise(self, batch: dict) -> tuple[Tensor, Tensor]:
        """The standard normals, shaped like the images, and the timesteps int64 [batch] of a batch."""
        slot, step, image = batch["slot"], batch["step"], batch["image"]
        noise = normals(self.seed, slot, step, 1, image[0].numel(), Stream.DATA)[0].view_as(image)
        offset = torch.special.ndtr(
            normals(self.seed, slot[:1] * 0, step, 1, 1, Stream.INITIAL)
        )  # one for the whole batch
        level = (offset.double().item() + slot.double() * _GOLDEN) % 1.0
        return noise, (level * self.model.config["num_train_timesteps"]).long()

    def labels(self, batch: dict) -> Tensor:
        """The classes of a batch, some replaced by `num_classes`, which stands for any."""
        uniform = torch.special.ndtr(normals(self.seed, batch["slot"], batch["step"], 1, 2, Stream.INITIAL)[0, :, 1])
        return batch["label"].masked_fill(uniform < self.label_dropout, self.model.config["num_classes"])

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        loss = self.model.loss(batch["image"], *self.noise(batch), self.labels(batch))
        self.log("train/loss", loss, prog_bar=True, sync_dist=True, batch_size=len(batch["image"]))
        return loss

    def validation_step(self, batch: dict, batch_idx: int) -> None:
        loss = self.model.loss(batch["image"], *self.noise(batch), self.labels(batch))
        self.log("val/loss", loss, prog_bar=True, sync_dist=True, batch_size=len(batch["image"]))

    def configure_optimizers(self) -> dict:
        return build_optimizer(self.parameters(), self.hparams.optimizer)
