"""Optimisers and learning rate schedules from plain dicts, so that a checkpoint can hold them."""

import difflib
import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from thermotorch.training.muon import MuonAndAdam

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "muon": MuonAndAdam,
    "sgd": torch.optim.SGD,
}


def rate_factor(warmup: int = 0, decay: int | None = None) -> Callable[[int], float]:
    """Return the learning rate relative to its maximum, as a function of the update number."""

    def factor(step: int) -> float:
        rise = min(1.0, (step + 1) / warmup) if warmup else 1.0
        return rise * (0.5 * (1.0 + math.cos(math.pi * min(1.0, step / decay))) if decay else 1.0)

    return factor


def build_optimizer(parameters: Iterable[nn.Parameter], spec: dict) -> OptimizerLRSchedulerConfig:
    """Return an optimiser with its schedule, as `LightningModule.configure_optimizers` does.

    The learning rate rises linearly over `warmup_steps`, then falls as a half cosine to zero at `decay_steps`:
    `lr(k) = lr min(1, (k + 1) / warmup) (1 + cos(pi min(1, k / decay))) / 2`. It depends on the update number alone, so
    it is the same in a resumed run.

    Args:
        parameters: parameters to train.
        spec: `{"name": "adamw", "lr": ..., "warmup_steps": 0, "decay_steps": None, ...}`. Further entries go to the
            optimiser. Without `decay_steps` the learning rate does not fall.

    Raises:
        ValueError: an unknown optimiser; the message lists the close matches.
        TypeError: an argument that the optimiser does not take.
    """
    spec = dict(spec)
    name = spec.pop("name", "adamw")
    if name not in OPTIMIZERS:
        close = difflib.get_close_matches(str(name), OPTIMIZERS) or sorted(OPTIMIZERS)
        raise ValueError(f"optimizer.name: expected one of {close}, found {name!r}")
    factor = rate_factor(spec.pop("warmup_steps", 0), spec.pop("decay_steps", None))
    optimizer = OPTIMIZERS[name](parameters, **spec)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": LambdaLR(optimizer, factor), "interval": "step"}}


class OptimizedModule(LightningModule):
    """A module that trains all its parameters with the optimiser of its hyper-parameters."""

    def configure_optimizers(self) -> Any:
        return build_optimizer(self.parameters(), self.hparams["optimizer"])
