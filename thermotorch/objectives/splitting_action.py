"""The likelihood of coarse paths: the transition density of the splitting scheme."""

import torch
from torch import Tensor

from thermotorch.dynamics.splitting import flows
from thermotorch.potential import Potential, require_quartic


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

    Returns:
        [time - 1, batch].

    Raises:
        ValueError: a path of fewer than two times or not of shape [time, batch, unit]; no temperature or mobility.

    Cost: one product [time x batch, unit] x [unit, unit] and one matrix exponential (`splitting.flows`), about 6
    products [unit, unit]^2, per call; two or three times that for the gradient.
    """
    require_quartic(potential, "splitting_action")
    if path.dim() != 3 or len(path) < 2:
        raise ValueError(f"path: expected [time, batch, unit] with at least two times, got {tuple(path.shape)}")
    if temperature <= 0 or bool((torch.as_tensor(mobility) <= 0).any()):
        raise ValueError("temperature and mobility must be positive: without noise a transition has no density")
    parts = flows(potential, dt=dt, temperature=temperature, mobility=mobility)
    before, after = (path[1:], path[:-1]) if reverse else (path[:-1], path[1:])
    relaxed, push = parts.relax(before), parts.push(None)
    if parts.coupling is None:
        coupled = relaxed + 2 * push
    else:
        coupled = relaxed + relaxed @ parts.coupling.whole + parts.couple(push, push)
    residual = after - parts.decay * parts.relax(coupled)
    return (residual / parts.spread).square().sum(-1) / 2
