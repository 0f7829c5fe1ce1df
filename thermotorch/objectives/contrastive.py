"""Observation-time contrastive learning: low energy at the data, high energy at the machine's states when it is read.

    L = mean V(x+) - mean V(x-),   dL/dJ_ij = <x_i x_j>+ - <x_i x_j>-,   dL/db_i = <x_i>+ - <x_i>-

x+ has its visible units at an image and its hidden units at their response to it; x- is the machine at its observation
time, started from noise. The rule is local to each coupling. The machine need not be at equilibrium when it is read.
Source: Hinton, Neural Comput. 14, 1771 (2002) for the rule; Nijkamp et al., NeurIPS 2019, and Decelle, Furtlehner,
Seoane, NeurIPS 2021, for short runs from noise.
"""

import torch
from torch import Tensor

from thermotorch.models.classifier.neuron import neuron_activation
from thermotorch.potential import Potential, require_quartic

_TABLE = 1 << 14  # nodes of the interpolation of a mean response


def contrastive_loss(potential: Potential, positive: Tensor, negative: Tensor) -> Tensor:
    """Return L, a scalar in the potential's energy unit; its gradient is the contrastive update.

    Its value does not measure the quality of the machine.

    Args:
        potential: V.
        positive, negative: states x+ and x-, [batch, unit]; no gradient reaches them.

    Cost: two coupling fields and their gradients.
    """
    return potential.energy(positive.detach()).mean() - potential.energy(negative.detach()).mean()


@torch.no_grad()
def mean_response(potential: Potential, state: Tensor, group: slice, temperature: float) -> Tensor:
    """Return `state` with the units of `group` at their equilibrium means, given the other units.

        <x_i> = integral x exp(-(U_i(x) - I_i x) / kT) dx / Z,   I_i = -b_i - sum_j J_ij x_j

    Exact when no two units of the group are coupled to each other.

    Args:
        potential: V.
        state: [batch, unit].
        group: units that respond.
        temperature: kT.

    Raises:
        ValueError: a potential with an energy of its own, or units of `group` with different wells.

    Cost: one coupling field and one quadrature per unit. Above 65536 responses, linear interpolation between 16384
    forces (its error for a double well at kT = 0.03: 1e-3 of the amplitude).
    """
    require_quartic(potential, "mean_response")
    at_zero = state.clone()
    at_zero[:, group] = 0.0
    force = -(potential.couplings(at_zero) + potential.bias)[:, group]
    wells = (potential.j2, potential.j3, potential.j4)
    j2, j3, j4 = (coefficient.expand(potential.num_units)[group].unique() for coefficient in wells)
    if max(map(len, (j2, j3, j4))) > 1:
        raise ValueError("group: its units must have the same on-site coefficients")
    well = j2.item(), j3.item(), j4.item(), temperature
    at_zero[:, group] = neuron_activation(force, *well) if force.numel() <= 4 * _TABLE else _interpolated(force, *well)
    return at_zero


def _interpolated(force: Tensor, *well: float) -> Tensor:
    low, high = force.min(), force.max()
    place = (force - low) / (high - low).clamp_min(1e-12) * (_TABLE - 1)
    left = place.long().clamp_max(_TABLE - 2)
    means = neuron_activation(low + (high - low) * torch.linspace(0, 1, _TABLE).to(force), *well)
    return torch.lerp(means[left], means[left + 1], place - left)
