"""The objective of teacher and student: the likelihood of the teacher's path under the student."""

import torch
from torch import Tensor

from thermotorch.couplings import BlockCouplings
from thermotorch.dynamics import simulate
from thermotorch.potential import Potential


def forward_action(
    potential: Potential, path: Tensor, *, dt: float, temperature: float, drive: Tensor | None = None
) -> Tensor:
    """Return the Onsager-Machlup action of each step of `path` under `potential`.

        A = sum_i (dx_i + dt (g_i(x) - f_i))^2 / (4 kT dt),   dx = x' - x,   g = dV/dx,   mobility 1

    Its sum over steps is minus the log probability of the path, up to a constant. It is quadratic in couplings, biases
    and drive, and needs no simulation of the machine:

        dA/db_i = r_i,   dA/dJ_ij = r_i x_j + r_j x_i,   r_i = (dx_i + dt (g_i(x) - f_i)) / (2 kT)

    Args:
        potential: machine being trained.
        path: [time, batch, unit], one state per time step.
        dt, temperature: time step and kT of the path and of the machine.
        drive: force f, [unit] or [batch, unit], such as the field of clamped pixels.

    Returns:
        [time - 1, batch]. Cost: one coupling field per step, all steps in one product.

    Raises:
        ValueError: a path of fewer than two times or not of shape [time, batch, unit].

    Source: Whitelam, PNAS 123, e2528413123 (2026), Eqs. 4-7.
    """
    if path.dim() != 3 or len(path) < 2:
        raise ValueError(f"path: expected [time, batch, unit] with at least two times, got {tuple(path.shape)}")
    before = path[:-1]
    gradient = potential.gradient(before)
    if drive is not None:
        gradient = gradient - drive
    return (path[1:] - before + dt * gradient).square().sum(-1) / (4 * temperature * dt)


@torch.no_grad()
def guide_path(force: Tensor, *, steps: int, dt: float, j2: float = 1.0, j4: float = 1.0) -> Tensor:
    """Return the path of the teacher: uncoupled units without noise, each pushed by its own force from x = 0.

        dx_i = (f_i - 2 j2 x_i - 4 j4 x_i^3) dt

    Args:
        force: f, [batch, unit].
        steps, dt, j2, j4: as in `simulate` and `Potential`.

    Returns:
        [steps + 1, batch, unit].

    Source: Whitelam, PNAS 123, e2528413123 (2026), section III.
    """
    potential = Potential(BlockCouplings({"unit": force.shape[1]}, []), j2, 0.0, j4).to(force)
    start = torch.zeros_like(force)
    run = simulate(potential, start, steps=steps, dt=dt, temperature=0.0, seed=0, drive=force, record=1)
    return torch.cat([start[None], run.recorded])
