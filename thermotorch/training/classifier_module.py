"""Training of the feature network."""

import inspect

import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.nn import functional as F

from thermotorch.dynamics.noise import Stream, normals
from thermotorch.training.augmentation import jitter
from thermotorch.training.optimizers import build_optimizer
from thermotorch.zoo import create_model


class ClassifierModule(LightningModule):
    """Cross-entropy training of a classifier on jittered images.

    The jitter is a function of (seed, step, slot in the global batch), so a resumed run equals an uninterrupted one and
    several processes equal one.

    Args:
        model: `{"name": architecture, "config": constructor arguments}`.
        optimizer: see `build_optimizer`.
        objective: `{"rotation": degrees, "scale": relative, "shift": pixels}`, the arguments of `jitter`.
        seed: of the initial weights and the jitter.
    """

    def __init__(self, model: dict, optimizer: dict, objective: dict | None = None, seed: int = 0) -> None:
        super().__init__()
        inspect.signature(jitter).bind(None, None, **(objective or {}))  # a misspelt setting is a TypeError now, not later
        self.save_hyperparameters()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.model = create_model(model["name"], **model.get("config", {}))
        self.jitter = dict(objective or {})
        self.seed = seed

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images)

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        uniforms = torch.special.ndtr(normals(self.seed, batch["slot"], batch["step"], 1, 4, Stream.DATA)[0])
        loss = F.cross_entropy(self.model(jitter(batch["image"], uniforms, **self.jitter)), batch["label"])
        self.log("train/loss", loss, prog_bar=True, sync_dist=True, batch_size=len(batch["label"]))
        return loss

    def validation_step(self, batch: dict, batch_idx: int) -> None:
        self._score(batch, "val")

    def test_step(self, batch: dict, batch_idx: int) -> None:
        self._score(batch, "test")

    def configure_optimizers(self) -> dict:
        return build_optimizer(self.parameters(), self.hparams.optimizer)

    def _score(self, batch: dict, stage: str) -> None:
        logits = self.model(batch["image"])
        scores = {
            f"{stage}/loss": F.cross_entropy(logits, batch["label"]),
            f"{stage}/accuracy": (logits.argmax(1) == batch["label"]).float().mean(),
        }
        self.log_dict(scores, prog_bar=True, sync_dist=True, batch_size=len(batch["label"]))
