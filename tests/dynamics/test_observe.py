import pytest
import torch
from torch import Tensor

import thermotorch as tt
from tests.physics import Boltzmann, assert_mean, random_potential, single_unit
from thermotorch.dynamics import normals

MOBILITY = torch.tensor([0.5, 1.0, 2.0, 1.5], dtype=torch.float64)


def drive(step: int) -> Tensor:
    return torch.tensor([1.0, 0.0, -0.5, 0.2]).double() * step / 10


def observed_run(observers: dict, steps: int = 40, **arguments) -> tuple[tt.Trajectory, Tensor]:
    """Return a driven run of four coupled units, and all its states [step + 1, batch, unit]."""
    start = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    common = dict(dt=0.02, temperature=0.3, mobility=MOBILITY, drive=drive, seed=4, record=1)
    run = tt.simulate(random_potential(4), start, steps=steps, observers=observers, **{**common, **arguments})
    return run, torch.cat([start[None], run.states])


@pytest.mark.parametrize("warmup, every", [(0, 1), (10, 1), (0, 3), (7, 4)])
def test_moments_are_those_of_the_recorded_states(warmup, every):
    run, states = observed_run({"moments": tt.Moments(warmup, every, covariance=True)})
    counted = states[warmup + every :: every]
    moments = run.observed["moments"]
    assert moments.count == len(counted)
    torch.testing.assert_close(moments.mean, counted.mean(0))
    torch.testing.assert_close(moments.variance, counted.var(0, correction=0))
    torch.testing.assert_close(moments.covariance, counted.flatten(0, 1).T.cov(correction=0))


def test_moments_count_from_step_zero_not_from_the_start_of_the_run():
    run, states = observed_run({"moments": tt.Moments(warmup=10, every=5)}, steps=20, start_step=3)
    assert run.observed["moments"].count == 2  # after steps 15 and 20
    torch.testing.assert_close(run.observed["moments"].mean, (states[12] + states[17]) / 2)


def test_moments_of_float32_runs_are_summed_in_float64():
    potential = tt.Potential(tt.DenseCouplings(2))
    run = tt.simulate(
        potential, torch.zeros(3, 2), steps=10, dt=0.01, temperature=0.1, observers={"m": tt.Moments()}, seed=0
    )
    assert run.observed["m"].mean.dtype == torch.float64
    assert run.observed["m"].covariance is None


def test_moments_that_saw_nothing_say_so():
    with pytest.raises(ValueError, match="saw no step"):
        observed_run({"moments": tt.Moments(warmup=100)})


@pytest.mark.parametrize("clamp", [None, torch.tensor([False, True, False, False])])
def test_forward_action_of_its_own_run_is_the_noise_that_was_drawn(clamp):
    """(dx + mu dt g)^2 / (4 mu kT dt) = xi^2 / 2 for every free unit and step: on average units x steps / 2."""
    run, _ = observed_run({"action": tt.PathAction(random_potential(4))}, clamp=clamp)
    noise = normals(4, torch.arange(6), 0, 40, 4, dtype=torch.float64)
    free = noise if clamp is None else noise[..., ~clamp]
    torch.testing.assert_close(run.observed["action"], 0.5 * free.square().sum((0, 2)), rtol=1e-9, atol=1e-9)


def test_mean_forward_action_is_half_the_number_of_normals():
    with torch.no_grad():
        run = tt.simulate(
            single_unit(),
            torch.zeros(5000, 1).double(),
            steps=20,
            dt=0.01,
            temperature=1.0,
            observers={"action": tt.PathAction(single_unit())},
            seed=0,
        )
    assert_mean(run.observed["action"], 20 / 2, 4)


@pytest.mark.parametrize("same", [True, False])
def test_path_weight_ratio_obeys_the_discrete_identity_of_wang_and_deng(same):
    """ln P0[w] / P[reverse w] = -(beta/2) sum dx.(g+ + g-) + (beta mu dt/4) sum(|g+|^2 - |g-|^2), at any dt.

    g- is the gradient of the driven reference potential at x, g+ that of the trained, undriven potential at x'.
    """
    reference, trained = random_potential(4), random_potential(4, seed=0 if same else 7)
    run, states = observed_run(
        {"forward": tt.PathAction(reference), "reverse": tt.PathAction(trained, reverse=True, driven=False)}
    )
    before, after = states[:-1], states[1:]
    g_minus = reference.gradient(before) - torch.stack([drive(k) for k in range(40)])[:, None]
    g_plus = trained.gradient(after)
    heat_like = -((after - before) * (g_plus + g_minus)).sum((0, 2)) / (2 * 0.3)
    excess = (MOBILITY * (g_plus**2 - g_minus**2)).sum((0, 2)) * 0.02 / (4 * 0.3)
    ratio = run.observed["reverse"] - run.observed["forward"]
    torch.testing.assert_close(ratio, heat_like + excess, rtol=1e-10, atol=1e-9)
    assert ratio.abs().min() > 0.1


def test_path_weights_obey_the_integral_fluctuation_theorem():
    """<P_reverse[w] rho(x_T) / (P[w] rho(x_0))> = 1 for any density rho, at any dt, in or out of equilibrium."""
    potential, law = single_unit(1.0, 0.0, 0.2), Boltzmann(1.0, 0.0, 0.2)
    start = law.sample(50_000, seed=5)
    with torch.no_grad():
        run = tt.simulate(
            potential,
            start,
            steps=10,
            dt=0.05,
            temperature=1.0,
            drive=torch.ones(1).double(),
            seed=6,
            observers={"forward": tt.PathAction(potential), "reverse": tt.PathAction(potential, reverse=True)},
        )
        log_ratio = run.observed["forward"] - run.observed["reverse"]
        log_ratio += potential.energy(start) - potential.energy(run.state)
    assert log_ratio.std() > 0.1
    assert_mean(log_ratio.exp(), 1.0, 4)


def test_reverse_action_is_the_forward_action_of_the_reversed_path():
    """On one step, written out by hand."""
    potential = single_unit()
    x, after = torch.tensor([[0.3]]).double(), torch.tensor([[0.5]]).double()
    step = tt.dynamics.Transition(0, x, after, torch.tensor([0.7]).double(), dt=0.1, temperature=0.4, mobility=2.0)
    gradient = 2 * 0.5 + 4 * 0.5**3 - 0.7
    action = tt.PathAction(potential, reverse=True)
    expected = (0.3 - 0.5 + 2 * 0.1 * gradient) ** 2 / (4 * 2 * 0.4 * 0.1)
    assert action.update(torch.zeros(1), step).item() == pytest.approx(expected)


def test_gradient_of_the_action_ignores_clamped_units():
    potential, clamp = random_potential(4), torch.tensor([False, True, False, False])
    run, _ = observed_run({"action": tt.PathAction(potential, reverse=True)}, clamp=clamp)
    gradients = torch.autograd.grad(run.observed["action"].sum(), list(potential.parameters()))
    assert all(torch.isfinite(g).all() for g in gradients)
    assert gradients[0].shape == (4,) and gradients[0][1] == 0  # of the biases


def test_anything_with_start_update_and_result_observes():
    class Steps:
        def start(self, state):
            return []

        def update(self, carry, transition):
            return [*carry, transition.step]

        def result(self, carry):
            return carry

    run, _ = observed_run({"steps": Steps()}, steps=5, start_step=10)
    assert run.observed["steps"] == [10, 11, 12, 13, 14]
