"""Bounds for a machine in a circuit: the reach of its units and their fastest rate."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from thermotorch.circuit.machine import AnalogMachine
from thermotorch.circuit.scale import Scale

_SLOW = 0.1  # product of the noise step and the fastest rate, where none is given
_SWEEPS = 200


class Reach(NamedTuple):
    """The reach of the states of a machine and its fastest rate, in reduced units."""

    state: float  # upper bound of |x|: all couplings pull one way, and a fluctuation climbs 8 kT
    rate: float  # curvature times mobility, where couplings pull at random and a fluctuation climbs kT


def reach_of(machine: AnalogMachine) -> Reach:
    """Return the reach of a machine.

    The amplitude R of unit i solves 4 j4 R^3 + 2 j2 R = |b_i| + pull_i(R) for all units at once.

    Raises:
        ValueError: quadratic units that their couplings pull apart.
    """
    gain = max(abs(segment.gain) for segment in machine.program)
    strength = gain * machine.couplings.abs()
    furthest = _amplitude(machine, gain, 8.0, lambda reach: strength @ reach)
    usual = _amplitude(machine, gain, 1.0, lambda reach: (strength.square() @ reach.square()).sqrt())
    curvature = 2 * machine.j2.abs() + 6 * machine.j3.abs() * usual + 12 * machine.j4 * usual**2
    free = ~machine.held
    norm = torch.linalg.matrix_norm(gain * machine.couplings[free][:, free], 2)
    return Reach(furthest.max().item(), (machine.mobility / machine.sizes * (curvature + norm))[free].max().item())


def _amplitude(machine: AnalogMachine, gain: float, climb: float, pull: Callable[[Tensor], Tensor]) -> Tensor:
    quadratic, quartic, heat = (
        machine.j2.clamp_min(1e-12),
        machine.j4.clamp_min(1e-12),
        climb * machine.temperature / machine.sizes,
    )
    thermal = torch.minimum((heat / quadratic).sqrt(), (heat / quartic) ** 0.25)
    soft, start = (-2 * machine.j2).clamp_min(0.0), machine.start.abs()
    reach = start
    for _ in range(_SWEEPS):
        force = gain * machine.bias.abs() + pull(reach) + (soft + 3 * machine.j3.abs() * reach) * reach
        balance = torch.minimum(force / (2 * quadratic), (force / (4 * quartic)) ** (1 / 3))
        reach = torch.where(machine.held, start, torch.maximum(start, balance + thermal))
        if not reach.max() < 1e5:
            raise ValueError("potential: couplings pull quadratic units apart without a bound, so no supply holds them")
    return reach


def noise_step(machine: AnalogMachine, scale: Scale, step: float | None) -> float:
    """Return the step of the noise sources in reduced time: that of the machine where it is fine enough.

    Raises:
        ValueError: voltages beyond the supply, or a step too long for the fastest unit, with the numbers.
    """
    reach = reach_of(machine)
    volts = reach.state * scale.volt
    if volts > scale.supply / 2:
        raise ValueError(
            f"supply: units reach {volts:.3g} V on either side, and half the supply is {scale.supply / 2:.3g} V; use a "
            f"larger capacitance than {scale.farad:.3g} F, or another supply"
        )
    if step is None:
        return min(machine.dt, _SLOW / reach.rate)
    if step * reach.rate > 1:
        raise ValueError(
            f"step: noise in steps of {step:g} ends below the fastest rate, {reach.rate:.3g} per time unit; expected "
            f"at most {1 / reach.rate:.3g}"
        )
    return step
