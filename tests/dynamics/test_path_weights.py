"""Path weights: exact identities of the discrete path, and the backends against each other."""

import copy
from math import log, pi

import pytest
import torch
from torch import Tensor

import thermotorch as tt
from tests.physics import assert_mean, float64, random_potential, single_unit
from thermotorch.dynamics import normals, simulate_underdamped
from thermotorch.dynamics.cpu import operators as cpu
from thermotorch.dynamics.path_weights import PathWeightsResult
from thermotorch.models.generator.machine import ThermodynamicGenerator
from thermotorch.models.generator.noising import uncoupled

EACH = pytest.mark.parametrize("integrator", ["euler_maruyama", "alternating", "splitting"])
BOTH = pytest.mark.parametrize("integrator", ["euler_maruyama", "alternating"])
MOBILITY = torch.linspace(0.5, 1.5, 6, dtype=float64)
KT = 0.3


def drive(step: int) -> Tensor:
    return torch.linspace(-1, 1, 6, dtype=float64) * (1 + step % 40 / 10)


def weighed(potential: tt.Potential, start: Tensor, **arguments) -> tuple[tt.Trajectory, PathWeightsResult]:
    arguments = {"steps": 40, "dt": 0.02, "temperature": KT, "seed": 4, **arguments}
    run = tt.simulate(potential, start, observers={"weights": tt.PathWeights(potential)}, **arguments)
    return run, run.observed["weights"]


def start_states(batch: int = 7, units: int = 6) -> Tensor:
    return 0.5 * torch.randn(batch, units, dtype=float64, generator=torch.Generator().manual_seed(3))


@pytest.mark.skipif(cpu.unavailable() is not None, reason=f"no CPU backend: {cpu.unavailable()}")
@BOTH
@pytest.mark.parametrize("force", [None, drive(3), drive], ids=["no drive", "constant", "changing"])
@pytest.mark.parametrize("held", [False, True])
def test_the_compiled_loop_adds_up_what_the_reference_does(integrator, force, held):
    """Float32 against float64, over enough steps for several chunks of drives; observed deviations are below 2e-6."""
    potential = random_potential(6, bipartite=True, j3=0.1, j4=0.5)
    clamp = torch.arange(6) == 2 if held else None
    common = {"drive": force, "clamp": clamp, "mobility": MOBILITY, "integrator": integrator, "start_step": 11}
    with torch.no_grad():
        expected, exact = weighed(potential, start_states(), **common)
        single = copy.deepcopy(potential).float()
        common["drive"] = force.float() if isinstance(force, Tensor) else force
        found, sums = weighed(single, start_states().float(), backend="cpu", **common)
    for name in ("log_forward", "log_ratio", "log_reverse"):
        difference = (getattr(sums, name) - getattr(exact, name)).norm() / getattr(exact, name).norm()
        assert getattr(sums, name).dtype == float64 and difference < 1e-5, name
    assert (found.work - expected.work).norm() <= 1e-5 * expected.work.norm()


OBSERVERS = {
    "of another potential": lambda potential, other: tt.PathWeights(other),
    "another reverse": lambda potential, other: tt.PathWeights(potential, reverse=other),
    "no drive on the way back": lambda potential, other: tt.PathWeights(potential, reverse_driven=False),
    "the same reverse": lambda potential, other: tt.PathWeights(potential, reverse=potential),
}


@pytest.mark.skipif(cpu.unavailable() is not None, reason=f"no CPU backend: {cpu.unavailable()}")
@pytest.mark.parametrize("name", OBSERVERS)
def test_the_compiled_loop_adds_up_no_other_weights_than_its_own(name):
    ratios, forward = [], []
    for dtype, backend in ((float64, "reference"), (torch.float32, "cpu")):
        potential, other = (random_potential(6, seed=seed, bipartite=True).to(dtype) for seed in (0, 9))
        arguments = {"steps": 20, "dt": 0.02, "temperature": KT, "seed": 4, "drive": drive(3).to(dtype)}
        with torch.no_grad():
            observers = {"w": OBSERVERS[name](potential, other), "own": tt.PathWeights(potential)}
            run = tt.simulate(potential, start_states().to(dtype), backend=backend, observers=observers, **arguments)
        ratios.append(run.observed["w"].log_ratio)
        forward.append(run.observed["w"].log_forward)
        # In float32 the same weights differ by roundings, others by far more than a thousandth.
        same = torch.allclose(run.observed["w"].log_reverse, run.observed["own"].log_reverse, rtol=1e-3)
        assert same == (name == "the same reverse")
    for expected, found in (ratios, forward):
        assert (found - expected).norm() < 1e-4 * expected.norm()


@pytest.mark.skipif(cpu.unavailable() is not None, reason=f"no CPU backend: {cpu.unavailable()}")
@BOTH
def test_a_weight_does_not_depend_on_the_batch(integrator):
    """Of 150 samples, more than the compiled loop takes at once: each in its own force."""
    potential, rows = random_potential(6, bipartite=True).float(), torch.tensor([149, 3, 70])
    start, force = start_states(150).float(), torch.linspace(-1, 1, 900).view(150, 6)
    common = {"integrator": integrator, "backend": "cpu"}
    with torch.no_grad():
        run, whole = weighed(potential, start, drive=force, **common)
        part, few = weighed(potential, start[rows], drive=force[rows], sample_ids=rows, **common)
    assert torch.equal(part.state, run.state[rows])
    torch.testing.assert_close(part.work, run.work[rows])
    for name in ("log_forward", "log_ratio"):
        torch.testing.assert_close(getattr(few, name), getattr(whole, name)[rows])


@pytest.mark.skipif(cpu.unavailable() is not None, reason=f"no CPU backend: {cpu.unavailable()}")
@BOTH
def test_weighing_changes_no_bit_of_the_path_and_a_run_in_two_adds_up(integrator):
    potential = random_potential(90, 0.1, bipartite=True).float()
    start, common = start_states(21, 90).float(), {"integrator": integrator, "record": 7, "backend": "cpu"}
    with torch.no_grad():
        run, whole = weighed(potential, start, **common)
        plain = tt.simulate(potential, start, steps=40, dt=0.02, temperature=KT, seed=4, **common)
        first, early = weighed(potential, start, **common, steps=17)
        _, late = weighed(potential, first.state, **common, steps=23, start_step=first.step)
        _, some = weighed(potential, start[5:8], **common, sample_ids=torch.arange(5, 8))
    assert torch.equal(run.state, plain.state) and torch.equal(run.states, plain.states)
    assert torch.equal(some.log_ratio, whole.log_ratio[5:8])
    torch.testing.assert_close((early + late).log_ratio, whole.log_ratio, rtol=1e-6, atol=1e-4)
    torch.testing.assert_close((early + late).log_forward, whole.log_forward, rtol=1e-7, atol=0)


@EACH
def test_forward_weight_of_its_own_run_is_that_of_the_normals_that_were_drawn(integrator):
    """ln p = -xi^2 / 2 - ln(sqrt(2 pi) amplitude) for each free unit and step; a linear unit has no other width."""
    potential, clamp = random_potential(6, bipartite=True, j4=0.0), torch.arange(6) == 2
    _, weights = weighed(potential, start_states(), integrator=integrator, clamp=clamp, mobility=MOBILITY, drive=drive)
    xi = normals(4, torch.arange(7), 0, 40, 6, dtype=float64)[..., ~clamp]
    rate = MOBILITY[~clamp] * 0.02
    variance = 2 * KT * rate if integrator == "euler_maruyama" else KT * (1 - torch.exp(-4 * rate)) / 2
    expected = -xi.square().sum((0, 2)) / 2 - 40 * (0.5 * torch.log(2 * pi * variance)).sum()
    torch.testing.assert_close(weights.log_forward, expected, rtol=1e-11, atol=0)


@EACH
def test_density_of_one_step_integrates_to_one(integrator):
    """Over all ends of a step of one quartic unit, forwards and, from the same place, backwards."""
    # Where a step can end: within the reach of a quartic half step of 0.1 at j4 = 1, then half the push of f = 0.7.
    reach = 4.0 if integrator == "euler_maruyama" else (8 * 0.1) ** -0.5
    pushed = 0.07 if integrator == "splitting" else 0.0
    end = torch.linspace(-1, 1, 20_003, dtype=float64)[1:-1, None] * reach + pushed
    at = torch.full_like(end, 0.4)
    weights = tt.PathWeights(single_unit())
    for before, after in ((at, end), (end, at)):
        step = tt.dynamics.Transition(0, before, after, torch.tensor([0.7]).double(), 0.2, 0.1, 1.0, integrator)
        result = weights.result(weights.update(weights.start(before), step))
        log_density = result.log_forward if after is end else result.log_reverse
        assert torch.trapezoid(log_density.exp(), end[:, 0]).item() == pytest.approx(1.0, abs=1e-6)


@EACH
def test_integral_fluctuation_theorem_is_exact_at_any_time_step(integrator):
    """<rho(x_T) e^(-log ratio) / p(x_0)> = 1 for quartic, coupled, driven units at a coarse step."""
    potential, samples, width = random_potential(2, 0.8, bipartite=True, j4=0.1), 40_000, 0.4
    start = width * torch.randn(samples, 2, dtype=float64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        run, weights = weighed(potential, start, steps=5, dt=0.05, drive=lambda k: drive(4 * k)[::5] / 2,
                               integrator=integrator)  # fmt: skip
    law = torch.distributions.Normal(0.0, width)
    change = law.log_prob(run.state).sum(1) - law.log_prob(start).sum(1)
    production = weights.log_ratio - change
    assert production.std() > 0.5 and production.mean() > 0
    assert_mean(torch.exp(-production), 1.0, 4)


def test_quadratic_units_in_two_colours_give_their_heat_to_rounding_at_a_coarse_step():
    """Every move of `alternating` is then an exact Ornstein-Uhlenbeck step, which obeys detailed balance."""
    potential, clamp = random_potential(6, bipartite=True, j4=0.0), torch.arange(6) == 2
    run, weights = weighed(potential, start_states(), drive=drive, integrator="alternating", dt=0.5, clamp=clamp,
                           mobility=MOBILITY)  # fmt: skip
    torch.testing.assert_close(weights.log_ratio, run.heat / KT, rtol=1e-11, atol=1e-10)
    assert weights.log_ratio.abs().median() > 1


def test_quadratic_units_under_euler_maruyama_differ_from_their_heat_by_the_squared_gradients_at_both_ends():
    """A trapezoid of a linear force is exact: log ratio = heat / kT + (mu dt / 4 kT) (|g_T|^2 - |g_0|^2), undriven."""
    potential = random_potential(6, j4=0.0)
    start = start_states()
    run, weights = weighed(potential, start, mobility=MOBILITY)
    squares = (MOBILITY * (potential.gradient(run.state) ** 2 - potential.gradient(start) ** 2)).sum(1)
    torch.testing.assert_close(weights.log_ratio, run.heat / KT + 0.02 / (4 * KT) * squares, rtol=1e-11, atol=1e-10)
    assert (weights.log_ratio - run.heat / KT).abs().min() > 1e-4


@EACH
def test_log_ratio_becomes_the_heat_as_the_time_step_shrinks(integrator):
    """Quartic units: the root-mean-square difference falls with the step, by about two for half of it."""
    potential = random_potential(6, bipartite=True)
    errors = []
    for dt in (0.02, 0.01, 0.005):
        with torch.no_grad():
            run, weights = weighed(potential, start_states(400), dt=dt, steps=round(0.4 / dt), integrator=integrator)
        errors.append((weights.log_ratio - run.heat / KT).square().mean().sqrt().item())
    assert errors[0] > 1.6 * errors[1] > 1.6**2 * errors[2]


def test_ratio_of_the_noising_machine_is_the_identity_of_wang_and_deng():
    """ln P0[w] / P_theta[reverse w] = -(beta/2) sum dx.(g+ + g-) + (beta mu dt/4) sum (|g+|^2 - |g-|^2), to rounding.

    g- is the gradient of the driven reference at x, g+ that of the trained machine, without the drive, at x'.
    """
    model = ThermodynamicGenerator((1, 4, 4), hidden=10, t_final=0.5).double()
    torch.nn.init.normal_(model.potential.bias, std=0.3)
    for bonds in model.potential.couplings.parameters():
        torch.nn.init.normal_(bonds, std=0.3)
    noising, free = model.noising(), uncoupled(26, 1.0, 1.0).double()
    pixels = torch.randn(3, 16, dtype=float64, generator=torch.Generator().manual_seed(0))
    observer = tt.PathWeights(free, reverse=model.potential, reverse_driven=False)
    start, run = noising.run(pixels, seed=5, record=1, observers={"weights": observer})
    path, force = torch.cat([start[None], run.states]), noising.force(pixels)
    schedule = torch.tensor([noising.schedule(k) for k in range(noising.steps)], dtype=float64)[:, None, None]
    g_minus, g_plus = free.gradient(path[:-1]) - schedule * force, model.potential.gradient(path[1:]).detach()
    moved = path[1:] - path[:-1]
    expected = -(moved * (g_plus + g_minus)).sum((0, 2)) / (2 * 0.1)
    expected += 1e-3 / (4 * 0.1) * (g_plus**2 - g_minus**2).sum((0, 2))
    torch.testing.assert_close(run.observed["weights"].log_ratio, expected, rtol=1e-12, atol=0)
    assert expected.abs().min() > 10


def test_weights_are_those_of_the_actions_and_reach_the_same_gradients():
    potential, trained = random_potential(6), random_potential(6, seed=9)
    actions = {"forward": tt.PathAction(potential), "reverse": tt.PathAction(trained, reverse=True)}
    run = tt.simulate(potential, start_states(), steps=40, dt=0.02, temperature=KT, seed=4, drive=drive,
                      mobility=MOBILITY,
                      observers={"weights": tt.PathWeights(potential, reverse=trained), **actions})  # fmt: skip
    ratio = run.observed["reverse"] - run.observed["forward"]
    torch.testing.assert_close(run.observed["weights"].log_ratio, ratio, rtol=1e-10, atol=1e-9)
    parameters = list(trained.parameters())
    found = torch.autograd.grad(run.observed["weights"].log_ratio.sum(), parameters, retain_graph=True)
    for gradient, expected in zip(found, torch.autograd.grad(ratio.sum(), parameters), strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-9)
    constant = 40 * 0.5 * sum(log(4 * pi * mobility * KT * 0.02) for mobility in MOBILITY.tolist())
    torch.testing.assert_close(run.observed["weights"].log_forward, -run.observed["forward"] - constant)


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_nothing_leads_back_to_a_start_beyond_the_reach_of_the_quartic_flow(backend):
    """N(h/2) ends below 1 / sqrt(4 mu h j4) = 1.12 at h = 0.2; the run itself can only come from there."""
    if backend == "cpu" and cpu.unavailable() is not None:
        pytest.skip(cpu.unavailable())
    potential, start = single_unit().float(), torch.tensor([[1.1], [1.2]])
    with torch.no_grad():
        _, weights = weighed(potential, start, dt=0.2, integrator="alternating", backend=backend)
    assert weights.log_ratio[1] == torch.inf and torch.isfinite(weights.log_ratio[0])
    assert torch.isfinite(weights.log_forward).all()


def test_runs_without_a_transition_density_are_refused_by_name():
    potential, start = random_potential(6), start_states()
    for integrator in ("heun", "leimkuhler_matthews"):
        with pytest.raises(ValueError, match=f"'weights'\\]: integrator='{integrator}' has no transition density"):
            weighed(potential, start, integrator=integrator)
    with pytest.raises(ValueError, match="observers\\['weights'\\]: at temperature 0"):
        weighed(potential, start, temperature=0.0)
    with pytest.raises(TypeError, match="PathWeights weighs overdamped steps"):
        simulate_underdamped(potential, start, steps=1, dt=0.1, temperature=0.5,
                             observers={"w": tt.PathWeights(potential)}, seed=0)  # fmt: skip
    run, _ = weighed(potential, start, integrator="auto")
    assert torch.equal(run.state, weighed(potential, start)[0].state)
