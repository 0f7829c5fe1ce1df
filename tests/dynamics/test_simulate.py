"""Energies of `simulate`, fluctuation theorems, and its arguments. Every tolerance is 4 or 5 standard errors."""

import pytest
import torch
from torch import Tensor

import thermotorch as tt
from tests.physics import Boltzmann, assert_mean, random_potential, single_unit
from thermotorch.dynamics import INTEGRATORS


def zeros(batch: int, unit: int = 1) -> Tensor:
    return torch.zeros(batch, unit, dtype=torch.float64)


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
