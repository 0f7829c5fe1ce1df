"""Checked access to the model, settings, data and optimiser of a Lightning module.

Lightning declares these as broadly as it can; here they have the types that our modules need.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from thermotorch.couplings import BlockCouplings
from thermotorch.models.judge import FeatureNet
from thermotorch.potential import Potential
from thermotorch.training.data import ImageData
from thermotorch.zoo import create_model, load_checkpoint

Kind = TypeVar("Kind", bound=nn.Module)


def new_model(spec: Mapping[str, Any], kind: type[Kind], seed: int | None = None) -> Kind:
    """Return the model to train.

    Args:
        spec: `{"name": architecture, "config": constructor arguments}`.
        kind: class that the training works on.
        seed: seed of the initial weights, which leaves torch's global generator alone; None draws from that.

    Raises:
        TypeError: a model of another class.
    """
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        model = create_model(spec["name"], **spec.get("config", {}))
    return of_kind("model.name", spec["name"], model, kind)


def settings_of(objective: Mapping[str, Any] | None, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of an objective, completed by their defaults; TypeError for an unknown setting."""
    if unknown := set(objective or {}) - set(defaults):
        raise TypeError(f"objective: unknown {sorted(unknown)}, expected some of {sorted(defaults)}")
    return {**defaults, **(objective or {})}


def of_kind(argument: str, name: object, model: nn.Module, kind: type[Kind]) -> Kind:
    """Return the model if it is of this class; a TypeError that opens with `argument` if it is not."""
    if not isinstance(model, kind):
        raise TypeError(f"{argument}: expected a {kind.__name__}, found {name!r}, a {type(model).__name__}")
    return model


def frozen_features(checkpoint: str | None) -> list[FeatureNet]:
    """Return the feature network of an objective, without gradients of its weights; none for None.

    It comes in a list so that Lightning does not save it with the module.

    Raises:
        ValueError: the network that judges samples.
        TypeError: a checkpoint of something else.
    """
    if checkpoint is None:
        return []
    if checkpoint == "feature_net.mnist":
        raise ValueError("objective.features: feature_net.mnist judges the samples, so nothing may be trained on it")
    net = of_kind("objective.features", checkpoint, load_checkpoint(checkpoint), FeatureNet)
    return [net.requires_grad_(False)]


def blocks_of(potential: Potential) -> BlockCouplings:
    """Return the couplings of a potential between named groups of units; TypeError for couplings of another kind."""
    return of_kind("potential.couplings", "couplings", potential.couplings, BlockCouplings)


def model_in(module: LightningModule) -> nn.Module:
    """Return the model that a Lightning module trains, its submodule `model`."""
    return module.get_submodule("model")


def images_of(trainer: Trainer) -> ImageData:
    """Return the data that a trainer fits to."""
    return trainer.datamodule  # type: ignore[attr-defined]  # Lightning sets it, and declares it nowhere


def sample_ids_of(trainer: Trainer, batch: Mapping[str, Any]) -> Tensor:
    """Return the sample numbers of a batch, `step x batch_size + slot`: those of no two updates agree."""
    return batch["step"] * images_of(trainer).batch_size + batch["slot"]


def callbacks_of(trainer: Trainer) -> list[Callback]:
    """Return the callbacks of a trainer."""
    return trainer.callbacks  # type: ignore[attr-defined]  # Lightning sets them, and declares them nowhere


def sole_optimizer(module: LightningModule) -> LightningOptimizer:
    """Return the only optimiser of a module with manual optimisation."""
    optimizer = module.optimizers()
    if not isinstance(optimizer, LightningOptimizer):
        raise TypeError(f"configure_optimizers: expected one optimiser, found {len(optimizer)}")
    return optimizer


def sole_scheduler(module: LightningModule) -> LRScheduler:
    """Return the only learning rate schedule of a module with manual optimisation."""
    schedule = module.lr_schedulers()
    if not isinstance(schedule, LRScheduler):
        raise TypeError(f"configure_optimizers: expected one schedule by the number of updates, found {schedule!r}")
    return schedule
