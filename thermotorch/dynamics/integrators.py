"""Time steps of overdamped Langevin dynamics, dx = mu (f - dV/dx) dt + sqrt(2 mu kT dt) xi.

Each scheme is a function `(x, step, system) -> x at step + 1` with one record of its properties for the rest of the
library, for some with the transition density p(end | start) of a step. The loop over the steps is in `loop.py`. The
drive f is constant during a step (a controller that updates once per step), so that the work `f . (x' - x)` is exact
for every scheme. Weak orders are for expectations at a fixed time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

from thermotorch.dynamics import splitting as exact
from thermotorch.dynamics.alternating import second_colour
from thermotorch.dynamics.observe import Transition
from thermotorch.potential import Potential, require_quartic


@dataclass(eq=False)  # not frozen: torch 2.11 cannot trace the construction of a frozen one that holds a function
class Force:
    """A validated drive: `force(step)` is [unit] or [batch, unit]; `constant` is that tensor if it never changes."""

    at: Callable[[int], Tensor]
    constant: Tensor | None = None

    def __call__(self, step: int) -> Tensor:
        return self.at(step)


@dataclass(frozen=True)
class System:
    """Forces and noise: `drift(x, step)` mu (f - dV/dx), `amplitude` sqrt(2 mu kT dt), `noise(step)` [batch, unit]."""

    drift: Callable[[Tensor, int], Tensor]
    noise: Callable[[int], Tensor]
    amplitude: Tensor | float
    dt: float


@dataclass(frozen=True)
class SplitSystem(System):
    """A system with exact flows and `push(step)`, the displacement by drive and biases in half a step of C."""

    flows: exact.Flows
    push: Callable[[int], Tensor]

    @classmethod
    def of(
        cls, system: System, potential: Potential, drive: Force | None, temperature: float, mobility: Tensor | float
    ) -> "SplitSystem":
        flows = exact.flows(potential, dt=system.dt, temperature=temperature, mobility=mobility)
        constant = flows.push(drive.constant if drive else None)

        def push(step: int) -> Tensor:
            return constant if drive is None or drive.constant is not None else flows.push(drive(step))

        return cls(**vars(system), flows=flows, push=push)


@dataclass(frozen=True)
class ColouredSystem(System):
    """A system with on-site flows, `force(x, step)` = f - b - J x, and `second`, the mask of the second colour."""

    flows: exact.OnSite
    force: Callable[[Tensor, int], Tensor]
    second: Tensor

    @classmethod
    def of(
        cls, system: System, potential: Potential, drive: Force | None, temperature: float, mobility: Tensor | float
    ) -> "ColouredSystem":
        flows = exact.on_site(potential, dt=system.dt, temperature=temperature, mobility=mobility)
        field = potential.couplings.bind()

        def force(x: Tensor, step: int) -> Tensor:
            return (0.0 if drive is None else drive(step)) - flows.bias - field(x)

        second = second_colour(potential.couplings.pieces(), potential.num_units).to(potential.bias.device)
        return cls(**vars(system), flows=flows, force=force, second=second)


def euler_maruyama(x: Tensor, step: int, system: System) -> Tensor:
    """Return x + dt drift(x) + amplitude xi. Weak order 1, one force; the scheme of the published simulations."""
    return x + system.dt * system.drift(x, step) + system.amplitude * system.noise(step)


def heun(x: Tensor, step: int, system: System) -> Tensor:
    """Return x + dt (drift(x) + drift(guess)) / 2 + amplitude xi, with the Euler-Maruyama step as the guess.

    Weak order 2 (additive noise), two forces.
    """
    increment = system.amplitude * system.noise(step)
    drift = system.drift(x, step)
    guess = x + system.dt * drift + increment
    return x + 0.5 * system.dt * (drift + system.drift(guess, step)) + increment


def leimkuhler_matthews(x: Tensor, step: int, system: System) -> Tensor:
    """Return x + dt drift(x) + amplitude (xi_k + xi_{k+1}) / 2. One force.

    Order 2 for equilibrium averages, exact for the variance of a quadratic potential; order 1 before that.
    Source: Leimkuhler and Matthews, Appl. Math. Res. Express 2013, 34 (2013).
    """
    noise = 0.5 * (system.noise(step) + system.noise(step + 1))
    return x + system.dt * system.drift(x, step) + system.amplitude * noise


def splitting(x: Tensor, step: int, system: SplitSystem) -> Tensor:
    """Apply the exact flows C(h/2) N(h/2) O(h) N(h/2) C(h/2): couplings and forces, quartic part, quadratic with noise.

    Weak order 2, one normal, stable at any dt in the quartic part. Two products with a dense [unit, unit] matrix as
    written here; the fast backends merge the last of a step with the first of the next. `splitting.py` has the flows.
    """
    flows, push = system.flows, system.push(step)
    x = flows.relax(flows.couple(x, push))
    return flows.couple(flows.relax(flows.diffuse(x, system.noise(step))), push)


def alternating(x: Tensor, step: int, system: ColouredSystem) -> Tensor:
    """Move the second colour, then the first, each by N(h/2) O(h) N(h/2) in the field of the other units.

    O with a constant force F is e x + F gain + s xi. For couplings between two colours only (`alternating.py`). Weak
    order 1 in general; equal to a symmetric splitting up to half a step of one colour. Each step multiplies by every
    block of the couplings once and needs no exponential; it is stable at any dt in the quartic part.
    """
    flows, xi = system.flows, system.noise(step)
    for colour in (system.second, ~system.second):
        moved = flows.relax(flows.diffuse(flows.relax(x), xi) + flows.gain * system.force(x, step))
        x = torch.where(colour, moved, x)
    return x


class StepDensity(NamedTuple):
    """The terms of ln p(end | start) = -residual^2 / 2 - width - ln sqrt(2 pi) for each free unit, and its support."""

    residual: Tensor
    width: Tensor
    reachable: Tensor


# (potential, step, start, end, drive) -> density of the move from `start` to `end` under the conditions of `step`
Density = Callable[[Potential, Transition, Tensor, Tensor, Tensor | None], StepDensity]


def _euler_maruyama_density(
    potential: Potential, step: Transition, start: Tensor, end: Tensor, drive: Tensor | None
) -> StepDensity:
    gradient = potential.gradient(start) if drive is None else potential.gradient(start) - drive
    rate = torch.as_tensor(step.mobility, dtype=start.dtype, device=start.device).expand(start.shape[1]) * step.dt
    amplitude = torch.where(rate > 0, 2 * step.temperature * rate, 1.0).sqrt()
    return StepDensity(
        (end - start + rate * gradient) / amplitude, amplitude.log(), torch.ones_like(start, dtype=torch.bool)
    )


def _alternating_density(
    potential: Potential, step: Transition, start: Tensor, end: Tensor, drive: Tensor | None
) -> StepDensity:
    flows = exact.on_site(potential, dt=step.dt, temperature=step.temperature, mobility=step.mobility)
    second = second_colour(potential.couplings.pieces(), potential.num_units).to(start.device)
    # During each move, forwards and backwards, colour 1 is at its new state and colour 0 at its old one.
    between = torch.where(second, step.after, step.before)
    force = (0.0 if drive is None else drive) - flows.bias - potential.couplings(between)
    z, slope, reachable = flows.unrelax(end)
    spread = torch.where(flows.spread > 0, flows.spread, 1.0)
    residual = (z - flows.decay * flows.relax(start) - flows.gain * force) / spread
    return StepDensity(residual, spread.log() + slope, reachable)


def _splitting_density(
    potential: Potential, step: Transition, start: Tensor, end: Tensor, drive: Tensor | None
) -> StepDensity:
    flows = exact.flows(potential, dt=step.dt, temperature=step.temperature, mobility=step.mobility)
    push = flows.push(drive)
    back = exact.coupling_flow(potential.couplings, -0.5 * flows.rate)
    moved = end - push if back is None else end - push + (end - push) @ back.half
    z, slope, reachable = flows.unrelax(moved)
    spread = torch.where(flows.spread > 0, flows.spread, 1.0)
    residual = (z - flows.decay * flows.relax(flows.couple(start, push))) / spread
    return StepDensity(residual, spread.log() + slope, reachable)


def _require_colours(potential: Potential, scheme: str) -> None:
    require_quartic(potential, scheme)
    second_colour(potential.couplings.pieces(), potential.num_units)


S = TypeVar("S", bound=System)


@dataclass(frozen=True)
class Integrator(Generic[S]):
    """The record of a scheme: its step function and the properties that the rest of the library reads.

    Args:
        step: step function (state, step number, system) -> state one step later.
        order: weak order at a fixed time.
        fields: number of coupling fields per step, for the FLOPs of `thermotorch::langevin`.
        system: function (System, potential, drive, temperature, mobility) -> system for `step`; default: the first.
        require: check (potential, name of the argument) that raises a ValueError for a potential outside the scheme.
        exact_flows: True for a composition of exact flows of the quartic well, which never diverges and whose noise has
            the spread of the flow O.
        density: transition density of a step, or None; see `path_weights.py`.
    """

    step: Callable[[Tensor, int, S], Tensor]
    order: int
    fields: int = 1
    system: Callable[[System, Potential, Force | None, float, Tensor | float], S] = lambda system, *_: system
    require: Callable[[Potential, str], None] | None = None
    exact_flows: bool = False
    density: Density | None = None


INTEGRATORS: dict[str, Integrator[Any]] = {
    "euler_maruyama": Integrator(euler_maruyama, order=1, density=_euler_maruyama_density),
    "heun": Integrator(heun, order=2, fields=2),
    "leimkuhler_matthews": Integrator(leimkuhler_matthews, order=1),
    "splitting": Integrator(
        splitting, order=2, fields=2, system=SplitSystem.of, require=require_quartic, exact_flows=True,
        density=_splitting_density,
    ),
    "alternating": Integrator(
        alternating, order=1, system=ColouredSystem.of, require=_require_colours, exact_flows=True,
        density=_alternating_density,
    ),
}  # fmt: skip
