"""The minimum of the reverse-path action, by one linear solve.

With y = -dx + dt (on-site gradient at x'), the action of a step is |y + dt (b + J x')|^2 / (4 kT dt): quadratic in (J,
b). Its mean over steps and trajectories needs only second moments of (x', y), and its minimum under the coupling mask M
obeys

    M * (R + R^T) + ridge J = 0,   <r> = 0 where biases are trained,
    R = <r x'^T> = <y x'^T> + dt (J <x' x'^T> + b <x'>^T),   <r> = <y> + dt (J <x'> + b)

which conjugate gradients solve. Source: Whitelam, PRL 136, 037101 (2026), Eq. 10, for the objective; the solution is
ours.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from thermotorch.dynamics import Transition
from thermotorch.potential import Potential, require_quartic

_ROWS_PER_PRODUCT = 1024


class ReverseStatistics(NamedTuple):
    """Sums over the steps of noising paths."""

    steps: Tensor  # []
    x: Tensor  # [unit], sum of x'
    y: Tensor  # [unit], sum of y
    xx: Tensor  # [unit, unit], sum of x' x'^T
    yx: Tensor  # [unit, unit], sum of y x'^T
    yy: Tensor  # [], sum of |y|^2

    def merge(self, other: "ReverseStatistics") -> "ReverseStatistics":
        """Return the sums over the steps of both."""
        return ReverseStatistics(*(a + b for a, b in zip(self, other, strict=True)))


@dataclass(frozen=True)
class ReverseMoments:
    """Observer that gathers the `ReverseStatistics` of a noising run.

    Args:
        potential: machine being trained, whose on-site coefficients enter y.

    It multiplies about a thousand rows of x' and y at a time in the precision of the state, and keeps the sums in
    float64. Cost per step: two products [unit, batch] x [batch, unit].
    """

    potential: Potential

    def __post_init__(self) -> None:
        require_quartic(self.potential, "ReverseMoments")

    def start(self, state: Tensor) -> "_Carry":
        return empty_statistics(state), [], []

    def update(self, carry: "_Carry", transition: Transition) -> "_Carry":
        _, xs, ys = carry
        x = transition.after
        xs.append(x)
        ys.append(transition.before - x + transition.dt * self.potential.on_site_gradient(x))
        return self._summed(carry) if len(xs) * len(x) >= _ROWS_PER_PRODUCT else carry

    def result(self, carry: "_Carry") -> ReverseStatistics:
        return self._summed(carry)[0]

    @staticmethod
    def _summed(carry: "_Carry") -> "_Carry":
        total, xs, ys = carry
        if xs:
            x, y = torch.cat(xs), torch.cat(ys)
            sums = torch.tensor(len(x)), x.sum(0), y.sum(0), x.T @ x, y.T @ x, y.double().square().sum()
            for kept, new in zip(total, sums, strict=True):
                kept += new
        return total, [], []


def empty_statistics(like: Tensor) -> ReverseStatistics:
    """Return the statistics of no steps, for states like [..., unit]."""
    unit = like.shape[-1]
    shapes = (), (unit,), (unit,), (unit, unit), (unit, unit), ()
    return ReverseStatistics(*(like.new_zeros(shape, dtype=torch.float64) for shape in shapes))


_Carry = tuple[ReverseStatistics, list[Tensor], list[Tensor]]  # sums so far; rows of x' and y still to be added


class ClosedFormFit(NamedTuple):
    """Minimum of the action."""

    couplings: Tensor  # [unit, unit], symmetric, zero outside the mask
    bias: Tensor  # [unit]
    ridge: float
    action: float  # mean per step of the fitted paths
    validation_action: float  # mean per step of the held-out paths
    iterations: int  # conjugate-gradient iterations for all ridges together


def mean_action(
    statistics: ReverseStatistics, couplings: Tensor, bias: Tensor, *, dt: float, temperature: float
) -> float:
    """Return the mean action per step of couplings [unit, unit] and bias [unit]."""
    s = statistics
    jxx = couplings @ s.xx
    squares = (couplings * jxx).sum() + 2 * (bias @ (couplings @ s.x)) + s.steps * bias.square().sum()
    cross = (couplings * s.yx).sum() + bias @ s.y
    return float((s.yy + 2 * dt * cross + dt**2 * squares) / s.steps / (4 * temperature * dt))


def fit_closed_form(
    statistics: ReverseStatistics,
    validation: ReverseStatistics,
    mask: Tensor,
    bias_mask: Tensor,
    *,
    dt: float,
    temperature: float,
    ridges: tuple[float, ...] = (30.0, 10.0, 3.0, 1.0, 0.3),
    tolerance: float = 1e-3,
    max_iterations: int = 500,
) -> ClosedFormFit:
    """Minimise the mean reverse-path action, with the ridge that gives held-out paths the least action.

    Args:
        statistics, validation: statistics of disjoint sets of noising trajectories; the second chooses the ridge.
        mask: existing bonds, bool [unit, unit].
        bias_mask: trained biases, bool [unit].
        dt, temperature: time step and kT of the paths.
        ridges: candidate strengths in units of dt times the mean of <x'^2>, largest first; each starts from the last.
        tolerance: norm of the residual at which to stop, relative to that of J = b = 0.
        max_iterations: most iterations for each ridge.

    Cost: one eigendecomposition, then five float64 products [unit, unit]^2 per iteration, tens of iterations.
    """
    best: ClosedFormFit | None = None
    point, iterations = (torch.zeros_like(statistics.xx), torch.zeros_like(statistics.x)), 0
    for ridge in ridges:
        solver = _NormalEquations(statistics, mask, bias_mask, dt, ridge)
        point, used = _conjugate_gradients(solver, point, tolerance, max_iterations)
        iterations += used
        couplings, bias = point
        action = mean_action(validation, couplings, bias, dt=dt, temperature=temperature)
        if best is None or action < best.validation_action:
            fitted = mean_action(statistics, couplings, bias, dt=dt, temperature=temperature)
            best = ClosedFormFit(couplings, bias, ridge, fitted, action, iterations)
    if best is None:
        raise ValueError("ridges must hold at least one value")
    return best._replace(iterations=iterations)


_Point = tuple[Tensor, Tensor]  # (couplings [unit, unit] symmetric, bias [unit])


class _NormalEquations:
    """Linear map of the conditions above, symmetric in the inner product that counts each bond once."""

    def __init__(self, statistics: ReverseStatistics, mask: Tensor, bias_mask: Tensor, dt: float, ridge: float) -> None:
        s, self.dt, self.mask, self.bias_mask = statistics, dt, mask.double(), bias_mask.double()
        self.x, self.y, self.xx, self.yx = (total / s.steps for total in (s.x, s.y, s.xx, s.yx))
        self.ridge = ridge * dt * self.xx.diagonal().mean()
        values, self.basis = torch.linalg.eigh(self.xx)
        self.scale = dt * (values[:, None] + values[None, :]).clamp_min(0.0) + self.ridge

    def negative_constant(self) -> _Point:
        return -self.mask * (self.yx + self.yx.T), -self.bias_mask * self.y

    def __call__(self, point: _Point) -> _Point:
        couplings, bias = point
        product = self.dt * (couplings @ self.xx + torch.outer(bias, self.x))
        return (
            self.mask * (product + product.T) + self.ridge * couplings,
            self.bias_mask * self.dt * (couplings @ self.x + bias),
        )

    def precondition(self, point: _Point) -> _Point:
        """Return the solution for a mask of ones: one division per equation in the eigenbasis of <x' x'^T>."""
        couplings, bias = point
        solved = self.basis @ ((self.basis.T @ couplings @ self.basis) / self.scale) @ self.basis.T
        return self.mask * (0.5 * (solved + solved.T)), bias / self.dt  # symmetric to the last bit


def _inner(a: _Point, b: _Point) -> Tensor:
    return 0.5 * (a[0] * b[0]).sum() + a[1] @ b[1]


def _add(a: _Point, factor: Tensor | float, b: _Point) -> _Point:
    return a[0] + factor * b[0], a[1] + factor * b[1]


def _conjugate_gradients(equations: _NormalEquations, point: _Point, tolerance: float, most: int) -> tuple[_Point, int]:
    constant = equations.negative_constant()
    residual = _add(constant, -1.0, equations(point))
    goal = tolerance * _inner(constant, constant).sqrt()
    direction = conditioned = equations.precondition(residual)
    weight = _inner(residual, conditioned)
    for iteration in range(most):
        if _inner(residual, residual).sqrt() <= goal:
            return point, iteration
        image = equations(direction)
        length = weight / _inner(direction, image)
        point, residual = _add(point, length, direction), _add(residual, -length, image)
        conditioned = equations.precondition(residual)
        weight, old = _inner(residual, conditioned), weight
        direction = _add(conditioned, weight / old, direction)
    return point, most
