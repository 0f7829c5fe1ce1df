"""Machines under a program of knobs: their books, and their entropy at several temperatures."""

import pytest
import torch

import thermotorch as tt
from tests.physics import assert_mean, float64, random_potential
from thermotorch.models.generator.machine import ThermodynamicGenerator
from thermotorch.models.generator.schedule import Segment, interaction, run_program, segments_of

PROGRAM = [Segment(0, 5, 0.6, 0.5), Segment(5, 9, 0.4, 0.8), Segment(9, 20, 0.2, 1.5)]
PHYSICS = {"dt": 0.02, "seed": 2, "integrator": "alternating"}


def start_states(batch: int, units: int = 6) -> torch.Tensor:
    return 0.5 * torch.randn(batch, units, dtype=float64, generator=torch.Generator().manual_seed(3))


def energy(potential: tt.Potential, gain: float, x: torch.Tensor) -> torch.Tensor:
    return potential.energy(x) + (gain - 1) * interaction(potential, x)


def test_energy_gained_is_work_minus_heat_for_the_program_and_for_its_parts():
    """Split within a segment, and where the gain is turned: that work belongs to the part that begins there."""
    potential, start = random_potential(6, bipartite=True), start_states(4)
    whole = run_program(potential, PROGRAM, start, first=0, last=20, **PHYSICS)
    gained = energy(potential, 1.5, whole.state) - energy(potential, 0.5, start)
    torch.testing.assert_close(gained, whole.work - whole.heat, rtol=1e-12, atol=1e-12)
    assert whole.work.abs().min() > 0.01
    state, parts = start, []
    for first, last in ((0, 5), (5, 7), (7, 9), (9, 20)):
        parts.append(run_program(potential, PROGRAM, state, first=first, last=last, **PHYSICS))
        state = parts[-1].state
    torch.testing.assert_close(sum(part.work for part in parts), whole.work)
    torch.testing.assert_close(sum(part.heat for part in parts), whole.heat)
    torch.testing.assert_close(parts[1].work, 0.3 * interaction(potential, parts[0].state))
    assert not parts[0].work.any() and not parts[2].work.any()


def test_entropy_given_to_the_bath_is_each_segments_heat_at_its_own_temperature():
    """Quadratic units, for which it is that to rounding."""
    potential, observers = random_potential(6, bipartite=True, j4=0.0), {}
    observers["weights"] = tt.PathWeights(potential)
    run = run_program(potential, PROGRAM, start_states(4), first=0, last=20, observers=observers, **PHYSICS)
    expected, state = 0.0, start_states(4)
    for segment in PROGRAM:
        part = run_program(potential, PROGRAM, state, first=segment.first, last=segment.last, **PHYSICS)
        expected, state = expected + part.heat / segment.temperature, part.state
    torch.testing.assert_close(run.observed["weights"].log_ratio, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("integrator", ["euler_maruyama", "alternating"])
def test_integral_fluctuation_theorem_through_a_program_of_temperatures_and_gains(integrator):
    """Exact at any time step: knobs that turn between steps change no path weight."""
    potential, law = random_potential(2, 0.8, bipartite=True, j4=0.1), torch.distributions.Normal(0.0, 0.6)
    start = 0.6 * torch.randn(40_000, 2, dtype=float64, generator=torch.Generator().manual_seed(1))
    program = [Segment(0, 3, 0.8, 0.5), Segment(3, 6, 0.4, 1.5)]
    with torch.no_grad():
        run = run_program(potential, program, start, first=0, last=6, dt=0.05, seed=2, integrator=integrator,
                          observers={"weights": tt.PathWeights(potential)})  # fmt: skip
    change = (law.log_prob(run.state) - law.log_prob(start)).sum(1)
    production = run.observed["weights"].log_ratio - change
    assert production.std() > 0.5 and production.mean() > 0
    assert_mean(torch.exp(-production), 1.0, 4)


def test_samples_of_a_scheduled_machine_pay_for_every_turn_of_the_gain():
    """Work of switching on at the first gain, and of each turn; heat and work close the books of the sample."""
    schedule = {"gain": [0.5, 0.8, 1.2]}
    model = ThermodynamicGenerator((1, 3, 3), hidden=4, t_final=0.21, dt=0.01, schedule=schedule).double()
    torch.nn.init.normal_(next(model.potential.couplings.parameters()), std=0.5)
    samples = model.sample(5, seed=1)
    start = model.start(5, seed=1)
    with torch.no_grad():
        run = model.denoise(start, seed=1)
        off = energy(model.potential, 0.0, start)
        gained = energy(model.potential, 1.2, run.state) - off
    torch.testing.assert_close(samples.work - samples.heat, gained / model.temperature)
    assert (samples.work - 0.5 * interaction(model.potential, start).detach() / model.temperature).abs().min() > 1e-3


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ({"temperature": [1.0, -0.5]}, r"schedule\['temperature'\]\[1\] must be finite and not negative"),
        ({"gain": [1.0, float("nan")]}, r"schedule\['gain'\]\[1\]"),
        ({"gain": [1.0] * 3}, "3 segments of 20 steps are not equally long.* 18 or 21 steps"),
        ({"gain": [1.0] * 21}, "1 ... 20"),
        ({"gain": []}, "1 ... 20"),
    ],
)
def test_programs_that_nothing_can_follow_are_refused(schedule, words):
    with pytest.raises(ValueError, match=words):
        segments_of(schedule, 20, 0.3)


def test_segments_are_equally_long_and_have_the_factors_of_their_knobs():
    """A gain may change its sign, a temperature not."""
    assert segments_of({"temperature": [2.0, 0.0], "gain": [-1.0, 0.5]}, 20, 0.3) == [
        Segment(0, 10, 0.6, -1.0), Segment(10, 20, 0.0, 0.5),
    ]  # fmt: skip
    assert segments_of({"gain": [2]}, 20, 0.3) == [Segment(0, 20, 0.3, 2.0)]
    assert segments_of(None, 20, 0.3) == [Segment(0, 20, 0.3, 1.0)]


def test_a_program_ends_at_its_last_step_from_which_it_goes_on():
    potential = random_potential(6, bipartite=True)
    run = run_program(potential, PROGRAM, start_states(4), first=0, last=20, record=3, **PHYSICS)
    assert run.step == 20 and len(run.states) == len(run.times)
    assert run_program(potential, PROGRAM, start_states(4), first=0, last=9, **PHYSICS).step == 9
