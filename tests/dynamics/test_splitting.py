"""The exact flows of the splitting scheme, each against what it solves."""

import pytest
import torch

import thermotorch as tt
from tests.physics import Boltzmann, OrnsteinUhlenbeck, assert_mean, random_matrix, random_potential, single_unit
from thermotorch.dynamics import normals
from thermotorch.dynamics.integrators import INTEGRATORS, SplitSystem
from thermotorch.dynamics.splitting import exponential, flows


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-6), (torch.float64, 1e-14)])
@pytest.mark.parametrize("scale", [1e-6, 0.02, 0.5, 3.0])
def test_exponential_and_its_mean(scale, dtype, tolerance):
    """Small generators as well: e^G - 1 keeps its relative precision where subtracting 1 would lose it."""
    generator = (scale * random_matrix(9, 0.3) * torch.linspace(0.2, 2, 9).double()).to(dtype)
    kick = exponential(generator)
    exact = generator.double()
    # phi(G) is a block of the exponential of a larger matrix, [[G, 1], [0, 0]].
    larger = torch.zeros(18, 18).double()
    larger[:9, :9], larger[:9, 9:] = exact, torch.eye(9)
    mean = torch.matrix_exp(larger)[:9, 9:]
    assert (kick.mean - mean).norm() / mean.norm() < tolerance
    assert (kick.half - exact @ mean).norm() / (exact @ mean).norm() < tolerance


def test_the_parts_solve_their_equations():
    """d/dt of each flow at t = 0 is its share of the drift, and the shares add up to all of it, cubic term included."""
    potential, dt = random_potential(5, j2=torch.linspace(-1, 1, 5), j3=0.4, j4=0.7), 1e-6
    mobility, x = torch.linspace(0, 2, 5).double(), torch.randn(3, 5).double()
    parts = flows(potential, dt=dt, temperature=0.0, mobility=mobility)
    force = torch.linspace(-1, 1, 5).double()
    rate = (2 * (parts.couple(x, parts.push(force)) - x) + 2 * (parts.relax(x) - x) + parts.diffuse(x, x) - x) / dt
    torch.testing.assert_close(rate, mobility * (force - potential.gradient(x)), rtol=1e-4, atol=1e-4)


def test_quartic_flow_for_two_halves_is_that_of_the_whole():
    potential, x = single_unit(0.0, 0.3, 0.8), torch.linspace(-3, 3, 7).double()[:, None]
    half, whole = (flows(potential, dt=dt, temperature=0.0) for dt in (0.1, 0.2))
    torch.testing.assert_close(half.relax(half.relax(x)), whole.relax(x))


def test_a_single_quadratic_unit_is_exact_at_any_step():
    potential, dt = single_unit(0.8, 0.0, 0.0), 0.7
    with torch.no_grad():
        run = tt.simulate(
            potential,
            torch.full((40_000, 1), 1.5).double(),
            steps=3,
            dt=dt,
            temperature=0.4,
            integrator="splitting",
            seed=0,
        )
    process = OrnsteinUhlenbeck(torch.tensor([[1.6]]).double(), torch.zeros(1).double(), 0.4)
    assert_mean(run.state, process.mean(torch.tensor([1.5]).double(), 3 * dt), 4)
    assert_mean((run.state - run.state.mean()) ** 2, process.covariance(3 * dt)[0], 4)


def test_coupled_quadratic_units_are_second_order():
    """The mean of the Ornstein-Uhlenbeck process with drive and bias: the error falls by four when dt is halved."""
    matrix, force = random_matrix(4, 0.8), torch.tensor([1.0, -2.0, 0.5, 0.0]).double()
    potential = tt.Potential(tt.DenseCouplings.from_matrix(matrix), 0.9, 0.0, 0.0, bias=0.3)
    process = OrnsteinUhlenbeck(1.8 * torch.eye(4) + matrix, force - 0.3, 0.0)
    start, errors = torch.ones(1, 4).double(), []
    for steps in (5, 10):
        run = tt.simulate(
            potential, start, steps=steps, dt=1.0 / steps, temperature=0.0, drive=force, integrator="splitting", seed=0
        )
        errors.append((run.state[0] - process.mean(start[0], 1.0)).norm().item())
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.1)


@pytest.mark.parametrize("j2, j3, j4", [(-1.0, 0.0, 0.5), (-0.6, 0.5, 0.4)])
def test_double_wells_reach_equilibrium(j2, j3, j4):
    """Both wells with their weights, from a start in equilibrium, at a step ten times coarser than is usual."""
    law = Boltzmann(j2, j3, j4, temperature=0.5)
    with torch.no_grad():
        run = tt.simulate(
            single_unit(j2, j3, j4),
            law.sample(40_000),
            steps=30,
            dt=0.02,
            temperature=0.5,
            integrator="splitting",
            seed=0,
        )
    for power in (1, 2, 4):
        assert_mean(run.state**power, law.mean(lambda x, power=power: x**power), 4, bias=2e-3)


def test_clamped_units_stay_and_are_felt_exactly():
    """One free quadratic unit beside a held one: dx = -(2 j2 x + J c) dt, solved to second order, c untouched."""
    matrix = torch.tensor([[0.0, 0.7], [0.7, 0.0]]).double()
    potential = tt.Potential(tt.DenseCouplings.from_matrix(matrix), 0.0, 0.0, 0.0)
    start = torch.tensor([[0.2, 1.3]]).double()
    run = tt.simulate(
        potential,
        start,
        steps=2,
        dt=0.5,
        temperature=0.0,
        clamp=torch.tensor([False, True]),
        integrator="splitting",
        seed=0,
    )
    torch.testing.assert_close(run.state, torch.tensor([[0.2 - 0.7 * 1.3, 1.3]]).double())
    assert run.state[0, 1] == start[0, 1]


def test_the_exponential_is_remembered_until_the_couplings_change(monkeypatch):
    asked = []
    monkeypatch.setattr(
        "thermotorch.dynamics.splitting.exponential",
        lambda generator: asked.append(generator) or exponential(generator),
    )
    potential = random_potential(6)
    with torch.no_grad():
        first = flows(potential, dt=0.1, temperature=0.1).coupling
        assert flows(potential, dt=0.1, temperature=0.3).coupling is first
        potential.couplings.bonds.data[3] += 1e-3  # without autograd's version counter noticing
        assert not torch.equal(flows(potential, dt=0.1, temperature=0.1).coupling.half, first.half)
        flows(potential, dt=0.2, temperature=0.1)
    assert len(asked) == 3


def test_exponentials_of_machines_that_differ_in_their_bonds_places_or_rates_are_not_confused():
    """The same numbers on other bonds: two lattices of one shape, and one with another topology."""
    machines = [
        tt.LatticeCouplings((2, 3), [(1, 1)]),
        tt.LatticeCouplings((2, 3), [(1, -1)]),
        tt.BlockCouplings({"a": 2, "b": 2, "c": 2}, [], one_to_one=[("a", "b")]),
        tt.BlockCouplings({"a": 2, "b": 2, "c": 2}, [], one_to_one=[("a", "c")]),
    ]
    with torch.no_grad():
        for couplings in machines:
            next(couplings.parameters()).copy_(torch.tensor([0.5, -1.0]))
        for mobility in (torch.ones(6), torch.linspace(0.5, 2, 6)):
            for couplings in machines:
                found = flows(tt.Potential(couplings), dt=0.3, temperature=0.1, mobility=mobility).coupling.half
                expected = torch.matrix_exp(-0.15 * couplings.matrix() * mobility) - torch.eye(6)
                torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def paired_errors(units: int, paths: int, strength: float, coarse: int) -> dict[str, tuple[float, float]]:
    """Root mean square over units of the error of <x> and <x^2> at t = 2.5, of Euler-Maruyama in 2500 steps and of
    splitting in `coarse`, on the same Brownian paths as splitting in 2500 steps; sampling error taken out."""
    time, fine, temperature = 2.5, 2500, 0.1
    matrix = random_matrix(units, strength / units**0.5)
    bias = 0.5 * torch.randn(units, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    potential = tt.Potential(tt.DenseCouplings.from_matrix(matrix), bias=bias)
    gradient, noise = potential.bind(), {}
    states, systems = {}, {}
    for name, steps in {"euler_maruyama": 2500, "splitting": coarse, "exact": 2500}.items():
        dt = time / steps
        parts = flows(potential, dt=dt, temperature=temperature)
        push = parts.push(None)
        systems[name] = (
            fine // steps,
            SplitSystem(
                drift=lambda x, _: -gradient(x),
                noise=lambda step, name=name: noise[name],
                dt=dt,
                amplitude=(2 * temperature * dt) ** 0.5,
                flows=parts,
                push=lambda step, push=push: push,
            ),
        )
        states[name] = torch.ones(paths, units, dtype=torch.float64)
    for first in range(0, fine, 20):
        drawn = normals(3, torch.arange(paths), first, 20, units, dtype=torch.float64)
        for name, (ratio, system) in systems.items():
            step = INTEGRATORS["splitting" if name == "exact" else name].step
            for k in range(20 // ratio):
                noise[name] = drawn[ratio * k : ratio * (k + 1)].sum(0) / ratio**0.5
                states[name] = step(states[name], k, system)
    errors = {}
    for name in ("euler_maruyama", "splitting"):
        both = []
        for power in (1, 2):
            difference = states[name] ** power - states["exact"] ** power
            sampling = difference.var(0) / paths
            both.append((difference.mean(0) ** 2 - sampling).mean().clamp_min(0).sqrt().item())
        errors[name] = tuple(both)
    return errors


@pytest.mark.slow
@pytest.mark.parametrize("strength, coarse", [(1.0, 250), (3.0, 250)])
def test_250_splitting_steps_are_better_than_2500_of_euler_maruyama(strength, coarse):
    """The claim that the fast mode rests on, for 48 coupled units far from equilibrium, mean and second moment."""
    with torch.no_grad():
        errors = paired_errors(48, 2000, strength, coarse)
    for moment in (0, 1):
        assert errors["splitting"][moment] < errors["euler_maruyama"][moment], errors
