"""The online form of the reverse-action rule: a local update of every coupling at every step."""

import torch
from torch import Tensor

from thermotorch.couplings import BlockCouplings
from thermotorch.potential import Potential, require_quartic


@torch.no_grad()
def online_update(potential: Potential, path: Tensor, *, dt: float, temperature: float, rate: float) -> Tensor:
    """Train `potential` in place along one noising trajectory; return the action before each update, [time - 1].

        J_ij -= rate (r_i x'_j + r_j x'_i),   b_i -= rate r_i,   r_i = (-dx_i + dt g_i(x')) / (2 kT)

    Args:
        potential: machine being trained, with `BlockCouplings`.
        path: one noising trajectory, [time, unit].
        dt, temperature: time step and kT of the path.
        rate: learning rate per step; the papers use dt / t_final.

    Raises:
        TypeError: couplings of another class.
        ValueError: a path of fewer than two times or not of shape [time, unit].

    Cost: two passes over the couplings per step, and no memory beyond them.
    Source: Wang & Deng, "Online local learning for generative thermodynamic computing" (2026).
    """
    require_quartic(potential, "online_update")
    couplings = potential.couplings
    if not isinstance(couplings, BlockCouplings):
        raise TypeError(f"online_update needs BlockCouplings, got {type(couplings).__name__}")
    if path.dim() != 2 or len(path) < 2:
        raise ValueError(f"path: expected [time, unit] with at least two times, got {tuple(path.shape)}")
    # Symmetric matrices while learning: a triangle would have to be unpacked at every step.
    blocks = {(a, b): couplings.block(a, b).clone() for a, b in couplings.pairs}
    bias, on_site = potential.bias.clone(), potential.on_site_gradient(path[1:])
    trained = torch.ones_like(bias) if potential.fixed_bias is None else potential.fixed_bias.logical_not().to(bias)
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
