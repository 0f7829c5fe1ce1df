"""A differentiable run in plain torch, for training on a GPU: the same scheme as `simulate(integrator="alternating")`.

`simulate` recomputes its noise, launches its kernels from the host and returns to the host between them. Training needs
the opposite: every launch inside one CUDA graph (`captured.py`), with the states kept for the gradient. This loop
therefore consists of two products and two pointwise functions, which `torch.compile` fuses, and the caller provides
the normals.
"""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from thermotorch.dynamics.splitting import on_site_flows
from thermotorch.potential import Potential
from thermotorch.training.module import blocks_of

Normals = Callable[[int, Tensor], Tensor]  # (step, like) -> standard normals of the shape of `like`


def fresh_normals(step: int, like: Tensor) -> Tensor:
    """Return new normals from torch's generator of the device, whatever the step."""
    return torch.randn_like(like)


def rollout(
    potential: Potential,
    first: Tensor,
    second: Tensor,
    force: tuple[Tensor | float, Tensor | float],
    *,
    dt: float,
    steps: int,
    temperature: float,
    readout_steps: int = 0,
    coupled: bool = True,
    normals: tuple[Normals, Normals] = (fresh_normals, fresh_normals),
) -> tuple[Tensor, Tensor, Tensor]:
    """Run two groups of units in the field of each other, without couplings inside a group.

    Args:
        potential: potential whose first two groups run; other groups act through `force` alone.
        first, second: states [sample, unit] of the groups.
        force: constant force on each group, [sample, unit] or a number.
        dt, steps, temperature: as in `simulate`.
        readout_steps: number of final steps over which the first group is averaged; 0 for its final state.
        coupled: False to switch couplings, biases and `force` off.
        normals: sources of the standard normals of each group.

    Returns:
        The average of the first group and the final states of both, differentiable in the parameters of the potential
        and in the force.
    """
    couplings = blocks_of(potential)
    names, cut, units = list(couplings.groups), first.shape[1], first.shape[1] + second.shape[1]
    block, bias = couplings.block(names[0], names[1]), potential.live_bias()[:units]
    j2, j3, j4 = (value.expand(potential.num_units)[:units] for value in (potential.j2, potential.j3, potential.j4))
    flows = on_site_flows(torch.zeros_like(j2), j2, j3, j4, torch.full_like(j2, dt), temperature)
    terms = [[value[:cut], value[cut:]] for value in (flows.decay, flows.gain, flows.spread, flows.stiffness)]
    one, other = ([pair[group] for pair in terms] for group in range(2))
    move: Callable[..., Tensor] = _compiled_move() if first.is_cuda else _move
    on_first, on_second = (
        (part - own).expand_as(state).contiguous()
        for part, own, state in zip(force, (bias[:cut], bias[cut:]), (first, second), strict=True)
    )
    total = torch.zeros_like(first)
    for step in range(steps):
        field = torch.addmm(on_second, first, block, alpha=-1) if coupled else torch.zeros_like(second)
        second = move(second, field, *other, normals[1](step, second))
        field = torch.addmm(on_first, second, block.T, alpha=-1) if coupled else torch.zeros_like(first)
        first = move(first, field, *one, normals[0](step, first))
        if step >= steps - readout_steps:
            total = total + first
    return (total / readout_steps if readout_steps else first), first, second


def _move(
    x: Tensor, force: Tensor, decay: Tensor, gain: Tensor, spread: Tensor, stiffness: Tensor, xi: Tensor
) -> Tensor:
    """Apply N(h/2) O(h) N(h/2) with a constant force, see `dynamics/splitting.py`."""
    y = x * torch.rsqrt(1 + stiffness * x * x)
    z = decay * y + gain * force + spread * xi
    return z * torch.rsqrt(1 + stiffness * z * z)


def leaky_clamp(images: Tensor) -> Tensor:
    """Clamp images to [0, 1] but for 5 % of the excess, whose gradient brings saturated pixels back."""
    clamped = images.clamp(0, 1)
    return clamped + 0.05 * (images - clamped)


@cache
def _compiled_move() -> Callable[..., Tensor]:
    # One version for each size of group, with and without gradients of each argument: more than usual.
    torch._dynamo.config.recompile_limit = max(64, torch._dynamo.config.recompile_limit)
    return torch.compile(_move, dynamic=False)
