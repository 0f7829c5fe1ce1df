"""The loss for Lightning: the negative log-likelihood, in closed form."""

from lightning.pytorch import LightningModule
from torch import Tensor

import thermotorch as tt
from thermotorch.training.optimizers import build_optimizer


class LikelihoodModule(LightningModule):
    """Arguments as thermotorch's configurations give them to every module."""

    def __init__(self, model: dict, optimizer: dict, objective: dict | None = None, seed: int = 0) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.model = tt.create_model(model["name"], **model.get("config", {}))

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        loss = self.model(batch["image"]).mean()
        self.log("train/loss", loss, batch_size=len(batch["image"]))
        return loss

    def configure_optimizers(self) -> dict:
        return build_optimizer(self.parameters(), self.hparams.optimizer)
