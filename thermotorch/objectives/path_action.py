"""Actions of stored paths, [time, batch, unit] with one state per time step: minus the log probability of each step.

Each is a tensor [time - 1, batch] whose sum over steps is minus the log probability of the path, up to a constant. A
path of fewer than two times or of another shape is a ValueError.
"""

import torch
from torch import Tensor

from thermotorch.couplings import BlockCouplings
from thermotorch.dynamics import fused, simulate
from thermotorch.dynamics.splitting import flows
from thermotorch.potential import Potential, require_quartic


def forward_action(
    potential: Potential, path: Tensor, *, dt: float, temperature: float, drive: Tensor | None = None
) -> Tensor:
    """Return the Onsager-Machlup action of each step of `path` under `potential`: the objective of teacher and student.

        A = sum_i (dx_i + dt (g_i(x) - f_i))^2 / (4 kT dt),   dx = x' - x,   g = dV/dx,   mobility 1

    It is quadratic in couplings, biases and drive, and needs no simulation of the machine:

        dA/db_i = r_i,   dA/dJ_ij = r_i x_j + r_j x_i,   r_i = (dx_i + dt (g_i(x) - f_i)) / (2 kT)

    Args:
        potential: machine being trained.
        path: [time, batch, unit].
        dt, temperature: time step and kT of the path and of the machine.
        drive: force f, [unit] or [batch, unit], such as the field of clamped pixels.

    Cost: one coupling field per step, all steps in one product.
    Source: Whitelam, PNAS 123, e2528413123 (2026), Eqs. 4-7.
    """
    before, after = _ends(path)
    gradient = potential.gradient(before)
    if drive is not None:
        gradient = gradient - drive
    return (after - before + dt * gradient).square().sum(-1) / (4 * temperature * dt)


@torch.no_grad()
def guide_path(force: Tensor, *, steps: int, dt: float, j2: float = 1.0, j4: float = 1.0) -> Tensor:
    """Return the teacher's path, [steps + 1, batch, unit]: uncoupled units without noise, each pushed by its own force.

        dx_i = (f_i - 2 j2 x_i - 4 j4 x_i^3) dt,   x(0) = 0

    Args:
        force: f, [batch, unit].
        steps, dt, j2, j4: as in `simulate` and `Potential`.

    Source: Whitelam, PNAS 123, e2528413123 (2026), section III.
    """
    potential = Potential(BlockCouplings({"unit": force.shape[1]}, []), j2, 0.0, j4).to(force)
    start = torch.zeros_like(force)
    run = simulate(potential, start, steps=steps, dt=dt, temperature=0.0, seed=0, drive=force, record=1)
    return torch.cat([start[None], run.recorded])


def reverse_action(potential: Potential, path: Tensor, *, dt: float, temperature: float) -> Tensor:
    """Return the Onsager-Machlup action of each step of the time-reversed `path` under `potential`.

        A = sum_i (-dx_i + dt g_i(x'))^2 / (4 kT dt),   dx = x' - x,   g = dV/dx,   mobility 1

    Its mean under the true reverse dynamics is (number of units) / 2. Gradient descent on it is Whitelam's rule for the
    generative thermodynamic computer,

        dA/db_i = r_i,   dA/dJ_ij = r_i x'_j + r_j x'_i,   r_i = (-dx_i + dt g_i(x')) / (2 kT)

    and it is quadratic in couplings and biases: see `closed_form.py`.

    Args:
        potential: machine being trained.
        path: noising trajectories, [time, batch, unit].
        dt, temperature: time step and kT of the paths and of the machine.

    Cost: one coupling field per step and, for the gradient, one outer product. Memory of one copy of the path for a
    gradient in the parameters by the fast core (float32), a few copies otherwise.
    Source: Whitelam, PRL 136, 037101 (2026), Eqs. 10-11.
    """
    before, after = _ends(path)
    if not (path.requires_grad and torch.is_grad_enabled()) and potential.quartic and fused.covers_action(path):
        return fused.reverse_action(potential, path, dt, temperature)
    residual = before - after + dt * potential.gradient(after)
    return residual.square().sum(-1) / (4 * temperature * dt)


def splitting_action(
    potential: Potential,
    path: Tensor,
    *,
    dt: float,
    temperature: float,
    mobility: float | Tensor = 1.0,
    reverse: bool = False,
) -> Tensor:
    """Return minus the log probability of each transition under the splitting scheme, up to its normalisation.

    Observed right after the noise, the scheme C(h/2) N(h/2) O(h) N(h/2) C(h/2) is a chain z with Gaussian transitions
    of constant diagonal variance, at any step h:

        z' = e G(z) + s xi,   G = N(h/2) C(h) N(h/2),   A = sum_i (z'_i - e_i G(z)_i)^2 / (2 s_i^2)

    Its mean under the scheme itself is (number of units) / 2. Unlike the Euler-Maruyama action (`reverse_action`) it is
    not quadratic in the couplings, which enter through an exponential.

    Args:
        potential: machine being trained.
        path: states h apart, [time, batch, unit].
        dt, temperature, mobility: h, kT and mu of the machine, the last two positive.
        reverse: True for the time-reversed path, as in `reverse_action`.

    Cost: one product [time x batch, unit] x [unit, unit] and one matrix exponential (`splitting.flows`), about 6
    products [unit, unit]^2, per call; two or three times that for the gradient.
    """
    require_quartic(potential, "splitting_action")
    before, after = _ends(path)
    if temperature <= 0 or bool((torch.as_tensor(mobility) <= 0).any()):
        raise ValueError("temperature and mobility must be positive: without noise a transition has no density")
    parts = flows(potential, dt=dt, temperature=temperature, mobility=mobility)
    before, after = (after, before) if reverse else (before, after)
    relaxed, push = parts.relax(before), parts.push(None)
    if parts.coupling is None:
        coupled = relaxed + 2 * push
    else:
        coupled = relaxed + relaxed @ parts.coupling.whole + parts.couple(push, push)
    residual = after - parts.decay * parts.relax(coupled)
    return (residual / parts.spread).square().sum(-1) / 2


def _ends(path: Tensor) -> tuple[Tensor, Tensor]:
    """Return the states before and after each step of a path, [time - 1, batch, unit] each."""
    if path.dim() != 3 or len(path) < 2:
        raise ValueError(f"path: expected [time, batch, unit] with at least two times, got {tuple(path.shape)}")
    return path[:-1], path[1:]
