"""Orthogonalised updates for matrices, and Adam's for everything else, behind one optimizer."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import Adam, Muon, Optimizer


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
