"""Optimisers and learning rate schedules from plain dicts, so that a checkpoint can hold them."""

import difflib
import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import nn
from torch.optim import Adam, Muon, Optimizer
from torch.optim.lr_scheduler import LambdaLR


class MuonAndAdam(Optimizer):
    """`torch.optim.Muon` for the matrices among the parameters, `torch.optim.Adam` for the others, at one rate.

    Muon steps along the orthogonal part of a matrix's momentum, so that no direction of it is left behind. Its step is
    scaled to the root mean square of Adam's (`adjust_lr_fn="match_rms_adamw"`), which is what lets them share a rate.
    Muon takes nothing but matrices, and Lightning steps one optimizer by itself: hence this class.

    Args:
        parameters: what to train; those with two dimensions are the matrices.
        lr: learning rate.
        momentum, weight_decay: of the matrices; the decay is decoupled, M <- (1 - lr weight_decay) M.
        betas: of Adam.

    Source: Jordan et al., "Muon" (2024); the scale of Liu et al., "Muon is scalable for LLM training" (2025).
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float = 1e-2,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        betas: Iterable[float] = (0.9, 0.999),
    ) -> None:
        parameters = list(parameters)
        matrices = [parameter for parameter in parameters if parameter.dim() == 2]
        others = [parameter for parameter in parameters if parameter.dim() != 2]
        first, second = betas
        self.parts: list[Optimizer] = []
        if matrices:
            self.parts.append(Muon(matrices, lr, weight_decay, momentum, adjust_lr_fn="match_rms_adamw"))
        if others:
            self.parts.append(Adam(others, lr, (first, second)))
        super().__init__([group for part in self.parts for group in part.param_groups], {})
        self._share()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what `state_dict` returned."""
        super().load_state_dict(state_dict)
        self._share()

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step; return what `closure`, which computes the gradients if given, returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts:
            part.step()
        return loss

    def _share(self) -> None:
        """Let the parts work on the groups and the state of this optimizer, which schedules and checkpoints change."""
        for part, group in zip(self.parts, self.param_groups, strict=True):
            part.param_groups, part.state = [group], self.state


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "adam": Adam,
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


def build_optimizer(
    parameters: Iterable[nn.Parameter], spec: dict, factor: Callable[[int], float] | None = None
) -> OptimizerLRSchedulerConfig:
    """Return an optimiser with its schedule, as `LightningModule.configure_optimizers` does.

    The learning rate rises linearly over `warmup_steps`, then falls as a half cosine to zero at `decay_steps`:
    `lr(k) = lr min(1, (k + 1) / warmup) (1 + cos(pi min(1, k / decay))) / 2`. It depends on the update number alone, so
    it is the same in a resumed run.

    Args:
        parameters: parameters to train.
        spec: `{"name": "adamw", "lr": ..., "warmup_steps": 0, "decay_steps": None, ...}`. Further entries go to the
            optimiser. Without `decay_steps` the learning rate does not fall.
        factor: learning rate relative to `lr` by update number, in place of that rule.

    Raises:
        ValueError: an unknown optimiser; the message lists the close matches.
        TypeError: an argument that the optimiser does not take.
    """
    spec = dict(spec)
    name = spec.pop("name", "adamw")
    if name not in OPTIMIZERS:
        close = difflib.get_close_matches(str(name), OPTIMIZERS) or sorted(OPTIMIZERS)
        raise ValueError(f"optimizer.name: expected one of {close}, found {name!r}")
    rule = rate_factor(spec.pop("warmup_steps", 0), spec.pop("decay_steps", None))
    optimizer = OPTIMIZERS[name](parameters, **spec)
    schedule = LambdaLR(optimizer, factor or rule)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
