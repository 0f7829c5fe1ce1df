"""Seeds that are not given are fresh, and a run that is continued goes on with the noise that would have come."""

import warnings
from dataclasses import replace

import pytest
import torch

import thermotorch as tt
from thermotorch.dynamics import INTEGRATORS


def machine() -> tt.Potential:
    matrix = torch.tensor([[0.0, 0.3, 0.0], [0.3, 0.0, -0.2], [0.0, -0.2, 0.0]])
    couplings = tt.BlockCouplings({"a": 1, "b": 1, "c": 1}, [("a", "b"), ("b", "c")]).load_matrix(matrix)
    return tt.Potential(couplings, bias=0.1).requires_grad_(False)


PHYSICS = {"dt": 1e-2, "temperature": 0.5}


def test_a_loop_without_a_seed_has_the_stationary_variance():
    """Var of x is kT / (2 j2) x 2 / (2 - a dt) for Euler-Maruyama with a = 2 j2 = 1: 1.005, here from 4000 samples."""
    torch.manual_seed(0)
    quadratic, state = tt.Potential(tt.DenseCouplings(1), j2=0.5, j4=0.0), torch.zeros(4000, 1)
    for _ in range(200):
        state = tt.simulate(quadratic, state, steps=5, dt=0.01, temperature=1.0).state.detach()
    assert state.var().item() == pytest.approx(2 / (2 - 0.01), abs=4 * (2 / 4000) ** 0.5)


def test_torch_manual_seed_governs_a_seed_that_is_not_given():
    def run() -> tt.Trajectory:
        return tt.simulate(machine(), torch.zeros(2, 3), steps=5, **PHYSICS)

    torch.manual_seed(5)
    first, other = run(), run()
    torch.manual_seed(5)
    assert torch.equal(run().state, first.state) and not torch.equal(other.state, first.state)
    again = tt.simulate(machine(), torch.zeros(2, 3), steps=5, seed=first.seed, **PHYSICS)
    assert torch.equal(again.state, first.state)


@pytest.mark.parametrize("backend", ["reference", "auto"])
@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_two_halves_equal_the_whole(integrator, backend):
    arguments = {**PHYSICS, "integrator": integrator, "backend": backend, "record": 3}
    arguments["drive"] = lambda step: torch.full((3,), 0.01 * step)
    start, ids = torch.zeros(4, 3), torch.tensor([5, 1, 9, 2])
    noise = {"seed": 7, "sample_ids": ids, "stream": tt.Stream.INITIAL}
    whole = tt.simulate(machine(), start, steps=20, **noise, **arguments)
    first = tt.simulate(machine(), start, steps=11, **noise, **arguments)
    second = tt.simulate(machine(), first, steps=9, **arguments)
    assert torch.equal(second.state, whole.state)
    assert second.step == 20 and torch.equal(torch.cat([first.times, second.times]), whole.times)


def test_underdamped_halves_equal_the_whole():
    start = torch.zeros(4, 3)
    whole = tt.simulate_underdamped(machine(), start, steps=20, seed=3, **PHYSICS)
    half = tt.simulate_underdamped(machine(), start, steps=10, seed=3, **PHYSICS)
    other = tt.simulate_underdamped(machine(), start, steps=10, seed=3, stream=tt.Stream.DATA, **PHYSICS)
    assert not torch.allclose(other.state, half.state) and other.stream == tt.Stream.DATA
    more = tt.simulate_underdamped(machine(), half, steps=10, **PHYSICS)
    assert torch.equal(more.state, whole.state) and torch.equal(more.velocity, whole.velocity)
    with pytest.raises(TypeError, match=r"trajectory\.state"):
        tt.simulate(machine(), half, steps=1, **PHYSICS)
    with pytest.raises(ValueError, match="velocity"):
        tt.simulate_underdamped(machine(), half, half.velocity, steps=1, **PHYSICS)


@pytest.mark.parametrize(
    ("name", "value"),
    [("seed", 8), ("start_step", 0), ("stream", tt.Stream.DATA), ("sample_ids", torch.tensor([1, 0]))],
)
def test_what_contradicts_the_trajectory_is_named(name, value):
    half = tt.simulate(machine(), torch.zeros(2, 3), steps=5, seed=7, **PHYSICS)
    with pytest.raises(ValueError, match=name):
        tt.simulate(machine(), half, steps=5, **{name: value}, **PHYSICS)


def test_repeated_noise_warns_and_nothing_else_does():
    half = tt.simulate(machine(), torch.zeros(2, 3), steps=5, seed=7, **PHYSICS)
    again = r"repeats its noise \(seed=7, step 0 on\); pass the Trajectory in place of its state, or start_step=5"
    with pytest.warns(UserWarning, match=again) as caught:
        tt.simulate(machine(), half.state, steps=5, seed=7, **PHYSICS)
    assert [warning.filename for warning in caught] == [__file__]
    later = tt.simulate(machine(), half, steps=5, **PHYSICS)
    for first, common in ((3, 5), (9, 9)):
        with pytest.warns(UserWarning, match=rf"seed=7, step {common} on.*start_step=10"):
            tt.simulate(machine(), later.state, steps=6, start_step=first, seed=7, **PHYSICS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tt.simulate(machine(), torch.zeros(2, 3), steps=5, seed=7, **PHYSICS)  # a fresh batch
        tt.simulate(machine(), half.state, steps=5, seed=7, start_step=5, **PHYSICS)
        tt.simulate(machine(), half.state, steps=5, seed=8, **PHYSICS)
        tt.simulate(machine(), half.state, steps=5, seed=7, stream=tt.Stream.INITIAL, **PHYSICS)
        tt.simulate(machine(), half.state, steps=5, seed=7, sample_ids=torch.tensor([2, 3]), **PHYSICS)
        tt.simulate(machine(), half.state, steps=5, seed=7, dt=1e-2, temperature=0.0)
        tt.simulate(machine(), later.state, steps=5, seed=7, **PHYSICS)  # before those that it used
        tt.simulate(machine(), half.state, steps=5, **PHYSICS)


def test_a_trajectory_that_does_not_know_its_noise_is_not_continued():
    half = tt.simulate(machine(), torch.zeros(2, 3), steps=5, seed=7, **PHYSICS)
    same = {"seed": 7, "start_step": 5, "stream": tt.Stream.DYNAMICS, "sample_ids": torch.tensor([0, 1])}
    told = tt.simulate(machine(), half, steps=5, **same, **PHYSICS)
    assert torch.equal(told.state, tt.simulate(machine(), half, steps=5, **PHYSICS).state)
    with pytest.raises(ValueError, match=r"does not know its seed; pass trajectory\.state"):
        tt.simulate(machine(), replace(half, seed=None), steps=5, **PHYSICS)
    with pytest.raises(ValueError, match="sample_ids contradict"):
        tt.simulate(machine(), replace(half, sample_ids=None), steps=5, sample_ids=torch.tensor([0, 1]), **PHYSICS)


def test_linear_paths_without_a_seed_are_fresh():
    process, times = tt.OrnsteinUhlenbeck(torch.eye(2)), torch.tensor([0.0, 1.0])
    assert not torch.equal(process.sample(times, torch.zeros(3, 2)), process.sample(times, torch.zeros(3, 2)))
