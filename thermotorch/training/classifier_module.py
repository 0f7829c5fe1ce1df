"""Training of classifiers by the cross-entropy: digital ones, and thermodynamic ones through their own dynamics."""

import inspect
from typing import Any, ClassVar

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.nn import functional as F

from thermotorch.data.augmentation import jitter
from thermotorch.dynamics import Trajectory
from thermotorch.dynamics.noise import Stream, normals
from thermotorch.models.classifier.machine import ThermodynamicClassifier
from thermotorch.models.imperfections import imperfect_parameters
from thermotorch.models.protocol import NoisyModule
from thermotorch.training.given import images_of
from thermotorch.training.optimizers import build_optimizer
from thermotorch.zoo import create_model

_VALIDATION_SEED_OFFSET = 1 << 32  # far from the seeds people count up


class ClassifierModule(LightningModule):
    """Cross-entropy training of a classifier on jittered images.

    The jitter is a function of (seed, step, slot in the global batch), and so is the noise of a model whose forward
    takes `seed` and `sample_ids`: image `slot` of step `step` is sample `step x batch_size + slot`. So a resumed run
    equals an uninterrupted one and several processes equal one. Validation has noise that training never sees.

    Args:
        model: `{"name": architecture, "config": constructor arguments}`; with `"pretrained": True` training starts from
            the weights of the checkpoint `name`.
        optimizer: see `build_optimizer`.
        objective: `{"rotation": degrees, "scale": relative, "shift": pixels}`, the arguments of `jitter`; subclasses
            take more.
        seed: of the initial weights and the jitter.
    """

    defaults: ClassVar[dict[str, Any]] = {}  # settings of a subclass beyond the jitter

    def __init__(self, model: dict, optimizer: dict, objective: dict | None = None, seed: int = 0) -> None:
        super().__init__()
        self.jitter = {key: value for key, value in (objective or {}).items() if key not in self.defaults}
        self.settings = {key: (objective or {}).get(key, default) for key, default in self.defaults.items()}
        inspect.signature(jitter).bind(None, None, **self.jitter)  # a misspelt setting is a TypeError now, not later
        self.save_hyperparameters()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            pretrained = model.get("pretrained", False)
            self.model = create_model(model["name"], pretrained=pretrained, **model.get("config", {})).train()
        self.noisy = isinstance(self.model, NoisyModule)
        self.seed = seed

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images)

    def sample_ids(self, batch: dict) -> Tensor:
        """The noise streams of a training batch."""
        return batch["step"] * images_of(self.trainer).batch_size + batch["slot"]

    def augmented(self, batch: dict) -> Tensor:
        """The jittered images of a batch."""
        if not self.jitter:
            return batch["image"]
        uniforms = torch.special.ndtr(normals(self.seed, batch["slot"], batch["step"], 1, 4, Stream.DATA)[0])
        return jitter(batch["image"], uniforms, **self.jitter)

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        noise = (self.seed, self.sample_ids(batch)) if self.noisy else ()
        loss = F.cross_entropy(self.model(self.augmented(batch), *noise), batch["label"])
        self.log("train/loss", loss, prog_bar=True, sync_dist=True, batch_size=len(batch["label"]))
        return loss

    def validation_step(self, batch: dict, batch_idx: int) -> None:
        self._score(batch, "val")

    def test_step(self, batch: dict, batch_idx: int) -> None:
        self._score(batch, "test")

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        return build_optimizer(self.parameters(), self.hparams["optimizer"])

    def _score(self, batch: dict, stage: str) -> None:
        noise = (self.seed + _VALIDATION_SEED_OFFSET, batch["index"]) if self.noisy else ()
        logits = self.model(batch["image"], *noise)
        scores = {
            f"{stage}/loss": F.cross_entropy(logits, batch["label"]),
            f"{stage}/accuracy": (logits.argmax(1) == batch["label"]).float().mean(),
        }
        self.log_dict(scores, prog_bar=True, sync_dist=True, batch_size=len(batch["label"]))


class EndToEndModule(ClassifierModule):
    """Pathwise gradient of the cross-entropy through the simulated dynamics, thermal noise, faults and all.

        loss = cross entropy(sharpness x_output(t_final), label) + heat x <Q> / kT

    Step `step` trains device number `step`, so devices are functions of (seed, step) as well.

    Args:
        model, optimizer, seed: as in `ClassifierModule`; the architecture is a thermodynamic classifier.
        objective: beside the jitter

            - dt, integrator: of the training runs, coarser than the model's own; null keeps those.
            - sharpness: of the loss; null is that of the model, which is for calibrated probabilities.
            - heat: weight of the mean heat of a run, per kT.
            - label_smoothing: of the cross-entropy.
            - bits, mismatch: train imperfect devices, a new one at each step; see `imperfect_parameters`.

    Validation runs the nominal model once on each image, with its own time step.
    """

    defaults: ClassVar[dict[str, Any]] = {
        "dt": None, "integrator": None, "sharpness": None, "heat": 0.0, "label_smoothing": 0.0, "bits": None,
        "mismatch": 0.0,
    }  # fmt: skip
    model: ThermodynamicClassifier

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        settings, step = self.settings, batch["step"]
        coarse = {key: settings[key] for key in ("dt", "integrator")}
        run = self.run_of_a_device(step, self.augmented(batch), self.seed, self.sample_ids(batch), **coarse)
        logits = (settings["sharpness"] or self.model.sharpness) * self.model.read(run)
        loss = F.cross_entropy(logits, batch["label"], label_smoothing=settings["label_smoothing"])
        heat = run.heat.mean() / self.model.layer.temperature
        scores = {"train/loss": loss, "train/heat_kT": heat}
        self.log_dict(scores, prog_bar=True, sync_dist=True, batch_size=len(batch["label"]))
        return loss + settings["heat"] * heat if settings["heat"] else loss

    def run_of_a_device(self, device_id: int, *arguments: Any, **simulation: Any) -> Trajectory:
        """A run of device number `device_id`, as imperfect as the settings say; arguments of the model's `run`."""
        faults = {key: self.settings[key] for key in ("bits", "mismatch")}
        realised = imperfect_parameters(self.model, **faults, seed=self.seed, device_id=device_id)
        realised = {f"model.{name}": values for name, values in realised.items()}
        return torch.func.functional_call(_Run(self.model), realised, arguments, simulation)


class _Run(nn.Module):
    """`model.run` in the place of a forward, where `functional_call` can exchange the parameters."""

    def __init__(self, model: ThermodynamicClassifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, *arguments: Any, **simulation: Any) -> Trajectory:
        return self.model.run(*arguments, **simulation)
