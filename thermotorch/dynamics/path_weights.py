"""Log probabilities of a simulated path and of its time reverse: the exact entropy production of the discrete path.

A scheme with Gaussian noise gives each step x -> x' a density p(x' | x). For a path of such steps

    log_forward = sum over steps of ln p_k(x' | x)          log_ratio = log_forward - sum over steps of ln p~_k(x | x')

where p~_k is the density of the same step in the opposite order, at the same force and temperature. Three of these
relations are exact at any time step and in any drive, the last holds up to the time step:

    <rho(x_T) e^(-log_ratio) / p(x_0)> = 1      exact, for starts from p and any density rho: the integral fluctuation
                                                theorem
    log_ratio + ln p(x_0) - ln p_T(x_T)         the entropy produced, in units of k; its mean is not negative: exact
    dV = work - heat                            exact: the first law of `Trajectory`
    log_ratio = heat / kT                       up to O(dt) for every path; exact for uncoupled or two-coloured
                                                quadratic units under "alternating", whose steps obey detailed balance

Sources: Sekimoto, Stochastic Energetics (Springer, 2010); Seifert, Rep. Prog. Phys. 75, 126001 (2012);
Crooks, Phys. Rev. E 60, 2721 (1999); for the Markov chain of a numerical scheme Sivak, Chodera and Crooks, Phys. Rev. X
3, 011007 (2013).
"""

from dataclasses import dataclass
from math import log, pi

import torch
from torch import Tensor

from thermotorch.dynamics import splitting
from thermotorch.dynamics.integrators import INTEGRATORS
from thermotorch.dynamics.observe import Transition
from thermotorch.potential import Potential

_HALF_LOG_2_PI = 0.5 * log(2 * pi)


@dataclass(frozen=True)
class PathWeightsResult:
    """Log weights of each path, float64 [batch]; the weights of consecutive runs add up."""

    log_forward: Tensor  # ln P[path | its start]
    log_ratio: Tensor  # ln P[path | its start] - ln P~[reversed path | its end]; heat / kT up to the time step

    @property
    def log_reverse(self) -> Tensor:
        """Return ln P~[reversed path | its end]."""
        return self.log_forward - self.log_ratio

    def __add__(self, other: "PathWeightsResult") -> "PathWeightsResult":
        return PathWeightsResult(self.log_forward + other.log_forward, self.log_ratio + other.log_ratio)


@dataclass(frozen=True)
class PathWeights:
    """Observer of the log weights of every path and of its time reverse, exact for the integrator in use.

    Three integrators have a transition density:

        euler_maruyama   x' = x + mu dt (f - dV/dx) + a xi, in the reverse x = x' + mu dt (f - dV/dx(x')) + a xi'
        alternating      the reverse moves the first colour before the second, each in the same field as before
        splitting        C N O N C is its own reverse; couplings without a diagonal keep volumes, so only N has a slope

    No step leads to a state beyond the reach of the quartic half step N of the last two, so that log_ratio is +inf for
    a start there or, under "splitting", for the state at which a drive jumps.

    Args:
        potential: potential of the simulation.
        reverse: potential of the reversed path, such as a machine in training; default: the same.
        reverse_driven: True if the run's drive also acts on the reversed path.

    Result: a `PathWeightsResult`; clamped units carry no weight. Refused at temperature 0 and for other integrators.
    Cost: on the CPU backend, under `torch.no_grad`, with the default `reverse` and not for "splitting", the run itself
    sums them, without further coupling fields: 2-4 % more time for 1296 units fully coupled, 12 % for 784 + 512 units
    under "alternating", 36 % for 32 units (processor time, one thread, batches of 64, 64 and 1000). Otherwise torch
    processes the steps one by one, differentiably, in six to seven times the time.
    """

    potential: Potential
    reverse: Potential | None = None
    reverse_driven: bool = True

    def of_run(self, potential: Potential) -> bool:
        """Return True if both directions have the potential and the drive of a run of `potential`."""
        return self.potential is potential and self.reverse in (None, potential) and self.reverse_driven

    def start(self, state: Tensor) -> tuple[Tensor, Tensor]:
        zero = state.new_zeros(len(state), dtype=torch.float64)
        return zero, zero

    def update(self, carry: tuple[Tensor, Tensor], transition: Transition) -> tuple[Tensor, Tensor]:
        step = transition
        density = INTEGRATORS[step.integrator].density
        if density is None:
            raise ValueError(f"integrator={step.integrator!r} has no transition density")
        forth = density(self.potential, step, step.before, step.after, step.drive)
        drive = step.drive if self.reverse_driven else None
        back = density(self.reverse or self.potential, step, step.after, step.before, drive)
        free = torch.as_tensor(step.mobility, device=step.before.device).expand(step.before.shape[1]) > 0
        # The two sums of squares nearly cancel, so they are subtracted unit by unit.
        ratio = (back.residual - forth.residual) * (back.residual + forth.residual) / 2 + back.width - forth.width
        forward = -forth.residual.square() / 2 - forth.width - _HALF_LOG_2_PI
        lost = torch.where((free & ~back.reachable).any(-1), torch.inf, 0.0)
        return carry[0] + _sum(forward, free), carry[1] + _sum(ratio, free) + lost

    def result(self, carry: tuple[Tensor, Tensor]) -> PathWeightsResult:
        return PathWeightsResult(*carry)


def _sum(values: Tensor, free: Tensor) -> Tensor:
    return torch.where(free, values, 0.0).double().sum(-1)


def log_width(
    potential: Potential, *, integrator: str, dt: float, temperature: float, mobility: Tensor | float
) -> float:
    """Return the sum over the free units of ln sqrt(2 pi) plus the logarithm of the width of a step's noise."""
    flows = splitting.on_site(potential, dt=dt, temperature=temperature, mobility=mobility)
    width = flows.spread if INTEGRATORS[integrator].exact_flows else (2 * temperature * flows.rate).sqrt()
    return float((width[flows.rate > 0].double().log() + _HALF_LOG_2_PI).sum())


def refusal(integrator: str, temperature: float) -> str | None:
    """Return the reason why paths of such a run have no weights, or None."""
    if INTEGRATORS[integrator].density is None:
        names = ", ".join(repr(name) for name, scheme in INTEGRATORS.items() if scheme.density is not None)
        return f"integrator={integrator!r} has no transition density, expected one of {names}"
    if temperature == 0:
        return "at temperature 0 a path has no density; write a positive temperature"
    return None
