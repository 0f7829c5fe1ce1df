"""Simulations with other tensors in place of a potential's own: given ones, or float32 copies of half-precision ones.

A time step adds increments of order dt to a state of order one, and eight bits would lose them. So a run leaves
autocast, as torch's own sensitive functions do, and casts a potential in bfloat16 or half to float32.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from thermotorch.dynamics.problem import Trajectory
from thermotorch.potential import Potential

_HALVES = (torch.bfloat16, torch.float16)


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


def needs_float32(potential: Potential, state: Tensor | Trajectory) -> bool:
    """Return True if a run would otherwise compute in half precision."""
    at = state if isinstance(state, Tensor) else state.state
    return potential.bias.dtype in _HALVES or at.dtype in _HALVES or torch.is_autocast_enabled(at.device.type)


def in_float32(
    simulate: Callable[..., Trajectory], potential: Potential, state: Tensor | Trajectory, **arguments: Any
) -> Trajectory:
    """Run `simulate` outside autocast, with a half-precision potential and state cast to float32.

    The end has the dtype of the given state; heat, work and recorded states stay in float32.
    """
    at = state if isinstance(state, Tensor) else state.state
    exact = at.float() if at.dtype in _HALVES else at
    start = exact if isinstance(state, Tensor) else replace(state, state=exact)
    with torch.autocast(at.device.type, enabled=False):
        if potential.bias.dtype in _HALVES:
            tensors = {**dict(potential.named_parameters()), **dict(potential.named_buffers())}
            raised = {name: value.float() for name, value in tensors.items() if value.dtype in _HALVES}
            run = simulate_with(raised, simulate, potential, start, **arguments)
        else:
            run = simulate(potential, start, **arguments)
    return run if at.dtype == exact.dtype else replace(run, state=run.state.to(at.dtype))
