"""Many machines of one topology, each with its own parameters, on the same inputs and in the same noise."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor

from thermotorch.dynamics import simulate
from thermotorch.potential import Potential, require_quartic


@torch.no_grad()
def run_population(
    potential: Potential, members: Mapping[str, Tensor], drive: Tensor, *, mirrored: bool = False, **simulation: Any
) -> Tensor:
    """Return the end states [batch, member, unit] of every member, from x = 0 on every input and in the same noise.

    The effect of the noise is then common to members that differ little, and does not change their ranking.

    Args:
        potential: topology and on-site coefficients; its couplings and biases are not used.
        members: parameters of the potential by name, each with a leading [member].
        drive: force on every unit, [batch, member, unit] or [batch, 1, unit].
        mirrored: True for the mean of two runs, in the noise and in its opposite, which cancels the effect of the noise
            to first order.
        simulation: further arguments of `simulate`.

    Raises:
        ValueError: a potential that is not quartic or, for `mirrored`, not even (j3 = 0).

    Cost: batch x members runs, or twice as many if mirrored.
    """
    require_quartic(potential, "run_population")
    if mirrored and potential.j3.any():
        raise ValueError("mirrored: expected an even potential, j3 = 0, since its runs are those of -x in noise -xi")
    machine, states = deepcopy(potential), []
    for number, pushed in enumerate(drive.expand(-1, len(members["bias"]), -1).unbind(1)):
        for name, parameter in machine.named_parameters():
            parameter.copy_(members[name][number])
        start = torch.zeros_like(pushed)
        state = simulate(machine, start, drive=pushed, **simulation).state
        if mirrored:  # -x in the noise -xi is the path of the machine with the opposite forces
            machine.bias.neg_()
            state = (state - simulate(machine, start, drive=-pushed, **simulation).state) / 2
        states.append(state)
    return torch.stack(states, 1)
