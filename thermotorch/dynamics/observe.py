"""Observers: quantities accumulated inside the simulation loop, so that no trajectory needs to be stored.

An observer consists of three pure functions and a carry: `start(state)` returns the first carry,
`update(carry, transition)` the next one, and `result(carry)` the value of `trajectory.observed[name]`. Any object with
these methods is an observer.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from thermotorch.potential import Potential


class Transition(NamedTuple):
    """One step of a run, for observers. `drive` is the external force during the step, or None."""

    step: int
    before: Tensor  # [batch, unit]
    after: Tensor  # [batch, unit]
    drive: Tensor | None
    dt: float
    temperature: float
    mobility: Tensor | float  # zero where clamped; 1 / (mass friction) of underdamped units
    integrator: str = "euler_maruyama"
    velocity_before: Tensor | None = None  # [batch, unit], of underdamped units
    velocity_after: Tensor | None = None


class Observer(Protocol):
    def start(self, state: Tensor) -> Any: ...
    def update(self, carry: Any, transition: Transition) -> Any: ...
    def result(self, carry: Any) -> Any: ...


class MomentsResult(NamedTuple):
    """Averages over the counted steps. `covariance` is pooled over samples and steps, or None unless requested."""

    count: int  # type: ignore[assignment]  # the field hides a method of tuples
    mean: Tensor  # [batch, unit]
    variance: Tensor  # [batch, unit]
    covariance: Tensor | None  # [unit, unit]


_Sums = tuple[int, Tensor, Tensor, Tensor | None]  # number of counted steps, and the sums of x, x^2 and x x^T


@dataclass(frozen=True)
class Moments:
    """Time averages of x and x^2 per sample and, on request, the covariance matrix over samples and time.

    Args:
        warmup: number of the first step that can count.
        every: interval between counted steps.
        covariance: True to accumulate x x^T too, [unit, unit], at one matrix product per counted step.

    Sums are in float64, so that long runs lose no precision.
    """

    warmup: int = 0
    every: int = 1
    covariance: bool = False

    def start(self, state: Tensor) -> _Sums:
        zero = torch.zeros_like(state, dtype=torch.float64)
        unit = state.shape[-1]
        return 0, zero, zero, zero.new_zeros(unit, unit) if self.covariance else None

    def update(self, carry: _Sums, transition: Transition) -> _Sums:
        finished = transition.step + 1 - self.warmup
        if finished <= 0 or finished % self.every:
            return carry
        count, first, second, product = carry
        x = transition.after.double()
        return count + 1, first + x, second + x * x, None if product is None else product + x.T @ x

    def result(self, carry: _Sums) -> MomentsResult:
        count, first, second, product = carry
        if count == 0:
            raise ValueError(f"Moments(warmup={self.warmup}, every={self.every}) saw no step; run longer or lower them")
        mean = first / count
        if product is not None:
            pooled = mean.mean(0)
            product = product / (count * len(mean)) - torch.outer(pooled, pooled)
        return MomentsResult(count, mean, second / count - mean * mean, product)


@dataclass(frozen=True)
class PathAction:
    """Onsager-Machlup action of the path: minus its log probability under `potential`, up to the noise's normalisation.

        forward:  sum over steps and units (dx + mu dt g(x) )^2 / (4 mu kT dt)
        reverse:  sum over steps and units (-dx + mu dt g(x'))^2 / (4 mu kT dt)

    with dx = x' - x and g = dV/dx - f. The reverse action is that of the time-reversed path, so `reverse - forward` is
    the log ratio of path weights. Exact for Euler-Maruyama steps at any dt; clamped units carry no weight.

    Args:
        potential: potential of the path weight, which may differ from that of the run.
        reverse: True for the time-reversed path.
        driven: True to add the run's drive f to the force, False for a machine that runs without it.

    Result: float64 [batch], since `reverse - forward` is a small difference of large sums. Infinite at temperature 0.
    Cost: one coupling field per step. Source: Whitelam, PRL 136, 037101 (2026), Eqs. 7 and 10.
    """

    potential: Potential
    reverse: bool = False
    driven: bool = True

    def start(self, state: Tensor) -> Tensor:
        return state.new_zeros(state.shape[0], dtype=torch.float64)

    def update(self, carry: Tensor, transition: Transition) -> Tensor:
        before, after, dt = transition.before, transition.after, transition.dt
        gradient = self.potential.gradient(after if self.reverse else before)
        if self.driven and transition.drive is not None:
            gradient = gradient - transition.drive
        mobility = torch.as_tensor(transition.mobility, dtype=before.dtype, device=before.device)
        displacement = before - after if self.reverse else after - before
        residual = displacement + mobility * dt * gradient
        # A clamped unit has residual 0; dividing it by 1 instead of 0 keeps NaN out of the gradient too.
        weight = torch.where(mobility > 0, 4 * mobility * transition.temperature * dt, 1.0)
        return carry + (residual**2 / weight).sum(-1)

    def result(self, carry: Tensor) -> Tensor:
        return carry
