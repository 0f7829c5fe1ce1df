"""Training of a generative machine for its observation time: by contrast, end to end through the run, or in sequence.

Both draw samples as a user does, from noise for the observation time. Sample number `step x batch_size + slot` is a
pure function of the seed, so that a resumed run equals an uninterrupted one.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from thermotorch.arguments import whole_steps
from thermotorch.dynamics import Stream
from thermotorch.models.generator.machine import ThermodynamicGenerator
from thermotorch.objectives import contrastive_loss, feature_distance, mean_response
from thermotorch.training.features import FeatureModule
from thermotorch.training.module import TRAINING_SEEDS, blocks_of, of_kind, sample_ids_of
from thermotorch.training.optimizers import build_optimizer, rate_factor
from thermotorch.training.rollout import leaky_clamp, rollout
from thermotorch.zoo import load_checkpoint


class ObservationTimeModule(FeatureModule):
    """Train by contrast for the first updates, then by the distance between samples of whole runs and the data.

    Args:
        optimizer: each phase has its own warm-up and half cosine.
        objective:

            - contrastive_steps: number of contrastive updates, which come first; None for all.
            - contrastive_time: duration of the runs that are contrasted with the data; None for the observation time.
            - persistent: True for runs that continue from update to update instead of starting from noise.
            - features: checkpoint of the feature network for the energy distance, which is taken in its layers and in
              the pixels; not the judge.
            - gradient_time: last part of the run through which gradients flow, None for all of it. Small changes grow
              in earlier parts, so that their gradient carries little information.
            - time_steps: list of dt that updates take in turn instead of the machine's own, so that the machine does
              not learn one discretisation.
            - at_once: True for updates of the distance phase in one CUDA graph, with the gradient through the whole
              run; None for a graph on a GPU only. They need `time_steps`.
            - distance_rate: learning rate of the distance phase relative to that of the contrastive phase.
            - label_gain: factor of the differences between the labels' couplings at the start of the distance phase,
              since contrast leaves them too weak.
            - precision: precision of the products in training.
            - initial_std: standard deviation of the initial couplings.
            - start_from: checkpoint of a machine with the same units, or without the labels, whose parameters replace
              the initial ones.

    Raises:
        ValueError: end-to-end updates without a feature network, or with the judge.
    """

    kind = ThermodynamicGenerator
    model: ThermodynamicGenerator
    chains: Tensor
    defaults = {
        "contrastive_steps": None, "contrastive_time": None, "persistent": False, "features": None,
        "gradient_time": None, "distance_rate": 0.2, "label_gain": 1.0, "precision": "ieee", "initial_std": 0.01,
        "start_from": None, "time_steps": None, "at_once": None,
    }  # fmt: skip

    def prepare(self) -> None:
        super().prepare()
        settings = self.settings
        if settings["contrastive_steps"] is not None and settings["features"] is None:
            raise ValueError(
                "objective.features: updates after contrastive_steps need a feature network, such as "
                "feature_net.training"
            )
        if self.model.die:
            raise ValueError(
                "model.config.die: train the machine with held labels; `with_die` gives it a die afterwards"
            )
        generator = torch.Generator().manual_seed(self.seed)
        for bonds in self.model.potential.couplings.parameters():
            nn.init.normal_(bonds, std=settings["initial_std"], generator=generator)
        if settings["start_from"]:
            start = load_checkpoint(settings["start_from"], expect="generator")
            self._start_from(of_kind("objective.start_from", settings["start_from"], start, ThermodynamicGenerator))
        # States of the persistent runs; in the checkpoint, so that a resumed run equals an uninterrupted one.
        self.register_buffer("chains", torch.empty(0), persistent=settings["persistent"])

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        first = self.settings["contrastive_steps"]
        contrast = first is None or batch["step"] < first
        if batch["step"] == first:
            self._strengthen_labels(self.settings["label_gain"])
        self.model.precision = self.settings["precision"]
        captured = self.settings["time_steps"] and self.wants_graph()
        loss = self.contrast(batch) if contrast else (self._distance_at_once if captured else self.distance)(batch)
        self.model.precision = "ieee"  # for samples outside of training
        name = "train/contrast" if contrast else "train/distance"
        self.log(name, loss, prog_bar=True, sync_dist=True, batch_size=len(batch["slot"]))
        return loss

    def contrast(self, batch: dict) -> Tensor:
        """Return the contrastive loss of a batch of images and as many samples."""
        noise, time = self._noise(batch), self.settings["contrastive_time"]
        model = self._at_step_of(batch)
        steps = None if time is None else whole_steps("objective time", time, model.dt)
        with torch.no_grad():
            start = model.start(len(batch["slot"]), labels=batch["label"], **noise)
            if self.settings["persistent"] and len(self.chains):  # labels of this batch, units of the last one
                start[:, : model.hidden.stop] = self.chains[:, : model.hidden.stop]
            negative = model.denoise(start, steps=steps, **noise).state
            if self.settings["persistent"]:
                self.chains = negative
            positive = start.clone()
            positive[:, model.visible] = model.to_state(batch["image"])
            if model.responds_at_once:
                positive, negative = (
                    mean_response(model.potential, state, model.hidden, model.temperature)
                    for state in (positive, negative)
                )
            else:
                everywhere = torch.ones(model.image_shape, dtype=torch.bool, device=start.device)
                positive = model.denoise(positive, steps=steps, mask=everywhere, stream=Stream.DATA, **noise).state
        return contrastive_loss(model.potential, positive, negative)

    def distance(self, batch: dict) -> Tensor:
        """Return the feature distance of a batch of images to as many samples, differentiable through the run."""
        model, noise, time = self._at_step_of(batch), self._noise(batch), self.settings["gradient_time"]
        first = 0
        if time is not None:
            last_steps = max(whole_steps("objective time", time, model.dt), model.readout_steps)
            first = max(0, model.steps - last_steps)
        with torch.no_grad():
            state = model.start(len(batch["slot"]), labels=batch["label"], **noise)
            if first:
                state = model.denoise(state, steps=first, **noise).state
        images = model.to_images(model.read(state, start_step=first, **noise).state)
        classes = F.one_hot(batch["label"], self.model.num_classes).to(images) if self.model.num_classes else None
        return feature_distance(images, batch["image"], *self.measures(), classes)

    def _distance_at_once(self, batch: dict) -> Tensor:
        """Return `distance` with its gradient in `grad`, as one CUDA graph, with the time step of the update."""
        model, times = self.model, self.settings["time_steps"]
        dt, measures = times[batch["step"] % len(times)], self.measures()
        low, high = model.config["display_range"]

        def loss(images: Tensor, labels: Tensor) -> Tensor:
            first = images.new_zeros(len(images), model.visible.stop)
            second = images.new_zeros(len(images), model.hidden.stop - model.hidden.start)
            clock = {"dt": dt, "steps": whole_steps("objective.time_steps", model.t_final, dt)}
            with torch.no_grad():
                _, first, second = rollout(
                    model.potential, first, second, (0.0, 0.0), temperature=model.temperature, coupled=False, **clock
                )
            field = first.new_zeros(())
            if model.num_classes:
                field = -(labels @ blocks_of(model.potential).block("hidden", "label").T)
            visible, _, _ = rollout(
                model.potential, first, second, (first.new_zeros(()), field), temperature=model.temperature,
                readout_steps=whole_steps("objective.time_steps", model.config["readout_time"], dt), **clock,
            )  # fmt: skip
            samples = leaky_clamp((visible - low) / (high - low)).view_as(images)
            return feature_distance(samples, images, *measures, labels if model.num_classes else None)

        labels = batch["image"].new_zeros(len(batch["image"]), 0)
        if model.num_classes:
            labels = F.one_hot(batch["label"], model.num_classes).to(labels)
        parameters = [*model.potential.couplings.parameters(), model.potential.bias]
        return self.gradient(dt, loss, parameters, batch["image"], labels)

    def configure_optimizers(self) -> Any:
        spec, first = self.hparams["optimizer"], self.settings["contrastive_steps"]
        last, warmup = spec.get("decay_steps"), spec.get("warmup_steps", 0)
        if first is None or last is None or not 0 < first < last:
            return super().configure_optimizers()
        one, other, rate = rate_factor(warmup, first), rate_factor(warmup, last - first), self.settings["distance_rate"]
        return build_optimizer(
            self.parameters(), spec, lambda step: one(step) if step < first else rate * other(step - first)
        )

    @torch.no_grad()
    def _strengthen_labels(self, gain: float) -> None:
        for name, bonds in blocks_of(self.model.potential).blocks.items():
            if name.endswith("-label"):  # the mean over labels stays
                bonds.lerp_(bonds.mean(1, keepdim=True).expand_as(bonds), 1.0 - gain)

    @torch.no_grad()
    def _start_from(self, other: ThermodynamicGenerator) -> None:
        own = dict(self.model.potential.couplings.named_parameters())
        for name, bonds in other.potential.couplings.named_parameters():
            if name not in own or own[name].shape != bonds.shape:
                raise ValueError(
                    f"objective.start_from: its couplings {name} {tuple(bonds.shape)} are not in this machine"
                )
            own[name].copy_(bonds)
        bias = other.potential.bias
        self.model.potential.bias[: len(bias)] = bias

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        if "chains" in checkpoint["state_dict"]:
            self.chains = torch.empty_like(checkpoint["state_dict"]["chains"])

    def _at_step_of(self, batch: dict) -> ThermodynamicGenerator:
        times = self.settings["time_steps"]
        return self.model.at_step(times[batch["step"] % len(times)]) if times else self.model

    def _noise(self, batch: dict) -> dict:
        return {"seed": self.seed + TRAINING_SEEDS, "sample_ids": sample_ids_of(self.trainer, batch)}
