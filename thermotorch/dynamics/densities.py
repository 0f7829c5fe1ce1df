"""Transition densities p(end | start) of one step, for the schemes that have one."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from thermotorch.dynamics import splitting as flows_of
from thermotorch.dynamics.alternating import second_colour
from thermotorch.dynamics.observe import Transition
from thermotorch.potential import Potential


class StepDensity(NamedTuple):
    """The terms of ln p(end | start) = -residual^2 / 2 - width - ln sqrt(2 pi) for each free unit, and its support."""

    residual: Tensor
    width: Tensor
    reachable: Tensor


# (potential, step, start, end, drive) -> density of the move from `start` to `end` under the conditions of `step`
Density = Callable[[Potential, Transition, Tensor, Tensor, Tensor | None], StepDensity]


def euler_maruyama(
    potential: Potential, step: Transition, start: Tensor, end: Tensor, drive: Tensor | None
) -> StepDensity:
    gradient = potential.gradient(start) if drive is None else potential.gradient(start) - drive
    rate = torch.as_tensor(step.mobility, dtype=start.dtype, device=start.device).expand(start.shape[1]) * step.dt
    amplitude = torch.where(rate > 0, 2 * step.temperature * rate, 1.0).sqrt()
    return StepDensity(
        (end - start + rate * gradient) / amplitude, amplitude.log(), torch.ones_like(start, dtype=torch.bool)
    )


def alternating(
    potential: Potential, step: Transition, start: Tensor, end: Tensor, drive: Tensor | None
) -> StepDensity:
    flows = flows_of.on_site(potential, dt=step.dt, temperature=step.temperature, mobility=step.mobility)
    second = second_colour(potential.couplings.pieces(), potential.num_units).to(start.device)
    # During each move, forwards and backwards, colour 1 is at its new state and colour 0 at its old one.
    between = torch.where(second, step.after, step.before)
    force = (0.0 if drive is None else drive) - flows.bias - potential.couplings(between)
    z, slope, reachable = flows.unrelax(end)
    spread = torch.where(flows.spread > 0, flows.spread, 1.0)
    residual = (z - flows.decay * flows.relax(start) - flows.gain * force) / spread
    return StepDensity(residual, spread.log() + slope, reachable)


def splitting(potential: Potential, step: Transition, start: Tensor, end: Tensor, drive: Tensor | None) -> StepDensity:
    flows = flows_of.flows(potential, dt=step.dt, temperature=step.temperature, mobility=step.mobility)
    push = flows.push(drive)
    back = flows_of.coupling_flow(potential.couplings, -0.5 * flows.rate)
    moved = end - push if back is None else end - push + (end - push) @ back.half
    z, slope, reachable = flows.unrelax(moved)
    spread = torch.where(flows.spread > 0, flows.spread, 1.0)
    residual = (z - flows.decay * flows.relax(flows.couple(start, push))) / spread
    return StepDensity(residual, spread.log() + slope, reachable)
