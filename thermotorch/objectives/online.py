"""The online, local form of the reverse-action rule: every coupling moves at every step, seeing only its two units."""

import torch
from torch import Tensor

from thermotorch.couplings import BlockCouplings
from thermotorch.potential import Potential, require_quartic


@torch.no_grad()
def online_update(potential: Potential, path: Tensor, *, dt: float, temperature: float, rate: float) -> Tensor:
    """Learn along one noising trajectory, in place, moving the parameters after every step.

        J_ij -= rate (r_i x'_j + r_j x'_i),   b_i -= rate r_i,   r_i = (-dx_i + dt g_i(x')) / (2 kT)

    No sum over the trajectory is kept, so the rule needs no memory beyond the couplings themselves.

    Args:
        potential: the machine being trained; its couplings must be a `BlockCouplings`.
        path: [time, unit], one noising trajectory.
        dt, temperature: of the path.
        rate: learning rate per step; the papers use dt / t_final.

    Returns:
        [time - 1], the action of each step before its update.

    Cost: two passes over the couplings per step. Source: Wang & Deng, "Online local learning for generative
        thermodynamic
    computing" (2026).
    """
    require_quartic(potential, "online_update")
    couplings = potential.couplings
    if not isinstance(couplings, BlockCouplings):
        raise TypeError(f"online_update needs BlockCouplings, got {type(couplings).__name__}")
    if path.dim() != 2 or len(path) < 2:
        raise ValueError(f"path: expected [time, unit] with at least two times, got {tuple(path.shape)}")
    # Whole symmetric matrices while learning; a triangle would have to be unpacked at every step.
    blocks = {(a, b): couplings.block(a, b).clone() for a, b in couplings.pairs}
    bias, on_site = potential.bias.clone(), potential.on_site_gradient(path[1:])
    trained = torch.ones_like(bias) if potential.fixed_bias is None else (~potential.fixed_bias).to(bias)
    actions = []
    for before, after, gradient in zip(path[:-1], path[1:], on_site, strict=True):
        gradient = gradient + bias
        for (a, b), block in blocks.items():
            gradient[couplings.slices[b]] += after[couplings.slices[a]] @ block
            if a != b:
                gradient[couplings.slices[a]] += block @ after[couplings.slices[b]]
        residual = (before - after + dt * gradient) / (2 * temperature)
        actions.append(residual.square().sum() * (temperature / dt))
        bias -= rate * trained * residual
        for (a, b), block in blocks.items():
            block.addr_(residual[couplings.slices[a]], after[couplings.slices[b]], alpha=-rate)
            block.addr_(after[couplings.slices[a]], residual[couplings.slices[b]], alpha=-rate)
            if a == b:
                block.fill_diagonal_(0.0)
    potential.bias.copy_(bias)
    for (a, b), block in blocks.items():
        couplings.set_block(a, b, block)
    return torch.stack(actions)
