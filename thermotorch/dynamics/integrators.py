"""Time steps of overdamped Langevin dynamics, dx = mu (f - dV/dx) dt + sqrt(2 mu kT dt) xi.

One function per scheme, `(x, step, system) -> x at step + 1`; the loop lives in the backend. A new scheme is one
function and one line in `INTEGRATORS`. The drive f is held during a step (a controller that updates once per step), so
the work `f . (x' - x)` is exact for every scheme. Weak orders below are for expectations at a fixed time.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from thermotorch.dynamics.splitting import Flows, OnSite


@dataclass(frozen=True)
class System:
    """What a step needs: `drift(x, step)` is mu (f - dV/dx), `kick` sqrt(2 mu kT dt), `noise(step)` [batch, unit].

    Schemes made of exact flows need other things: `splitting` has `flows` and `push(step)`, the effect of drive and
    biases in half a step; `alternating` has its on-site `flows`, `force(x, step)`, which is f - b - J x, and `second`,
    the units of the second colour.
    """

    drift: Callable[[Tensor, int], Tensor]
    noise: Callable[[int], Tensor]
    kick: Tensor | float
    dt: float
    flows: Flows | OnSite | None = None
    push: Callable[[int], Tensor] | None = None
    force: Callable[[Tensor, int], Tensor] | None = None
    second: Tensor | None = None


Integrator = Callable[[Tensor, int, System], Tensor]


def euler_maruyama(x: Tensor, step: int, system: System) -> Tensor:
    """x + dt drift(x) + kick xi. Weak order 1, one force. The scheme of all the published thermodynamic computers."""
    return x + system.dt * system.drift(x, step) + system.kick * system.noise(step)


def heun(x: Tensor, step: int, system: System) -> Tensor:
    """Trapezoidal drift along an Euler-Maruyama guess, same noise in both.

    Weak order 2 (additive noise), two forces.
    """
    kick = system.kick * system.noise(step)
    drift = system.drift(x, step)
    guess = x + system.dt * drift + kick
    return x + 0.5 * system.dt * (drift + system.drift(guess, step)) + kick


def leimkuhler_matthews(x: Tensor, step: int, system: System) -> Tensor:
    """x + dt drift(x) + kick (xi_k + xi_{k+1}) / 2. One force.

    Order 2 for equilibrium averages, exact for the variance of a quadratic potential; order 1 before that.
    Source: Leimkuhler and Matthews, Appl. Math. Res. Express 2013, 34 (2013).
    """
    noise = 0.5 * (system.noise(step) + system.noise(step + 1))
    return x + system.dt * system.drift(x, step) + system.kick * noise


def splitting(x: Tensor, step: int, system: System) -> Tensor:
    """C(h/2) N(h/2) O(h) N(h/2) C(h/2): couplings and forces, quartic part, quadratic part with noise, each exact.

    Weak order 2, one normal, stable at any dt in the quartic part. Two products with a dense [unit, unit] matrix as
    written here; the fast backends merge the last of a step with the first of the next. `splitting.py` has the flows.
    """
    flows, push = system.flows, system.push(step)
    x = flows.relax(flows.couple(x, push))
    return flows.couple(flows.relax(flows.diffuse(x, system.noise(step))), push)


def alternating(x: Tensor, step: int, system: System) -> Tensor:
    """The units of the second colour, then those of the first, each by N(h/2) O(h) N(h/2) in the field of the others.

    O with a constant force F is e x + F gain + s xi. For couplings between two colours only (`alternating.py`). Weak
    order 1 in general, as strong a splitting as `splitting` up to half a step of one colour; every block of the
    couplings once per step, no exponential, stable at any dt in the quartic part.
    """
    flows, xi = system.flows, system.noise(step)
    for colour in (system.second, ~system.second):
        moved = flows.relax(flows.diffuse(flows.relax(x), xi) + flows.gain * system.force(x, step))
        x = torch.where(colour, moved, x)
    return x


INTEGRATORS: dict[str, Integrator] = {
    "euler_maruyama": euler_maruyama,
    "heun": heun,
    "leimkuhler_matthews": leimkuhler_matthews,
    "splitting": splitting,
    "alternating": alternating,
}
