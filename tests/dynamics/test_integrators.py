"""The step functions alone, without sampling: expectations by Gauss-Hermite quadrature over the noise of each step."""

from collections.abc import Callable
from math import log2

import numpy as np
import pytest
import torch

from tests.physics import Boltzmann, expectation_after, single_unit
from thermotorch.dynamics.integrators import INTEGRATORS, ColouredSystem, SplitSystem, System
from thermotorch.dynamics.splitting import flows

J2, J4, FORCE, TEMPERATURE, START = 0.5, 0.1, -0.4, 0.5, 1.0
EXPECTATIONS = {"mean": lambda x: x, "second moment": torch.square}


def weak_expectation(name: str, function: Callable, dt: float, steps: int) -> float:
    """Return E[function(x_steps)] of the integrator, by u(x) <- E_xi[u(step(x, xi))] on a Chebyshev grid.

    Leimkuhler-Matthews steps share a normal with the next step, so y_k = x_k - amplitude xi_k / 2 is Markov: a step
    starts from x = y + amplitude xi / 2, with its own xi, and with zero for the next one.
    """
    nodes, weights = (torch.tensor(v) for v in np.polynomial.hermite_e.hermegauss(24))
    weights = weights / weights.sum()
    reach, order = 4.5, 64
    angle = torch.pi * (torch.arange(order, dtype=torch.float64) + 0.5) / order
    grid = reach * angle.cos()
    amplitude = (2 * TEMPERATURE * dt) ** 0.5
    parts = flows(single_unit(J2, 0.0, J4), dt=dt, temperature=TEMPERATURE)
    push = parts.push(torch.tensor(FORCE, dtype=torch.float64)).item()
    shared = 0.5 * amplitude if name == "leimkuhler_matthews" else 0.0

    def advance(y: torch.Tensor, step: int = 0) -> torch.Tensor:
        """Return all outcomes of one step from each y, [y, node]."""
        x, xi = torch.broadcast_tensors(y[:, None] + (shared if step else 0.0) * nodes, nodes)
        common = {
            "drift": lambda x, _: FORCE - (2 * J2 * x + 4 * J4 * x**3),
            "amplitude": amplitude,
            "dt": dt,
            "noise": lambda k: xi if k == 0 else torch.zeros_like(xi),
        }
        system = {
            "splitting": lambda: SplitSystem(**common, flows=parts, push=lambda k: push),
            "alternating": lambda: ColouredSystem(
                **common, flows=parts, force=lambda x, _: torch.full_like(x, FORCE), second=torch.zeros(()).bool()
            ),
        }.get(name, lambda: System(**common))()
        return INTEGRATORS[name].step(x, 0, system)

    def interpolate(u: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return the Chebyshev interpolant of grid values u, at x."""
        k = torch.arange(order, dtype=torch.float64)
        coefficients = 2 / order * torch.cos(k[:, None] * angle) @ u
        coefficients[0] /= 2
        return torch.cos(k * torch.acos((x / reach).clamp(-1, 1))[..., None]) @ coefficients

    u = (function(grid[:, None] + shared * nodes) * weights).sum(1)
    outcomes = advance(grid, step=1)
    for _ in range(steps - 1):
        u = (interpolate(u, outcomes) * weights).sum(1)
    return (interpolate(u, advance(torch.tensor([START], dtype=torch.float64))) * weights).sum().item()


def measured_order(name: str, function: Callable, time: float, steps: int, truth: float) -> float:
    coarse, fine = (abs(weak_expectation(name, function, time / n, n) - truth) for n in (steps, 2 * steps))
    return log2(coarse / fine)


@pytest.mark.parametrize("quantity", EXPECTATIONS)
@pytest.mark.parametrize("name", INTEGRATORS)
def test_weak_order_at_a_fixed_time(name, quantity):
    """A quartic unit out of equilibrium, against the spectral solution of its Fokker-Planck equation."""
    order = 2 if name == "alternating" else INTEGRATORS[name].order  # a single unit has one colour
    truth = expectation_after(EXPECTATIONS[quantity], START, 0.8, j2=J2, j4=J4, temperature=TEMPERATURE, force=FORCE)
    assert measured_order(name, EXPECTATIONS[quantity], 0.8, 16, truth) == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize(
    "name, order",
    [("euler_maruyama", 1), ("heun", 2), ("leimkuhler_matthews", 2), ("splitting", 2), ("alternating", 2)],
)
def test_order_in_equilibrium(name, order):
    """Leimkuhler-Matthews earns its second order here."""
    truth = Boltzmann(J2, 0.0, J4, FORCE, TEMPERATURE).mean(torch.square)
    assert measured_order(name, torch.square, 12.0, 120, truth) == pytest.approx(order, abs=0.15)


def test_every_integrator_is_tested_here():
    assert set(INTEGRATORS) == {"euler_maruyama", "heun", "leimkuhler_matthews", "splitting", "alternating"}
