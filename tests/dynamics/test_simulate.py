"""`simulate` against statistical mechanics, in and out of equilibrium. Every tolerance is 4 or 5 standard errors."""

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
    random_potential,
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


# ---------------------------------------------------------------- energy books and fluctuation theorems


def test_heat_is_the_work_of_all_forces_along_the_path():
    """Simpson's rule is exact for the cubic force along each straight step: three books of heat agree to rounding."""
    potential = random_potential(4, j2=0.5, j3=0.2, j4=0.7)

    def drive(step):
        return torch.tensor([1.0, -2.0, 0.0, 0.5]).double() * (1 + step / 10)

    start = zeros(6, 4)
    with torch.no_grad():
        run = tt.simulate(potential, start, steps=50, dt=0.01, temperature=0.4, drive=drive, seed=8, record=1)
        before, after = torch.cat([start[None], run.states[:-1]]), run.states
        dx, f = after - before, torch.stack([drive(k) for k in range(50)])[:, None]
        begin, middle, end = (potential.gradient(x) for x in (before, (before + after) / 2, after))
        simpson = (begin + 4 * middle + end) / 6
        torch.testing.assert_close(run.work, (f * dx).sum((0, 2)))
        torch.testing.assert_close(run.heat, potential.energy(start) - potential.energy(run.state) + run.work)
        torch.testing.assert_close(run.heat, ((f - simpson) * dx).sum((0, 2)), rtol=1e-11, atol=1e-11)


def test_stratonovich_sum_converges_to_the_heat():
    """The usual definition, sum of F(x + x')/2 . dx: its deviation falls in proportion to dt."""

    def deviation(dt: float) -> float:
        steps, start = round(0.5 / dt), zeros(2000)
        with torch.no_grad():
            run = tt.simulate(single_unit(), start, steps=steps, dt=dt, temperature=1.0, seed=9, record=1)
            before = torch.cat([start[None], run.states[:-1]])
            midpoint = -single_unit().gradient((before + run.states) / 2) * (run.states - before)
        return (midpoint.sum((0, 2)) - run.heat).square().mean().sqrt().item()

    assert deviation(0.01) / deviation(0.0025) == pytest.approx(4.0, abs=0.6)


def test_heat_of_a_quench_is_the_mean_energy_lost():
    with torch.no_grad():
        run = tt.simulate(
            single_unit(),
            zeros(20_000) + 1.5,
            steps=400,
            dt=0.01,
            temperature=0.5,
            seed=10,
            integrator="leimkuhler_matthews",
        )
    law = Boltzmann(1.0, 0.0, 1.0, temperature=0.5)
    assert (run.work == 0).all()
    assert_mean(run.heat, 1.5**2 + 1.5**4 - law.mean(lambda x: x**2 + x**4), 4)


def driven_from_equilibrium(force, steps: int = 100) -> tt.Trajectory:
    start = Boltzmann(1.0, 0.0, 1.0, temperature=0.5).sample(50_000)
    with torch.no_grad():
        return tt.simulate(
            single_unit(),
            start,
            steps=steps,
            dt=0.01,
            temperature=0.5,
            seed=11,
            integrator="heun",
            drive=lambda step: torch.tensor([force((step + 1) / steps)]).double(),
        )


def test_work_of_the_drive_obeys_bochkov_and_kuzovlev():
    """<exp(-W/kT)> = 1 from equilibrium, although work is done on average."""
    run = driven_from_equilibrium(lambda s: 2.0 * torch.sin(torch.tensor(6.28 * s)))
    assert_mean(torch.exp(-run.work / 0.5), 1.0, 4)
    assert run.work.mean() > 10 * run.work.std() / 50_000**0.5


def test_dragging_a_unit_obeys_jarzynski():
    """The work that includes the drive's energy, V - f x, gives the free energy: <exp(-W/kT)> = exp(-dF/kT)."""
    run = driven_from_equilibrium(lambda s: 4.0 * s)
    work = run.work - 4.0 * run.state[:, 0]  # minus sum of x df, by parts: the force is zero before the start
    released = Boltzmann(1.0, 0.0, 1.0, temperature=0.5).free_energy
    free_energy = Boltzmann(1.0, 0.0, 1.0, force=4.0, temperature=0.5).free_energy - released
    assert_mean(torch.exp(-(work - free_energy) / 0.5), 1.0, 4)
    assert work.mean() - free_energy > 10 * work.std() / 50_000**0.5, "dragging this fast dissipates"


# ---------------------------------------------------------------- one trajectory, however it is computed


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_two_halves_are_the_whole_bit_for_bit(integrator, dtype):
    potential = random_potential(5, bipartite=integrator == "alternating").to(dtype)
    common = dict(
        dt=0.01,
        temperature=0.5,
        integrator=integrator,
        record=3,
        seed=12,
        drive=lambda step: torch.full((5,), step / 10, dtype=dtype),
    )
    start = torch.zeros(6, 5, dtype=dtype)
    whole = tt.simulate(potential, start, steps=20, **common)
    first = tt.simulate(potential, start, steps=7, **common)
    second = tt.simulate(potential, first.state, steps=13, start_step=first.step, **common)
    assert (first.step, second.step) == (7, 20)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    # The fast splitting scheme has one product between two steps, and two half ones where a run is cut.
    exact = {"rtol": 0, "atol": 1e-6 if integrator == "splitting" and dtype == torch.float32 else 0}
    torch.testing.assert_close(second.state, whole.state, **exact)
    torch.testing.assert_close(torch.cat([first.states, second.states]), whole.states, **exact)
    assert torch.equal(torch.cat([first.times, second.times]), whole.times)
    torch.testing.assert_close(first.work + second.work, whole.work, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(first.heat + second.heat, whole.heat, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    "couplings, exact",
    [
        (tt.LatticeCouplings((5, 7), [(0, 1), (1, 0)]), True),
        (tt.DenseCouplings(35), False),
        (tt.BlockCouplings({"visible": 20, "hidden": 15}, [("visible", "hidden"), ("hidden", "hidden")]), False),
    ],
    ids=["lattice", "dense", "blocks"],
)
def test_a_sample_does_not_depend_on_its_batch(couplings, exact):
    """Bit for bit where the field is a sum per sample. Matrix products choose their order of summation by batch size
    (one row takes its own path): dense and block couplings agree to rounding, with exactly the same noise."""
    potential = tt.Potential(couplings, bias=0.3)
    with torch.no_grad():
        for bonds in couplings.parameters():
            bonds.normal_(std=0.3, generator=torch.Generator().manual_seed(0))
    start = torch.randn(64, 35, generator=torch.Generator().manual_seed(1))
    common = dict(steps=50, dt=0.01, temperature=0.5, seed=13)
    whole = tt.simulate(potential, start, **common).state
    for ids in ([7], [63, 7, 7, 0], list(range(32)), list(range(32, 64))):
        part = tt.simulate(potential, start[ids], sample_ids=torch.tensor(ids), **common).state
        torch.testing.assert_close(part, whole[ids], **(dict(rtol=0, atol=0) if exact else dict(rtol=1e-5, atol=1e-6)))


def test_seed_and_stream_choose_the_noise():
    runs = [
        tt.simulate(single_unit(), zeros(4), steps=3, dt=0.01, temperature=1.0, seed=seed, stream=stream).state
        for seed in (0, 1)
        for stream in (tt.Stream.DYNAMICS, tt.Stream.INITIAL)
    ]
    assert len({tuple(run.flatten().tolist()) for run in runs}) == 4


def test_no_global_random_generator_is_touched():
    before = torch.get_rng_state()
    tt.simulate(single_unit(), zeros(4), steps=3, dt=0.01, temperature=1.0, seed=0)
    assert torch.equal(torch.get_rng_state(), before)


def test_float32_follows_float64():
    potential, start = random_potential(6), zeros(20, 6)
    common = dict(steps=300, dt=0.01, temperature=0.5, seed=14)
    double, single = tt.simulate(potential, start, **common), tt.simulate(potential.float(), start.float(), **common)
    assert single.state.dtype == single.heat.dtype == torch.float32
    assert (single.state.double() - double.state).square().mean().sqrt() < 1e-5
    assert (single.heat.double() - double.heat).square().mean().sqrt() < 1e-4


# ---------------------------------------------------------------- clamp, mobility, drive, record


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize("mobility", [0.7, torch.linspace(0.5, 2.0, 5)])
def test_clamped_units_stay_to_the_last_bit_and_act_on_the_others(integrator, mobility):
    potential = random_potential(5, bipartite=integrator == "alternating")
    clamp = torch.tensor([True, False, True, False, False])
    start = torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    common = dict(steps=30, dt=0.01, temperature=0.5, mobility=mobility, integrator=integrator)
    run = tt.simulate(potential, start, clamp=clamp, drive=torch.ones(5).double(), **common, seed=0)
    assert torch.equal(run.state[:, clamp], start[:, clamp])
    if integrator == "alternating":
        return
    # The free units feel the clamped ones as one more force: without noise, they are a smaller machine so pushed.
    free = ~clamp
    matrix = potential.couplings.matrix().detach()
    smaller = tt.Potential(tt.DenseCouplings.from_matrix(matrix[free][:, free]), bias=potential.bias.detach()[free])
    push = 1.0 - start[:, clamp] @ matrix[clamp][:, free]
    common.update(temperature=0.0, mobility=mobility[free] if isinstance(mobility, Tensor) else mobility)
    torch.testing.assert_close(
        tt.simulate(smaller, start[:, free], drive=push, **common, seed=0).state,
        tt.simulate(
            potential, start, clamp=clamp, drive=torch.ones(5).double(), **{**common, "mobility": mobility}, seed=0
        ).state[:, free],
    )


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_mobility_only_rescales_time(integrator):
    potential, start = random_potential(4, bipartite=integrator == "alternating"), zeros(5, 4)
    slow = tt.simulate(
        potential, start, steps=50, dt=0.02, temperature=0.5, mobility=0.5, integrator=integrator, seed=0
    )
    fast = tt.simulate(
        potential, start, steps=50, dt=0.01, temperature=0.5, mobility=1.0, integrator=integrator, seed=0
    )
    torch.testing.assert_close(slow.state, fast.state)


def test_each_unit_has_its_own_mobility():
    potential = tt.Potential(tt.DenseCouplings(2).double())
    both = tt.simulate(
        potential, zeros(5, 2), steps=50, dt=0.01, temperature=0.5, mobility=torch.tensor([1.0, 3.0]), seed=0
    )
    for unit, mobility in enumerate((1.0, 3.0)):
        alone = tt.simulate(potential, zeros(5, 2), steps=50, dt=0.01, temperature=0.5, mobility=mobility, seed=0)
        assert torch.equal(both.state[:, unit], alone.state[:, unit])


def test_mobility_does_not_change_equilibrium():
    with torch.no_grad():
        x = tt.simulate(
            tt.Potential(tt.DenseCouplings(2).double()),
            zeros(20_000, 2),
            steps=300,
            dt=0.01,
            temperature=0.5,
            mobility=torch.tensor([1.0, 3.0]),
            integrator="leimkuhler_matthews",
            seed=0,
        ).state
    assert_mean(x.square(), Boltzmann(1.0, 0.0, 1.0, temperature=0.5).variance, 4)


def test_every_form_of_a_drive_is_a_force():
    potential, start, force = random_potential(3), zeros(4, 3), torch.tensor([1.0, -0.5, 2.0]).double()
    common = dict(steps=20, dt=0.01, temperature=0.5)
    runs = [
        tt.simulate(potential, start, drive=drive, **common, seed=0)
        for drive in (force, force.expand(4, 3), force.float(), lambda step: force, lambda step: force.expand(4, 3))
    ]
    for run in runs[1:]:
        assert torch.equal(run.state, runs[0].state)
        assert torch.equal(run.work, runs[0].work)
    biased = random_potential(3)
    with torch.no_grad():
        biased.bias -= force  # V - f.x
    torch.testing.assert_close(tt.simulate(biased, start, **common, seed=0).state, runs[0].state)
    torch.testing.assert_close(tt.simulate(biased, start, **common, seed=0).heat, runs[0].heat)


def test_a_drive_is_asked_by_step_number():
    def drive(step):
        return torch.tensor([float(step)])

    run = tt.simulate(
        single_unit(0.0, 0.0, 0.0), zeros(1), steps=5, dt=0.1, temperature=0.0, drive=drive, start_step=100, seed=0
    )
    assert run.state.item() == pytest.approx(0.1 * (100 + 101 + 102 + 103 + 104))


@pytest.mark.parametrize(
    "start_step, steps, record, kept",
    [(0, 10, 3, [3, 6, 9]), (0, 10, 5, [5, 10]), (4, 6, 5, [5, 10]), (7, 2, 10, []), (0, 3, 1, [1, 2, 3])],
)
def test_every_nth_state_is_kept_with_its_time(start_step, steps, record, kept):
    start, common = zeros(2) + 0.5, dict(dt=0.25e-1, temperature=0.1, seed=0)
    run = tt.simulate(single_unit(), start, steps=steps, start_step=start_step, record=record, **common)
    assert run.times.tolist() == pytest.approx([0.025 * k for k in kept])
    assert run.states.shape == (len(kept), 2, 1)
    for k, state in zip(kept, run.states, strict=True):
        until = tt.simulate(single_unit(), start, steps=k - start_step, start_step=start_step, **common)
        assert torch.equal(state, until.state)


def test_nothing_is_recorded_unless_asked():
    run = tt.simulate(single_unit(), zeros(2), steps=3, dt=0.01, temperature=0.1, seed=0)
    assert (run.states, run.times, run.observed) == (None, None, {})


@pytest.mark.parametrize("batch, steps", [(0, 5), (3, 0)])
def test_nothing_to_do_is_no_error(batch, steps):
    start = zeros(batch, 2) + 0.5
    run = tt.simulate(
        random_potential(2), start, steps=steps, dt=0.01, temperature=0.1, drive=torch.ones(2).double(), seed=0
    )
    assert torch.equal(run.state, start)
    assert run.heat.tolist() == run.work.tolist() == [0.0] * batch


def test_zero_temperature_is_gradient_descent():
    potential, x = random_potential(4), torch.ones(1, 4).double()
    run = tt.simulate(potential, x, steps=3, dt=0.01, temperature=0.0, seed=0)
    for _ in range(3):
        x = x - 0.01 * potential.gradient(x)
    torch.testing.assert_close(run.state, x)


def test_unknown_precision_is_refused_with_the_closest():
    potential = tt.Potential(tt.DenseCouplings(3))
    with pytest.raises(ValueError, match="precision: unknown 'tf23', expected one of .* did you mean 'tf32'"):
        tt.simulate(potential, torch.zeros(1, 3), steps=1, dt=1e-3, temperature=1.0, precision="tf23", seed=0)


@pytest.mark.parametrize(
    "couplings, observers, chosen",
    [
        (tt.DenseCouplings(6), {}, "splitting"),
        (tt.LatticeCouplings((70, 70), [(0, 1)]), {}, "heun"),
        (tt.BlockCouplings({"unit": 4900}, []), {}, "splitting"),
        (tt.DenseCouplings(6), {"action": "PathAction"}, "euler_maruyama"),
    ],
)
def test_automatic_choice_of_the_integrator(couplings, observers, chosen):
    potential = tt.Potential(couplings)
    observers = {name: tt.PathAction(potential) for name in observers}
    common = dict(steps=2, dt=0.01, temperature=0.1, observers=observers)
    with torch.no_grad():
        found, expected = (
            tt.simulate(potential, torch.ones(2, potential.num_units), integrator=name, **common, seed=0)
            for name in ("auto", chosen)
        )
    assert torch.equal(found.state, expected.state)
