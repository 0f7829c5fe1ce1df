"""The objective of the generative thermodynamic computer: the likelihood of the time-reversed noising path."""

import torch
from torch import Tensor

from thermotorch.dynamics import fused
from thermotorch.potential import Potential


def reverse_action(potential: Potential, path: Tensor, *, dt: float, temperature: float) -> Tensor:
    """Return the Onsager-Machlup action of each step of the time-reversed `path` under `potential`.

        A = sum_i (-dx_i + dt g_i(x'))^2 / (4 kT dt),   dx = x' - x,   g = dV/dx,   mobility 1

    Its mean under the true reverse dynamics is (number of units) / 2. Its sum over steps is minus the log probability
    of the reversed path, up to a constant. Gradient descent on it is Whitelam's learning rule,

        dA/db_i = r_i,   dA/dJ_ij = r_i x'_j + r_j x'_i,   r_i = (-dx_i + dt g_i(x')) / (2 kT)

    and it is quadratic in couplings and biases: see `closed_form.py`.

    Args:
        potential: machine being trained.
        path: noising trajectories, [time, batch, unit], one state per time step.
        dt, temperature: time step and kT of the paths and of the machine.

    Returns:
        [time - 1, batch].

    Cost: one coupling field per step and, for the gradient, one outer product. Memory of one copy of the path for a
    gradient in the parameters by the fast core (float32), a few copies otherwise.

    Raises:
        ValueError: a path of fewer than two times or not of shape [time, batch, unit].

    Source: Whitelam, PRL 136, 037101 (2026), Eqs. 10-11.
    """
    if path.dim() != 3 or len(path) < 2:
        raise ValueError(f"path: expected [time, batch, unit] with at least two times, got {tuple(path.shape)}")
    if not (path.requires_grad and torch.is_grad_enabled()) and potential.quartic and fused.covers_action(path):
        return fused.reverse_action(potential, path, dt, temperature)
    after = path[1:]
    residual = path[:-1] - after + dt * potential.gradient(after)
    return residual.square().sum(-1) / (4 * temperature * dt)
