"""Training of the layered computer on cos(2 pi z): the task, and pathwise gradients for it."""

from collections.abc import Mapping
from math import pi
from typing import Any, ClassVar

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from thermotorch.models.classifier.layered import LayeredComputer
from thermotorch.models.population import run_population
from thermotorch.training.module import TrainingModule

_VALIDATION_SAMPLES = 1 << 32  # first sample number of validation, beyond those of training


class CosineTask:
    """The mean square error phi = <(cos(2 pi z) - y(z))^2> on evenly spaced z in [0, 1], with y an average over runs.

    A constant answer has phi = 0.5, the plateau on which training starts.

    Args:
        model: the computer.
        settings: `inputs`, the number of z; `samples`, the number of runs averaged at each z; `dt` and `integrator` of
            the training runs; `validate_every`, the number of updates between validations.
        seed: seed of the noise, which differs from update to update.
    """

    defaults: ClassVar[dict[str, Any]] = {
        "inputs": 32, "samples": 16, "dt": 0.02, "integrator": "splitting", "validate_every": 50,
    }  # fmt: skip

    def __init__(self, model: LayeredComputer, settings: Mapping[str, Any], seed: int) -> None:
        self.model, self.settings, self.seed = model, settings, seed
        self.runs = settings["inputs"] * settings["samples"]

    def points(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return z and cos(2 pi z)."""
        z = torch.linspace(0, 1, self.settings["inputs"]).to(like)
        return z, torch.cos(2 * pi * z)

    def error(self, step: int) -> Tensor:
        """Return phi of the model with the noise of update `step`, differentiable."""
        z, target = self.points(self.model.input)
        samples, dt, integrator = (self.settings[key] for key in ("samples", "dt", "integrator"))
        y = self.model(z, samples, self.seed, step * self.runs, dt=dt, integrator=integrator)
        return (y - target).square().mean()

    def errors(self, population: Mapping[str, Tensor], step: int) -> Tensor:
        """Return phi of every member in the noise of generation `step`, [member]; mirrored runs count twice."""
        z, target = self.points(population["input"])
        model, mirrored = self.model, self.settings["mirrored"]
        samples = self.settings["samples"] // (2 if mirrored else 1)
        prefix = "potential."
        members = {name.removeprefix(prefix): v for name, v in population.items() if name.startswith(prefix)}
        drive = model.drive(z, population["input"]).repeat_interleave(samples, 0)
        ids = torch.arange(len(drive), device=drive.device) + step * self.runs
        state = run_population(
            model.potential, members, drive, temperature=model.temperature, seed=self.seed, sample_ids=ids,
            integrator=self.settings["integrator"], mirrored=mirrored, **model.steps_of(self.settings["dt"]),
        )  # fmt: skip
        y = (state[..., model.last] * population["output"]).sum(-1).unflatten(0, (len(z), samples)).mean(1)
        return (y - target.unsqueeze(-1)).square().mean(0)

    @torch.no_grad()
    def validate(self, module: LightningModule, step: int) -> None:
        """Log phi of the model with its own time step and validation noise, every `validate_every` updates."""
        if (step + 1) % self.settings["validate_every"] == 0:
            z, target = self.points(self.model.input)
            y = self.model(z, 100, self.seed, _VALIDATION_SAMPLES)
            module.log("val/phi", (y - target).square().mean(), prog_bar=True, batch_size=1)


class CosineModule(TrainingModule):
    """Minimise phi by pathwise gradients.

    Args:
        objective: settings of `CosineTask`, and `std`, the standard deviation of the initial parameters.
    """

    kind = LayeredComputer
    model: LayeredComputer
    defaults = {"std": 0.1, **CosineTask.defaults}

    def prepare(self) -> None:
        self.model.reset_parameters(self.settings["std"])
        self.task = CosineTask(self.model, self.settings, self.seed)

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        phi = self.task.error(batch["step"])
        self.log_dict({"train/loss": phi, "train/runs": float((batch["step"] + 1) * self.task.runs)}, batch_size=1)
        return phi

    def on_train_batch_end(self, outputs: object, batch: dict, batch_idx: int) -> None:
        self.task.validate(self, batch["step"])
