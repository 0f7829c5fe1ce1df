"""Training of a chain of thermodynamic machines: each stage by itself, by a proper score of its samples."""

from functools import partial
from math import cos, sin

import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.nn import functional as F

from thermotorch.arguments import whole_steps
from thermotorch.dynamics import Stream, simulate
from thermotorch.dynamics.noise import normals
from thermotorch.models.generator.chain import ThermodynamicChain
from thermotorch.models.generator.stage import DenoisingStage
from thermotorch.objectives import feature_scales, feature_score
from thermotorch.objectives.energy_statistics import Features
from thermotorch.training.captured import CapturedGradient, GradientAtHand, wants_graph
from thermotorch.training.given import blocks_of, frozen_features, images_of, new_model, sample_ids_of, settings_of
from thermotorch.training.observation_module import net_blocks
from thermotorch.training.optimizers import build_optimizer
from thermotorch.training.rollout import leaky_clamp, rollout
from thermotorch.zoo import load_card, load_checkpoint

_SEED_OFFSET = 1 << 33  # training never sees the noise of a seed that users draw samples with
_TWIN = 1 << 33  # first sample number of the second samples
_DEFAULTS = {
    "first": None, "features": "feature_net.training", "time_steps": [0.08, 0.06, 0.048, 0.04], "stages": None,
    "label_dropout": 0.1, "initial_std": 0.02, "start_from": None, "heat_weight": 0.0, "precision": "ieee",
    "at_once": None,
}  # fmt: skip


class ChainModule(GradientAtHand):
    """Minimise the conditional energy score of each stage; the stages take turns, update by update.

    A stage receives real images with the noise of its angle and draws two samples from each. They are scored in pixels
    and in the layers of a feature network (`feature_score`). The gradient flows through the whole run. Updates take the
    time steps in turn, so that the stage learns the continuous dynamics and not one discretisation.

    Args:
        model: `{"name": "chain", "config": {...}}`.
        optimizer: see `build_optimizer`.
        objective:

            - first: checkpoint of the autonomous machine that starts the chain; the `first` of the model may change its
              configuration.
            - features: checkpoint of a feature network other than the judge; None for pixels alone.
            - time_steps: list of dt.
            - stages: numbers of the stages to train; None for all.
            - label_dropout: fraction of the images that come without their class.
            - initial_std: standard deviation of the initial couplings.
            - start_from: checkpoint of a chain with the initial stages.
            - heat_weight: price of one kT of heat a sample, added to the score.
            - precision: number format of the products of `simulate`.
            - at_once: True for an update in one CUDA graph, with noise from torch's generator; None for a graph on a
              GPU only.
        seed: seed of the initial couplings and the noise.

    Raises:
        ValueError: the judge as feature network, or stages that the chain does not have.
        TypeError: an unknown objective.
    """

    def __init__(self, model: dict, optimizer: dict, objective: dict | None = None, seed: int = 0) -> None:
        super().__init__()
        settings = settings_of(objective, _DEFAULTS)
        self._features = frozen_features(settings["features"])
        config = dict(model.get("config", {}))
        if settings["first"]:
            config["first"] = {**load_card(settings["first"])["config"], **config.get("first", {})}
            config["first"].pop("image_shape", None)
        model = {"name": model["name"], "config": config}
        self.save_hyperparameters()
        self.settings, self.seed = settings, seed
        self.model = new_model(model, ThermodynamicChain)
        self._prepare(seed)
        count = len(self.model.stages)
        self.stages = list(range(count)) if settings["stages"] is None else list(settings["stages"])
        if not self.stages or not set(self.stages) <= set(range(count)):
            raise ValueError(f"objective.stages: expected some of 0 ... {count - 1}, got {settings['stages']}")
        self._scales: list[float] = []
        self._gradient = CapturedGradient()

    def _prepare(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        for stage in map(self.model.stage, range(len(self.model.stages))):
            for bonds in (*stage.potential.couplings.parameters(), stage.held_hidden):
                nn.init.normal_(bonds, std=self.settings["initial_std"], generator=generator)
            nn.init.constant_(stage.held_visible, -0.4)
        if self.settings["start_from"]:
            self.model.load_state_dict(load_checkpoint(self.settings["start_from"], expect="chain").state_dict())
        elif self.settings["first"]:
            self.model.first.load_state_dict(load_checkpoint(self.settings["first"], expect="generator").state_dict())
        self.model.first.requires_grad_(False)

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        turn, place = divmod(batch["step"], len(self.stages))
        number, times = self.stages[place], self.settings["time_steps"]
        stage, dt = self.model.stage(number), times[turn % len(times)]
        labels = batch["image"].new_zeros(len(batch["image"]), 1)
        if classes := self.model.num_classes:
            labels = F.one_hot(batch["label"], classes).to(labels)
        if not self._scales:
            self._scales = feature_scales(
                images_of(self.trainer).train_images()[0][:1000].to(self.device), self._blocks()
            )
        run = self._run_at_once if wants_graph(self, self.settings["at_once"]) else self._run

        def loss(images: Tensor, labels: Tensor, ids: Tensor) -> Tensor:
            visible, heat = run(stage, images, labels, ids, dt)
            one, other = leaky_clamp((visible / stage.amplitude + 1) / 2).view(2, *images.shape)
            score = feature_score(one, other, images, self._blocks(), self._scales)
            return score + self.settings["heat_weight"] / stage.temperature * heat.mean()

        ids = sample_ids_of(self.trainer, batch)
        parameters = [value for value in stage.parameters() if value.numel()]
        value = self._gradient((number, dt), loss, parameters, batch["image"], labels, ids)
        self.log(f"train/stage{number}", value, prog_bar=True, batch_size=len(ids))
        return value

    def _blocks(self) -> Features:
        """Return the map from images to the features of the score: pixels, and layers of the network if any."""
        if not self._features:
            return lambda images: [images.flatten(1)]
        return net_blocks(self._features[0].to(self.device))

    def _run(
        self, stage: DenoisingStage, images: Tensor, labels: Tensor, ids: Tensor, dt: float
    ) -> tuple[Tensor, Tensor]:
        """Draw two samples from each image by `simulate`, [2 x image, visible], with their heat; labels are one-hot."""
        seed, visible = self.seed + _SEED_OFFSET, blocks_of(stage.potential).groups["visible"]
        xi = normals(seed, ids, 0, 1, visible + 1, Stream.DATA)[0].to(images)
        kept = torch.special.ndtr(xi[:, -1:]) >= self.settings["label_dropout"]
        held = self._noisy(stage, images, xi[:, :-1]).repeat(2, 1)
        ids = torch.cat([ids, ids + _TWIN])
        state = torch.cat([held, stage.hidden_start(ids, seed=seed, step=0)], 1)
        force = stage.force(held, (labels * kept).repeat(2, 1) if self.model.num_classes else None)
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
        held = self._noisy(stage, images, torch.randn_like(images.flatten(1))).repeat(2, 1)
        hidden = stage.hidden_spread * torch.randn(
            len(held), blocks_of(stage.potential).groups["hidden"], device=held.device
        )
        force = stage.force(held, (labels * kept).repeat(2, 1) if self.model.num_classes else None)
        steps, readout = self._steps(stage, dt)
        visible, *end = rollout(
            stage.potential, held, hidden, (force[:, stage.visible], force[:, stage.hidden]), dt=dt, steps=steps,
            temperature=stage.temperature, readout_steps=readout,
        )  # fmt: skip
        start = torch.cat([held, hidden], 1)
        return visible, stage.energy(start, force) - stage.energy(torch.cat(end, 1), force)

    def _noisy(self, stage: DenoisingStage, images: Tensor, xi: Tensor) -> Tensor:
        clean = stage.amplitude * (2 * images.flatten(1) - 1)
        return cos(stage.angle) * clean + stage.amplitude * sin(stage.angle) * xi

    def _steps(self, stage: DenoisingStage, dt: float) -> tuple[int, int]:
        run, readout = (
            whole_steps("objective.time_steps", steps * stage.dt, dt) for steps in (stage.steps, stage.readout_steps)
        )
        return run, readout

    def on_train_batch_start(self, batch: dict, batch_idx: int) -> None:
        for parameter in self.model.parameters():  # the optimiser skips the stages without a gradient
            parameter.grad = None

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        trained = [value for value in self.parameters() if value.requires_grad and value.numel()]
        return build_optimizer(trained, self.hparams["optimizer"])
