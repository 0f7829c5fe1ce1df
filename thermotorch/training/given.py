"""What a Lightning module is given: a model of the kind that it trains, the data, the one optimiser.

Lightning declares these as broadly as it can; here they have the types that our modules need.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from thermotorch.couplings import BlockCouplings
from thermotorch.models.judge import FeatureNet
from thermotorch.potential import Potential
from thermotorch.training.data import ImageData
from thermotorch.zoo import create_model, load_checkpoint

Kind = TypeVar("Kind", bound=nn.Module)


def new_model(spec: Mapping[str, Any], kind: type[Kind]) -> Kind:
    """Return the model to train.

    Args:
        spec: `{"name": architecture, "config": constructor arguments}`.
        kind: class that the training works on.

    Raises:
        TypeError: a model of another class.
    """
    model = create_model(spec["name"], **spec.get("config", {}))
    return of_kind("model.name", spec["name"], model, kind)


def of_kind(argument: str, name: object, model: nn.Module, kind: type[Kind]) -> Kind:
    """Return the model if it is of this class.

    Raises:
        TypeError: it is not; the message opens with `argument`.
    """
    if not isinstance(model, kind):
        raise TypeError(f"{argument}: expected a {kind.__name__}, found {name!r}, a {type(model).__name__}")
    return model


def frozen_features(argument: str, checkpoint: str) -> FeatureNet:
    """Return the feature network of a checkpoint, whose weights take no gradient.

    Raises:
        TypeError: a checkpoint of something else.
    """
    return of_kind(argument, checkpoint, load_checkpoint(checkpoint), FeatureNet).requires_grad_(False)


def blocks_of(potential: Potential) -> BlockCouplings:
    """Return the couplings of a potential between named groups of units.

    Raises:
        TypeError: couplings of another kind.
    """
    return of_kind("potential.couplings", "couplings", potential.couplings, BlockCouplings)


def model_in(module: LightningModule) -> nn.Module:
    """Return the model that a Lightning module trains, its submodule `model`."""
    return module.get_submodule("model")


def images_of(trainer: Trainer) -> ImageData:
    """Return the data that a trainer fits to."""
    return trainer.datamodule  # type: ignore[attr-defined]  # Lightning sets it, and declares it nowhere


def callbacks_of(trainer: Trainer) -> list[Callback]:
    """Return the callbacks of a trainer."""
    return trainer.callbacks  # type: ignore[attr-defined]  # Lightning sets them, and declares them nowhere


def sole_optimizer(module: LightningModule) -> LightningOptimizer:
    """Return the one optimiser of a module that steps it by hand."""
    optimizer = module.optimizers()
    if not isinstance(optimizer, LightningOptimizer):
        raise TypeError(f"configure_optimizers: expected one optimiser, found {len(optimizer)}")
    return optimizer


def sole_scheduler(module: LightningModule) -> LRScheduler:
    """Return the one schedule of a module that steps it by hand."""
    schedule = module.lr_schedulers()
    if not isinstance(schedule, LRScheduler):
        raise TypeError(f"configure_optimizers: expected one schedule by the number of updates, found {schedule!r}")
    return schedule
