"""`simulate` against the laws of single units and quadratic potentials. Every tolerance is 4 or 5 standard errors."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import thermotorch as tt
from tests.physics import (
    Boltzmann,
    OrnsteinUhlenbeck,
    assert_mean,
    assert_within,
    expectation_after,
    random_matrix,
    single_unit,
)
from thermotorch.dynamics import INTEGRATORS


def zeros(batch: int, unit: int = 1) -> Tensor:
    return torch.zeros(batch, unit, dtype=torch.float64)


# ---------------------------------------------------------------- quadratic potentials: the Ornstein-Uhlenbeck process


def test_coupled_quadratic_units_follow_the_ornstein_uhlenbeck_process():
    """Mean, covariance and autocovariance on the way: those of Euler-Maruyama, and of the process up to dt."""
    n, samples, dt, temperature, mobility = 3, 60_000, 0.01, 0.7, 0.5
    matrix, j2 = random_matrix(n, 0.6), torch.tensor([0.8, 1.0, 1.2]).double()
    bias, force, start = torch.tensor([[0.3, -1.0, 0.5], [1.0, 0.0, 2.0], [2.0, -1.0, 0.5]]).double()
    potential = tt.Potential(tt.DenseCouplings.from_matrix(matrix), j2, 0.0, 0.0, bias)
    with torch.no_grad():
        run = tt.simulate(
            potential,
            start.expand(samples, n),
            steps=80,
            dt=dt,
            temperature=temperature,
            mobility=mobility,
            drive=force,
            seed=1,
            record=40,
        )
    early, late = run.states - run.states.mean(1, keepdim=True)
    tau = mobility * dt  # mobility and time enter as a product
    process = OrnsteinUhlenbeck(2 * torch.diag(j2) + matrix, force - bias, temperature)
    mean, covariance = process.euler_mean(start, tau, 80), process.euler_covariance(tau, 80)
    early_covariance = process.euler_covariance(tau, 40)
    autocovariance = process.function(lambda a: (1 - a * tau) ** 40) @ early_covariance

    def error(of: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """Return the standard error of a sample covariance of Gaussian variables with covariances a and b."""
        return ((of**2 + torch.outer(a.diagonal(), b.diagonal())) / samples).sqrt()

    assert_mean(run.state, mean, 4)
    assert_within(late.T @ late / samples, covariance, error(covariance, covariance, covariance), 4)
    assert_within(late.T @ early / samples, autocovariance, error(autocovariance, covariance, early_covariance), 4)
    for of_steps, of_process in (
        (mean, process.mean(start, 80 * tau)),
        (covariance, process.covariance(80 * tau)),
        (autocovariance, process.decay(40 * tau) @ process.covariance(40 * tau)),
    ):
        assert (of_steps - of_process).abs().max() < tau * 2 * of_process.abs().max()


@pytest.mark.parametrize(
    "integrator, inflation",
    [
        ("euler_maruyama", lambda a_dt: 2 / (2 - a_dt)),
        ("heun", lambda a_dt: (1 - a_dt / 2) ** 2 * 2 * a_dt / (1 - (1 - a_dt + a_dt**2 / 2) ** 2)),
        ("leimkuhler_matthews", lambda a_dt: 1.0),
    ],
)
def test_stationary_variance_of_a_large_step(integrator, inflation):
    a, dt, temperature, samples = 3.0, 0.4, 0.5, 100_000
    with torch.no_grad():
        x = tt.simulate(
            single_unit(a / 2, j4=0.0),
            zeros(samples),
            steps=25,
            dt=dt,
            temperature=temperature,
            seed=2,
            integrator=integrator,
        ).state
    variance = temperature / a * inflation(a * dt)
    assert_within(x.square().mean(), variance, variance * (2 / samples) ** 0.5, 4)


# ---------------------------------------------------------------- quartic units: quadrature of exp(-V/kT)


def excess_chi_square(x: Tensor, energy: Callable, temperature: float, bins: int) -> float:
    """Return (chi^2 - degrees of freedom) / its standard deviation, for a histogram over [-3, 3]^units and exp(-V/kT).

    Probabilities by the midpoint rule on cells; bins that expect fewer than 10 samples are pooled with the outside.
    """
    units, reach, cells_per_bin = x.shape[1], 3.0, 20
    width = 2 * reach / (bins * cells_per_bin)
    axis = -reach + width * (torch.arange(bins * cells_per_bin, dtype=torch.float64) + 0.5)
    weight = torch.exp(-energy(torch.cartesian_prod(*[axis] * units).view(-1, units)) / temperature)
    for dim in range(units):
        weight = weight.reshape(*[bins] * dim, bins, cells_per_bin, -1).sum(dim + 1)
    expected = (weight / weight.sum() * len(x)).flatten()
    counts = torch.histogramdd(x.cpu(), [bins] * units, range=[-reach, reach] * units).hist.flatten()
    counted = expected >= 10
    expected = torch.cat([expected[counted], (len(x) - expected[counted].sum()).clamp_min(1.0)[None]])
    counts = torch.cat([counts[counted], (len(x) - counts[counted].sum())[None]])
    freedom = len(counts) - 1
    return (((counts - expected) ** 2 / expected).sum().item() - freedom) / (2 * freedom) ** 0.5


@pytest.mark.parametrize("j", [(1.0, 0.0, 1.0), (-1.5, 0.4, 1.0), (0.0, 0.0, 0.3)], ids=str)
def test_histogram_of_a_quartic_unit_is_its_boltzmann_distribution(j):
    with torch.no_grad():
        x = tt.simulate(
            single_unit(*j),
            zeros(30_000),
            steps=400,
            dt=0.02,
            temperature=0.6,
            seed=3,
            integrator="leimkuhler_matthews",
        ).state
    assert excess_chi_square(x, single_unit(*j).energy, 0.6, bins=40) < 5


def test_histogram_of_two_coupled_quartic_units_is_their_boltzmann_distribution():
    potential = tt.Potential(
        tt.DenseCouplings.from_matrix(torch.tensor([[0.0, -1.2], [-1.2, 0.0]])).double(),
        j2=torch.tensor([1.0, -0.5]),
        j3=torch.tensor([0.5, -0.3]),
        j4=torch.tensor([1.0, 0.7]),
        bias=torch.tensor([0.4, -0.2]),
    )
    with torch.no_grad():
        x = tt.simulate(
            potential, zeros(30_000, 2), steps=300, dt=0.02, temperature=0.6, seed=4, integrator="leimkuhler_matthews"
        ).state
        assert excess_chi_square(x, potential.energy, 0.6, bins=20) < 5


RESPONSE = {  # <x>(I) for I = 0.5, 1, 2, 5, 10, and the variance at I = 0: the table of the reference sheet
    ((1.0, 0.0, 0.0), 1.0): (0.2500, 0.5000, 1.0000, 2.5000, 5.0000, 0.5000),
    ((0.0, 0.0, 1.0), 1.0): (0.1671, 0.3236, 0.5813, 0.9988, 1.3218, 0.3380),
    ((1.0, 0.0, 1.0), 1.0): (0.1163, 0.2290, 0.4323, 0.8421, 1.1968, 0.2340),
    ((1.0, 0.0, 1.0), 10.0): (0.1959, 0.3549, 0.5708, 0.9162, 1.2312, 0.04088),
}


@pytest.mark.parametrize("j, beta", RESPONSE, ids=str)
def test_thermodynamic_neuron_responds_as_tabulated(j, beta):
    """Quadrature reproduces the table's digits, and simulated units, one per input, reproduce the quadrature."""
    forces = (0.5, 1.0, 2.0, 5.0, 10.0, 0.0)
    laws = [Boltzmann(*j, force, 1 / beta) for force in forces]
    assert [round(law.mean(), 4) for law in laws[:-1]] == list(RESPONSE[j, beta][:-1])
    assert laws[-1].variance == pytest.approx(RESPONSE[j, beta][-1], rel=2e-4)
    with torch.no_grad():
        x = tt.simulate(
            tt.Potential(tt.DenseCouplings(6), *j),
            torch.zeros(10_000, 6),
            steps=320,
            dt=0.0125,
            seed=5,
            temperature=1 / beta,
            drive=torch.tensor(forces),
            integrator="leimkuhler_matthews",
        ).state
    x = x.double()
    assert_mean(x, torch.tensor([law.mean() for law in laws]).double(), 4)
    assert_mean((x[:, -1] - laws[-1].mean()).square(), laws[-1].variance, 4)


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_mean_response_at_a_finite_time_is_that_of_the_fokker_planck_equation(integrator):
    forces, time, steps = (-3.0, 1.0, 6.0), 0.4, 100
    with torch.no_grad():
        x = tt.simulate(
            tt.Potential(tt.BlockCouplings({"unit": 3}, [])),
            torch.zeros(20_000, 3),
            steps=steps,
            dt=time / steps,
            temperature=0.5,
            drive=torch.tensor(forces),
            seed=6,
            integrator=integrator,
        ).state
    truth = [expectation_after(lambda x: x, 0.0, time, j2=1.0, j4=1.0, temperature=0.5, force=f) for f in forces]
    assert_mean(x, torch.tensor(truth).double(), 4)


def test_the_published_fit_of_the_finite_time_response():
    """beta = 10, t = 0.4: <x> = 0.3524 I^2/(I^2 + 222) cbrt(I) + tanh(0.2469 I), with an RMS error of 0.0081."""
    force = torch.linspace(-40, 40, 81)
    fit = 0.3524 * force**2 / (force**2 + 222) * force.sign() * force.abs() ** (1 / 3) + torch.tanh(0.2469 * force)
    with torch.no_grad():
        x = tt.simulate(
            tt.Potential(tt.DenseCouplings(81)),
            torch.zeros(500, 81),
            steps=400,
            dt=1e-3,
            temperature=0.1,
            drive=force,
            seed=7,
        ).state
    assert (x.mean(0) - fit).square().mean().sqrt().item() == pytest.approx(0.0081, abs=0.0015)
