"""Training of classifiers by cross-entropy: digital ones, and thermodynamic ones through their own dynamics."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from thermotorch.data.augmentation import NODES, jitter
from thermotorch.dynamics import Trajectory
from thermotorch.dynamics.noise import Stream, normals
from thermotorch.models.classifier.machine import ThermodynamicClassifier
from thermotorch.models.imperfections import imperfect_parameters
from thermotorch.models.protocol import NoisyModule
from thermotorch.training.module import VALIDATION_SEEDS, TrainingModule, sample_ids_of

_JITTER = ("rotation", "scale", "shift", "elastic")


class ClassifierModule(TrainingModule):
    """Train a classifier on jittered images by cross-entropy.

    The jitter is a function of (seed, step, slot in the global batch), and so is the noise of a model whose forward
    takes `seed` and `sample_ids`: image `slot` of step `step` is sample `step x batch_size + slot`. A resumed run
    therefore equals an uninterrupted one, and several processes equal one. Validation uses noise of its own.

    Args:
        objective: `{"rotation": degrees, "scale": relative, "shift": pixels, "elastic": pixels}`, the arguments of
            `jitter`; subclasses take more.
    """

    defaults = dict.fromkeys(_JITTER, 0.0)

    def prepare(self) -> None:
        self.jitter = {key: self.settings[key] for key in _JITTER}
        self.noisy = isinstance(self.model, NoisyModule)

    def augmented(self, batch: dict) -> Tensor:
        """Return the jittered images of a batch."""
        if not any(self.jitter.values()):
            return batch["image"]
        bends = 2 * NODES**2 if self.jitter["elastic"] else 0
        xi = normals(self.seed, batch["slot"], batch["step"], 1, 4 + bends, Stream.DATA)[0].to(batch["image"])
        field = xi[:, 4:].view(-1, 2, NODES, NODES) if bends else None
        return jitter(batch["image"], torch.special.ndtr(xi[:, :4]), field, **self.jitter)

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        noise = (self.seed, sample_ids_of(self.trainer, batch)) if self.noisy else ()
        loss = F.cross_entropy(self.model(self.augmented(batch), *noise), batch["label"])
        self.log("train/loss", loss, prog_bar=True, sync_dist=True, batch_size=len(batch["label"]))
        return loss

    def validation_step(self, batch: dict, batch_idx: int) -> None:
        self._score(batch, "val")

    def test_step(self, batch: dict, batch_idx: int) -> None:
        self._score(batch, "test")

    def _score(self, batch: dict, stage: str) -> None:
        noise = (self.seed + VALIDATION_SEEDS, batch["index"]) if self.noisy else ()
        logits = self.model(batch["image"], *noise)
        scores = {
            f"{stage}/loss": F.cross_entropy(logits, batch["label"]),
            f"{stage}/accuracy": (logits.argmax(1) == batch["label"]).float().mean(),
        }
        self.log_dict(scores, prog_bar=True, sync_dist=True, batch_size=len(batch["label"]))


class EndToEndModule(ClassifierModule):
    """Train by the pathwise gradient of the cross-entropy through the simulated dynamics with noise and imperfections.

        loss = cross entropy(sharpness x_output(t_final), label) + heat x <Q> / kT

    Step `step` trains device number `step`, so that devices are functions of (seed, step) as well.

    Args:
        objective: in addition to the jitter

            - dt, integrator: settings of the training runs, such as a coarser step; null for those of the model.
            - sharpness: sharpness of the loss; null for that of the model, which calibrates probabilities.
            - heat: weight of the mean heat of a run, per kT.
            - label_smoothing: label smoothing of the cross-entropy.
            - bits, mismatch: imperfections of the devices, one device for each step; see `imperfect_parameters`.

    Validation runs the nominal model once on each image, with its own time step.
    """

    kind = ThermodynamicClassifier
    model: ThermodynamicClassifier
    defaults = {
        **ClassifierModule.defaults, "dt": None, "integrator": None, "sharpness": None, "heat": 0.0,
        "label_smoothing": 0.0, "bits": None, "mismatch": 0.0,
    }  # fmt: skip

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        settings, step = self.settings, batch["step"]
        coarse = {key: settings[key] for key in ("dt", "integrator")}
        ids = sample_ids_of(self.trainer, batch)
        run = self.run_of_a_device(step, self.augmented(batch), self.seed, ids, **coarse)
        logits = (settings["sharpness"] or self.model.sharpness) * self.model.read(run)
        loss = F.cross_entropy(logits, batch["label"], label_smoothing=settings["label_smoothing"])
        heat = run.heat.mean() / self.model.layer.temperature
        scores = {"train/loss": loss, "train/heat_kT": heat}
        self.log_dict(scores, prog_bar=True, sync_dist=True, batch_size=len(batch["label"]))
        return loss + settings["heat"] * heat if settings["heat"] else loss

    def run_of_a_device(self, device_id: int, *arguments: Any, **simulation: Any) -> Trajectory:
        """Run the imperfect device number `device_id`; the other arguments are those of the model's `run`."""
        faults = {key: self.settings[key] for key in ("bits", "mismatch")}
        realised = imperfect_parameters(self.model, **faults, seed=self.seed, device_id=device_id)
        realised = {f"model.{name}": values for name, values in realised.items()}
        return torch.func.functional_call(_Run(self.model), realised, arguments, simulation)


class _Run(nn.Module):
    """A module whose forward is `model.run`, for `functional_call`."""

    def __init__(self, model: ThermodynamicClassifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, *arguments: Any, **simulation: Any) -> Trajectory:
        return self.model.run(*arguments, **simulation)
