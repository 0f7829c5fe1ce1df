"""Training of the digital diffusion baseline."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from thermotorch.dynamics.noise import Stream, normals
from thermotorch.models.baselines.diffusion import DiffusionModel
from thermotorch.models.baselines.execution import EXECUTIONS, check_execution, fastest_execution, rounded
from thermotorch.training.captured import GradientAtHand
from thermotorch.training.module import images_of, of_kind
from thermotorch.zoo import load_checkpoint

_GOLDEN = 0.6180339887498949
_IMAGES = 16  # enough to compare executions, and their float32 then takes no more memory than the training


class DiffusionModule(GradientAtHand):
    """Train a `DiffusionModel` or a `FlowMatchingModel` on its own loss.

    Noise and noise levels are functions of (seed, step, slot in the global batch), so that a resumed run equals an
    uninterrupted one and several processes equal one. The noise levels of a batch are spread evenly,
    `t = floor(T frac(u_step + slot / golden ratio))` with u uniform: each of them is uniform, and together they cover
    0 ... T - 1 better than independent ones, which makes the gradient less noisy.

    Args:
        objective:

            - label_dropout: fraction of the images that come without their class, for a conditional model.
            - compile: True to compile the network on a GPU.
            - at_once: True for an update in one CUDA graph, with noise from torch's generator; None for a graph on a
              GPU only.
            - start_from: checkpoint with initial weights for the same network.
            - execution: number format and memory layout in which a CPU computes the network in training, a member of
              `models.baselines.execution.EXECUTIONS`, or "auto" for the fastest of them, as measured at the start with
              16 small updates that change nothing. A resumed run keeps what was chosen. Parameters stay float32. On a
              GPU, or with a `precision` of the trainer other than "32-true", the trainer alone decides.

    Raises:
        ValueError: an unknown execution.
    """

    kind = DiffusionModel
    model: DiffusionModel
    defaults = {
        "label_dropout": 0.1, "compile": False, "at_once": None, "start_from": None, "execution": "float32",
    }  # fmt: skip

    def prepare(self) -> None:
        super().prepare()
        check_execution(self.settings["execution"])
        if start := self.settings["start_from"]:
            trained = of_kind("objective.start_from", start, load_checkpoint(start), DiffusionModel)
            self.model.unet.load_state_dict(trained.unet.state_dict())

    def noise(self, batch: dict) -> tuple[Tensor, Tensor]:
        """Return the standard normals, shaped like the images, and the timesteps int64 [batch] of a batch."""
        slot, step, image = batch["slot"], batch["step"], batch["image"]
        noise = normals(self.seed, slot, step, 1, image[0].numel(), Stream.DATA)[0].view_as(image)
        offset = torch.special.ndtr(
            normals(self.seed, slot[:1] * 0, step, 1, 1, Stream.INITIAL)
        )  # one for the whole batch
        level = (offset.double().item() + slot.double() * _GOLDEN) % 1.0
        return noise, (level * self.model.config["num_train_timesteps"]).long()

    def labels(self, batch: dict) -> Tensor:
        """Return the classes of a batch, some of them replaced by `num_classes`, which stands for any class."""
        uniform = torch.special.ndtr(normals(self.seed, batch["slot"], batch["step"], 1, 2, Stream.INITIAL)[0, :, 1])
        return batch["label"].masked_fill(uniform < self.settings["label_dropout"], self.model.config["num_classes"])

    def _loss_at_once(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return the loss with noise from torch's generator, for a CUDA graph."""
        levels, slot = self.model.config["num_train_timesteps"], torch.arange(len(images), device=images.device)
        level = (torch.rand((), device=images.device, dtype=torch.float64) + slot * _GOLDEN) % 1.0
        dropped = torch.rand(len(images), device=images.device) < self.settings["label_dropout"]
        labels = labels.masked_fill(dropped, self.model.config["num_classes"])
        return self.model.loss(images, torch.randn_like(images), (level * levels).long(), labels)

    def on_fit_start(self) -> None:
        super().on_fit_start()
        if self.device.type == "cuda":
            self.model.unet.to(memory_format=torch.channels_last)
            if self.settings["compile"]:
                self.model.unet.compile()
        elif self.trainer.precision == "32-true":
            if self.settings["execution"] == "auto":
                self._execute_in(self.trainer.strategy.broadcast(self._fastest()))
                rank_zero_info(f"Training in {self.settings['execution']}, the fastest here.")
            if self.settings["execution"].endswith("channels_last"):
                self.model.unet.to(memory_format=torch.channels_last)

    def _execute_in(self, execution: str) -> None:
        """Set an execution, for a checkpoint and its card too."""
        self.settings["execution"] = execution
        self.hparams["objective"] = {**(self.hparams["objective"] or {}), "execution": execution}

    def _fastest(self) -> str:
        """Return the execution in which a loss and its gradient take the least time."""
        config, share = self.model.config, images_of(self.trainer).batch_size // self.trainer.world_size
        count = min(share, _IMAGES)
        images = torch.zeros(count, config["channels"], config["image_size"], config["image_size"])
        labels = torch.zeros(count, dtype=torch.long)

        def update() -> None:
            torch.autograd.grad(self.model.loss(images, images, labels, labels), list(self.model.parameters()))

        return fastest_execution(self.model.unet, update)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        chosen = (checkpoint.get("hyper_parameters", {}).get("objective") or {}).get("execution")
        if self.settings["execution"] == "auto" and chosen in EXECUTIONS:
            self._execute_in(chosen)

    def _number_format(self) -> AbstractContextManager[object]:
        """Return the context of the execution; autocast that is switched off would undo the trainer's."""
        execution = self.settings["execution"]
        chosen = self.device.type == "cpu" and execution.startswith("bfloat16")
        return rounded(execution, self.device) if chosen else nullcontext()

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        if self.wants_graph():
            loss = self.gradient(
                "loss", self._loss_at_once, list(self.model.parameters()), batch["image"], batch["label"]
            )
        else:
            with self._number_format():
                loss = self.model.loss(batch["image"], *self.noise(batch), self.labels(batch))
        self.log("train/loss", loss, prog_bar=True, sync_dist=True, batch_size=len(batch["image"]))
        return loss

    def validation_step(self, batch: dict, batch_idx: int) -> None:
        with self._number_format():
            loss = self.model.loss(batch["image"], *self.noise(batch), self.labels(batch))
        self.log("val/loss", loss, prog_bar=True, sync_dist=True, batch_size=len(batch["image"]))
