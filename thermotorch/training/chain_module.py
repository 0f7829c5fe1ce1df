"""Training of a chain of thermodynamic machines: each stage by itself, by a proper score of its samples."""

from functools import partial
from math import cos, sin
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from thermotorch.arguments import whole_steps
from thermotorch.dynamics import Stream, simulate
from thermotorch.dynamics.noise import normals
from thermotorch.models.generator.chain import ThermodynamicChain
from thermotorch.models.generator.stage import DenoisingStage
from thermotorch.objectives import feature_score
from thermotorch.training.features import FeatureModule
from thermotorch.training.module import TRAINING_SEEDS, blocks_of, sample_ids_of
from thermotorch.training.optimizers import build_optimizer
from thermotorch.training.rollout import leaky_clamp, rollout
from thermotorch.zoo import load_card, load_checkpoint

_TWIN = 1 << 33  # first sample number of the second samples


class ChainModule(FeatureModule):
    """Minimise the conditional energy score of each stage; the stages take turns, update by update.

    A stage receives real images with the noise of its angle and draws two samples from each. They are scored in pixels
    and in the layers of a feature network (`feature_score`). The gradient flows through the whole run. Updates take the
    time steps in turn, so that the stage learns the continuous dynamics and not one discretisation.

    Args:
        objective:

            - first: checkpoint of the autonomous machine that starts the chain; the `first` of the model may change its
              configuration.
            - features: checkpoint of a feature network other than the judge; None for pixels alone.
            - time_steps: list of dt.
            - stages: numbers of the stages to train; None for all.
            - label_dropout: fraction of the images that come without their class.
            - initial_std: standard deviation of the initial couplings.
            - start_from: checkpoint of a chain with initial stages of the same angles.
            - heat_weight: price of one kT of heat a sample, added to the score.
            - precision: number format of the products of `simulate`.
            - at_once: True for an update in one CUDA graph, with noise from torch's generator; None for a graph on a
              GPU only.

    Raises:
        ValueError: the judge as feature network, or stages that the chain does not have.
    """

    kind = ThermodynamicChain
    model: ThermodynamicChain
    defaults = {
        "first": None, "features": "feature_net.training", "time_steps": [0.08, 0.06, 0.048, 0.04], "stages": None,
        "label_dropout": 0.1, "initial_std": 0.02, "start_from": None, "heat_weight": 0.0, "precision": "ieee",
        "at_once": None,
    }  # fmt: skip

    def __init__(self, model: dict, optimizer: dict, objective: dict | None = None, seed: int = 0) -> None:
        if first := (objective or {}).get("first"):
            config = dict(model.get("config", {}))
            config["first"] = {**load_card(first)["config"], **config.get("first", {})}
            config["first"].pop("image_shape", None)
            model = {**model, "config": config}
        super().__init__(model, optimizer, objective, seed)

    def prepare(self) -> None:
        super().prepare()
        settings, count = self.settings, len(self.model.stages)
        self.stages = list(range(count)) if settings["stages"] is None else list(settings["stages"])
        if not self.stages or not set(self.stages) <= set(range(count)):
            raise ValueError(f"objective.stages: expected some of 0 ... {count - 1}, got {settings['stages']}")
        generator = torch.Generator().manual_seed(self.seed)
        for stage in map(self.model.stage, range(count)):
            for bonds in (*stage.potential.couplings.parameters(), stage.held_hidden):
                nn.init.normal_(bonds, std=settings["initial_std"], generator=generator)
            nn.init.constant_(stage.held_visible, -0.4)
        if settings["start_from"]:
            source = cast(ThermodynamicChain, load_checkpoint(settings["start_from"], expect="chain"))
            source = source if self.model.draws_class else source.without_die()
            self._take_stages(source)
            if not settings["first"]:
                self.model.first.load_state_dict(source.first.state_dict())
        if settings["first"]:
            self.model.first.load_state_dict(load_checkpoint(settings["first"], expect="generator").state_dict())
        self.model.first.requires_grad_(False)

    def _take_stages(self, source: ThermodynamicChain) -> None:
        """Take the stages of the same angles; a chain that is told no class leaves the label couplings behind."""
        angles, classes = source.config["angles"], self.model.num_classes
        if classes and source.num_classes != classes:
            raise ValueError(
                f"objective.start_from: expected a chain that is told one of {classes} classes, as this one is, found "
                f"{source.num_classes} classes in {self.settings['start_from']}"
            )
        if missing := set(self.model.config["angles"]) - set(angles):
            raise ValueError(
                f"objective.start_from: expected a chain with stages of {sorted(missing)} degrees, got {angles}"
            )
        for number, angle in enumerate(self.model.config["angles"]):
            values = source.stage(angles.index(angle)).state_dict()
            if not self.model.num_classes:
                values["label_hidden"] = values["label_hidden"][:0]
            self.model.stage(number).load_state_dict(values)

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        turn, place = divmod(batch["step"], len(self.stages))
        number, times = self.stages[place], self.settings["time_steps"]
        stage, dt = self.model.stage(number), times[turn % len(times)]
        labels = batch["image"].new_zeros(len(batch["image"]), 1)
        if classes := self.model.num_classes:
            labels = F.one_hot(batch["label"], classes).to(labels)
        measures = self.measures()
        run = self._run_at_once if self.wants_graph() else self._run

        def loss(images: Tensor, labels: Tensor, ids: Tensor) -> Tensor:
            visible, heat = run(stage, images, labels, ids, dt)
            one, other = leaky_clamp((visible / stage.amplitude + 1) / 2).view(2, *images.shape)
            score = feature_score(one, other, images, *measures)
            return score + self.settings["heat_weight"] / stage.temperature * heat.mean()

        ids = sample_ids_of(self.trainer, batch)
        parameters = [value for value in stage.parameters() if value.numel()]
        value = self.gradient((number, dt), loss, parameters, batch["image"], labels, ids)
        self.log(f"train/stage{number}", value, prog_bar=True, batch_size=len(ids))
        return value

    def _run(
        self, stage: DenoisingStage, images: Tensor, labels: Tensor, ids: Tensor, dt: float
    ) -> tuple[Tensor, Tensor]:
        """Draw two samples from each image by `simulate`, [2 x image, visible], with their heat; labels are one-hot."""
        seed, visible = self.seed + TRAINING_SEEDS, blocks_of(stage.potential).groups["visible"]
        xi = normals(seed, ids, 0, 1, visible + 1, Stream.DATA)[0].to(images)
        kept = torch.special.ndtr(xi[:, -1:]) >= self.settings["label_dropout"]
        held, force = self._given(stage, images, xi[:, :-1], labels * kept)
        ids = torch.cat([ids, ids + _TWIN])
        state = torch.cat([held, stage.hidden_start(ids, seed=seed, step=0)], 1)
        go = partial(
            simulate, stage.potential, dt=dt, temperature=stage.temperature, integrator="alternating", seed=seed,
            sample_ids=ids, drive=force, precision=self.settings["precision"],
        )  # fmt: skip
        steps, readout = self._steps(stage, dt)
        run = go(state, steps=steps - readout)
        run = go(run.state, steps=readout, start_step=steps - readout, record=1)
        return run.recorded[..., stage.visible].mean(0), stage.energy(state, force) - stage.energy(run.state, force)

    def _run_at_once(
        self, stage: DenoisingStage, images: Tensor, labels: Tensor, ids: Tensor, dt: float
    ) -> tuple[Tensor, Tensor]:
        """Draw the samples of `_run` with noise from torch's generator, for a CUDA graph."""
        kept = torch.rand_like(labels[:, :1]) >= self.settings["label_dropout"]
        held, force = self._given(stage, images, torch.randn_like(images.flatten(1)), labels * kept)
        hidden = stage.hidden_spread * torch.randn(
            len(held), blocks_of(stage.potential).groups["hidden"], device=held.device
        )
        steps, readout = self._steps(stage, dt)
        visible, *end = rollout(
            stage.potential, held, hidden, (force[:, stage.visible], force[:, stage.hidden]), dt=dt, steps=steps,
            temperature=stage.temperature, readout_steps=readout,
        )  # fmt: skip
        start = torch.cat([held, hidden], 1)
        return visible, stage.energy(start, force) - stage.energy(torch.cat(end, 1), force)

    def _given(self, stage: DenoisingStage, images: Tensor, xi: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return images with the noise xi of the stage, twice over, and the force of images and labels on the units."""
        clean = stage.amplitude * (2 * images.flatten(1) - 1)
        held = (cos(stage.angle) * clean + stage.amplitude * sin(stage.angle) * xi).repeat(2, 1)
        return held, stage.force(held, labels.repeat(2, 1) if self.model.num_classes else None)

    def _steps(self, stage: DenoisingStage, dt: float) -> tuple[int, int]:
        run, readout = (
            whole_steps("objective.time_steps", steps * stage.dt, dt) for steps in (stage.steps, stage.readout_steps)
        )
        return run, readout

    def on_train_batch_start(self, batch: dict, batch_idx: int) -> None:
        for parameter in self.model.parameters():  # the optimiser skips the stages without a gradient
            parameter.grad = None

    def configure_optimizers(self) -> Any:
        trained = [value for value in self.parameters() if value.requires_grad and value.numel()]
        return build_optimizer(trained, self.hparams["optimizer"])
