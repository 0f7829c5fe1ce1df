"""The reverse-path action minimised in one linear solve.

With y = -dx + dt (on-site gradient at x'), the action of a step is |y + dt (b + J x')|^2 / (4 kT dt): quadratic in (J,
b). Its mean over steps and trajectories needs only second moments of (x', y), and its minimum under the coupling mask M
obeys

    M * (R + R^T) + ridge J = 0,   <r> = 0 where biases are trained,
    R = <r x'^T> = <y x'^T> + dt (J <x' x'^T> + b <x'>^T),   <r> = <y> + dt (J <x'> + b)

which conjugate gradients solve with one matrix product per iteration. Source: observed for thermotorch; the objective
is that of Whitelam, PRL 136, 037101 (2026), Eq. 10.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from thermotorch.dynamics import Transition
from thermotorch.potential import Potential, require_quartic

_ROWS_PER_PRODUCT = 1024


class ReverseStatistics(NamedTuple):
    """Sums over the steps of noising paths; two of them add up field by field."""

    count: Tensor  # [], number of steps
    x: Tensor  # [unit], sum of x'
    y: Tensor  # [unit], sum of y
    xx: Tensor  # [unit, unit], sum of x' x'^T
    yx: Tensor  # [unit, unit], sum of y x'^T
    yy: Tensor  # [], sum of |y|^2

    def merge(self, other: "ReverseStatistics") -> "ReverseStatistics":
        return ReverseStatistics(*(a + b for a, b in zip(self, other, strict=True)))


@dataclass(frozen=True)
class ReverseMoments:
    """Observer that gathers `ReverseStatistics` of a noising run, for the on-site potential of `potential`.

    Rows of x' and y are collected and multiplied about a thousand at a time, in the state's precision; sums over those
    blocks are kept in float64 and updated in place. Cost per step: two products [unit, batch] x [batch, unit].
    """

    potential: Potential

    def __post_init__(self) -> None:
        require_quartic(self.potential, "ReverseMoments")

    def start(self, state: Tensor) -> tuple[ReverseStatistics, list[Tensor], list[Tensor]]:
        return empty_statistics(state), [], []

    def update(self, carry: tuple, transition: Transition) -> tuple:
        _, xs, ys = carry
        x = transition.after
        xs.append(x)
        ys.append(transition.before - x + transition.dt * self.potential.on_site_gradient(x))
        return self._summed(carry) if len(xs) * len(x) >= _ROWS_PER_PRODUCT else carry

    def result(self, carry: tuple) -> ReverseStatistics:
        return self._summed(carry)[0]

    @staticmethod
    def _summed(carry: tuple) -> tuple:
        total, xs, ys = carry
        if xs:
            x, y = torch.cat(xs), torch.cat(ys)
            for kept, new in zip(
                total, (len(x), x.sum(0), y.sum(0), x.T @ x, y.T @ x, y.double().square().sum()), strict=True
            ):
                kept += new
        return total, [], []


def empty_statistics(like: Tensor) -> ReverseStatistics:
    """Statistics of no steps for states like [..., unit]."""
    unit = like.shape[-1]
    return ReverseStatistics(
        *(
            like.new_zeros(shape, dtype=torch.float64)
            for shape in ((), (unit,), (unit,), (unit, unit), (unit, unit), ())
        )
    )


class ClosedFormFit(NamedTuple):
    couplings: Tensor  # [unit, unit], symmetric, zero outside the mask
    bias: Tensor  # [unit]
    ridge: float
    action: float  # mean per step on the statistics fitted
    validation_action: float  # mean per step on the held-out statistics
    iterations: int  # of conjugate gradients, all ridge values together


def mean_action(
    statistics: ReverseStatistics, couplings: Tensor, bias: Tensor, *, dt: float, temperature: float
) -> float:
    """Mean action per step of the machine (couplings [unit, unit], bias [unit]), from second moments alone."""
    s = statistics
    jxx = couplings @ s.xx
    squares = (couplings * jxx).sum() + 2 * (bias @ (couplings @ s.x)) + s.count * bias.square().sum()
    cross = (couplings * s.yx).sum() + bias @ s.y
    return float((s.yy + 2 * dt * cross + dt**2 * squares) / s.count / (4 * temperature * dt))


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
    """Couplings and biases that minimise the mean reverse-path action, with the ridge that held-out paths prefer.

    Args:
        statistics, validation: of disjoint sets of noising trajectories; the ridge is chosen on the second.
        mask: bool [unit, unit], bonds that exist. bias_mask: bool [unit], biases that are trained.
        dt, temperature: of the paths.
        ridges: strengths to try, relative to dt x the mean of <x'^2>, largest first (each starts from the last).
        tolerance: of the residual, relative to that of J = b = 0.
        max_iterations: of conjugate gradients for each ridge.

    Cost: one eigendecomposition, then five float64 products [unit, unit]^2 per iteration, tens of iterations.
    """
    best, start, iterations = None, None, 0
    for ridge in ridges:
        solver = _NormalEquations(statistics, mask, bias_mask, dt, ridge)
        start, used = _conjugate_gradients(solver, start, tolerance, max_iterations)
        iterations += used
        couplings, bias = start
        action = mean_action(validation, couplings, bias, dt=dt, temperature=temperature)
        if best is None or action < best.validation_action:
            fitted = mean_action(statistics, couplings, bias, dt=dt, temperature=temperature)
            best = ClosedFormFit(couplings, bias, ridge, fitted, action, iterations)
    if best is None:
        raise ValueError("ridges must hold at least one value")
    return best._replace(iterations=iterations)


_Point = tuple[Tensor, Tensor]  # (couplings [unit, unit] symmetric, bias [unit])


class _NormalEquations:
    """The linear map of the conditions above, symmetric in the inner product that counts each bond once."""

    def __init__(self, statistics: ReverseStatistics, mask: Tensor, bias_mask: Tensor, dt: float, ridge: float) -> None:
        s, self.dt, self.mask, self.bias_mask = statistics, dt, mask.double(), bias_mask.double()
        self.x, self.y, self.xx, self.yx = s.x / s.count, s.y / s.count, s.xx / s.count, s.yx / s.count
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
        """The exact solution if every bond existed: in the eigenbasis of <x' x'^T> each equation is one division."""
        couplings, bias = point
        solved = self.basis @ ((self.basis.T @ couplings @ self.basis) / self.scale) @ self.basis.T
        return self.mask * (
            0.5 * (solved + solved.T)
        ), bias / self.dt  # symmetric to the last bit, as couplings must be


def _inner(a: _Point, b: _Point) -> Tensor:
    return 0.5 * (a[0] * b[0]).sum() + a[1] @ b[1]


def _add(a: _Point, factor: Tensor | float, b: _Point) -> _Point:
    return a[0] + factor * b[0], a[1] + factor * b[1]


def _conjugate_gradients(
    equations: _NormalEquations, start: _Point | None, tolerance: float, most: int
) -> tuple[_Point, int]:
    constant = equations.negative_constant()
    point = start if start is not None else (torch.zeros_like(constant[0]), torch.zeros_like(constant[1]))
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
