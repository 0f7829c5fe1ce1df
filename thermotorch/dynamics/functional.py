"""Simulations with other values in place of a potential's parameters and buffers."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from thermotorch.dynamics.problem import Trajectory
from thermotorch.potential import Potential


def simulate_with(
    tensors: Mapping[str, Tensor],
    simulate: Callable[..., Trajectory],
    potential: Potential,
    state: Tensor | Trajectory,
    **arguments: Any,
) -> Trajectory:
    """Run `simulate(potential, state, **arguments)` with `tensors` in place of the potential's own, by name.

    Gradients reach these tensors.
    """
    named = {f"potential.{name}": value for name, value in tensors.items()}
    run: Trajectory = torch.func.functional_call(_Run(simulate, potential), named, (state,), arguments)
    return run


class _Run(nn.Module):
    """Wrap `simulate` as the forward pass of a module, whose tensors `functional_call` can replace."""

    def __init__(self, simulate: Callable[..., Trajectory], potential: Potential) -> None:
        super().__init__()
        self.simulate, self.potential = simulate, potential

    def forward(self, state: Tensor | Trajectory, **arguments: Any) -> Trajectory:
        return self.simulate(self.potential, state, **arguments)
