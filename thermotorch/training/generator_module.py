"""Training of the generative thermodynamic computer: along trajectories, online, or in closed form.

All three rules use the same noising paths. Path number `step x batch_size + slot` is a pure function of the seed, so
that a resumed run equals an uninterrupted one and several processes equal one.
"""

from typing import Any

import torch
from torch import Tensor

from thermotorch.models.generator.machine import ThermodynamicGenerator
from thermotorch.models.generator.noising import Noising
from thermotorch.objectives import ReverseMoments, fit_closed_form, online_update, reverse_action
from thermotorch.objectives.closed_form import ReverseStatistics, empty_statistics
from thermotorch.training.module import VALIDATION_SEEDS, TrainingModule, images_of, sample_ids_of

_CHUNK = 500  # steps of validation paths in one product


class _NoisingModule(TrainingModule):
    """Base of the three rules: the machine, the noising protocol, and the action on held-out paths.

    Args:
        optimizer: the rule of the papers is SGD with rate 1 on the action averaged over steps.
        objective: `strength` and `ramp` of the noising; `validate_every`, the number of batches between values of
            `val/action`, the mean action per step of `validation_paths` held-out paths of the first training images.
    """

    kind = ThermodynamicGenerator
    model: ThermodynamicGenerator
    defaults = {"strength": 2.0, "ramp": 0.75, "validate_every": 20, "validation_paths": 12}

    def prepare(self) -> None:
        self.noising = self.model.noising(self.settings["strength"], self.settings["ramp"])
        self.path: dict[str, Any] = {"dt": self.model.dt, "temperature": self.model.temperature}  # of every loss

    def paths(
        self, images: Tensor, seed: int, path_ids: Tensor | None = None, noising: Noising | None = None
    ) -> Tensor:
        """Return noising paths of normalised images, [time, batch, unit]."""
        noising = noising or self.noising
        start, decay = noising.run(images.flatten(1), seed=seed, sample_ids=path_ids, record=1)
        return torch.cat([start[None], decay.recorded])

    def training_paths(self, batch: dict, noising: Noising | None = None) -> Tensor:
        """Return the noising paths of a training batch, [time, batch, unit]."""
        return self.paths(batch["image"], self.seed, sample_ids_of(self.trainer, batch), noising)

    def on_train_batch_end(self, outputs: object, batch: dict, batch_idx: int) -> None:
        if (batch["step"] + 1) % self.settings["validate_every"] == 0:
            self.log("val/action", self.validation_action(), prog_bar=True)

    @torch.no_grad()
    def validation_action(self) -> Tensor:
        """Return the mean reverse action per step on the held-out paths; noise alone gives (number of units) / 2."""
        data, count = images_of(self.trainer), self.settings["validation_paths"]
        images = data.normalise(data.train_images()[0])
        images = images[torch.arange(count) % len(images)].to(self.device)
        path = self.paths(images, self.seed + VALIDATION_SEEDS)
        parts = [
            reverse_action(self.model.potential, path[first : first + _CHUNK + 1], **self.path)
            for first in range(0, len(path) - 1, _CHUNK)
        ]
        return torch.cat(parts).mean()


class TrajectoryModule(_NoisingModule):
    """Train by Whitelam's rule: gradient descent on the action of whole trajectories, averaged over steps and batch.

    With `coarse` > 1 the training paths take steps `coarse` times as long, by the splitting scheme: a path carries as
    much information about the forces for that much less arithmetic. The loss is divided by `coarse`, so that the sum
    over a path moves the parameters as far as before. Held-out paths keep the time step of the machine.
    """

    defaults = {**_NoisingModule.defaults, "coarse": 1}

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        coarse = self.settings["coarse"]
        noising = self.noising.coarser(coarse) if coarse > 1 else self.noising
        path = self.training_paths(batch, noising)
        action = reverse_action(self.model.potential, path, dt=noising.dt, temperature=noising.temperature).mean()
        self.log("train/action", action, prog_bar=True, sync_dist=True, batch_size=len(batch["slot"]))
        return action / coarse


class OnlineModule(_NoisingModule):
    """Train by Wang and Deng's rule: parameters move at every step of every path, one path after the other."""

    manual = True

    def training_step(self, batch: dict, batch_idx: int) -> None:
        if self.trainer.world_size > 1:
            raise ValueError("the online rule is sequential and cannot be shared by several processes; use trainer=cpu")
        rate = self.trainer.optimizers[0].param_groups[0]["lr"] / self.noising.steps
        actions = [
            online_update(self.model.potential, path, rate=rate, **self.path)
            for path in self.training_paths(batch).unbind(1)
        ]
        self.log("train/action", torch.stack(actions).mean(), prog_bar=True, batch_size=len(batch["slot"]))
        self.count_update()


class ClosedFormModule(_NoisingModule):
    """Train by one linear solve from moments of the paths of `batches` batches.

    Every `held_out_every`-th batch is held out to choose the ridge.
    """

    manual = True
    defaults = {**_NoisingModule.defaults, "batches": 8, "held_out_every": 4}

    def prepare(self) -> None:
        super().prepare()
        empty = empty_statistics(self.model.potential.bias.detach())
        for name, value in empty._asdict().items():  # buffers, so that an interrupted run resumes
            self.register_buffer(f"fitted_{name}", value)
            self.register_buffer(f"held_out_{name}", value.clone())

    def training_step(self, batch: dict, batch_idx: int) -> None:
        number, every = batch["step"] + 1, self.settings["held_out_every"]
        total = self.statistics("fitted" if number % every else "held_out")
        observers, ids = {"moments": ReverseMoments(self.model.potential)}, sample_ids_of(self.trainer, batch)
        _, decay = self.noising.run(batch["image"].flatten(1), seed=self.seed, sample_ids=ids, observers=observers)
        for so_far, of_batch in zip(total, decay.observed["moments"], strict=True):
            so_far += of_batch
        self.count_update()
        if number == self.settings["batches"]:
            self.solve()
            self.trainer.should_stop = True

    def statistics(self, part: str) -> ReverseStatistics:
        return ReverseStatistics(*(getattr(self, f"{part}_{name}") for name in ReverseStatistics._fields))

    @torch.no_grad()
    def solve(self) -> None:
        fitted, held_out = (
            ReverseStatistics(*(self._over_processes(total) for total in self.statistics(part)))
            for part in ("fitted", "held_out")
        )
        potential = self.model.potential
        fixed = potential.fixed_bias
        bias_mask = torch.ones_like(potential.bias, dtype=torch.bool) if fixed is None else ~fixed
        fit = fit_closed_form(fitted, held_out, potential.couplings.mask(), bias_mask, **self.path)
        potential.couplings.load_matrix(fit.couplings.to(potential.bias))
        potential.bias.copy_(fit.bias)
        self.log_dict(
            {
                "train/action": fit.action,
                "train/held_out_action": fit.validation_action,
                "train/ridge": fit.ridge,
                "val/action": self.validation_action(),
            },
            prog_bar=True,
        )

    def _over_processes(self, value: Tensor) -> Tensor:
        return value if self.trainer.world_size == 1 else torch.as_tensor(self.all_gather(value)).sum(0)
