"""The noising protocol against the paper's numbers and the quadratic closed form."""

import math

import pytest
import torch

import thermotorch as tt
from tests.test_user_potentials import TILT, Tilted
from thermotorch.models.generator.machine import ThermodynamicGenerator
from thermotorch.models.generator.noising import Noising, wells_of


def test_force_is_twice_the_pixel_and_hidden_units_repeat_the_image():
    pixels = torch.randn(3, 5)
    force = Noising(hidden=7).force(pixels)
    assert torch.equal(force[:, :5], 2 * pixels)
    assert torch.equal(force[:, 5:], 2 * pixels[:, [0, 1, 2, 3, 4, 0, 1]])


def test_schedule_falls_linearly_and_vanishes_in_the_last_quarter():
    noising = Noising(hidden=1)
    assert noising.steps == 2500
    assert noising.schedule(0) == 1.0
    assert noising.schedule(750) == pytest.approx(1 - 0.75 / 1.875)
    assert noising.schedule(1875) == pytest.approx(0.0, abs=1e-12)
    assert noising.schedule(2499) == 0.0


def test_quadratic_units_follow_the_ramp_exactly():
    """With j4 = 0 the mean obeys dm/dt = -2 m + s(t) h, m(0) = h/2 (1 - e^{-2 t_f}), solved in pieces."""
    noising, pixel, samples = Noising(hidden=1, j4=0.0, dt=5e-3), 1.5, 4000
    start, decay = noising.run(torch.full((samples, 1), pixel), seed=3)
    force, ramp_end = 2 * pixel, 0.75 * 2.5
    mean = force / 2 * (1 - math.exp(-2 * 2.5))
    error = (
        5 * math.sqrt(0.05 / (2 * samples)) + 4e-3
    )  # five standard errors of two units' mean, and the time step's bias
    assert abs(start.mean().item() - mean) < error
    # A particular solution during the ramp is p(t) = h/2 (s(t) + 1 / (2 ramp_end)).
    particular = force / 2 * (1 + 1 / (2 * ramp_end))
    mean = force / 2 / (2 * ramp_end) + (mean - particular) * math.exp(-2 * ramp_end)
    mean *= math.exp(-2 * (2.5 - ramp_end))
    assert abs(decay.state.mean().item() - mean) < error


def test_noise_at_the_end_has_the_variance_of_a_free_quartic_unit():
    """The sheet gives 0.041 per unit at kT = 0.1, j2 = j4 = 1."""
    samples = 4000
    _, decay = Noising(hidden=1, dt=5e-3).run(torch.zeros(samples, 1), seed=1)
    assert decay.state.var().item() == pytest.approx(0.04088, abs=5 * 0.04088 * math.sqrt(2 / (2 * samples)))


def test_stages_draw_different_noise():
    """Equilibration and decay use different steps of one stream: their noise must not be correlated."""
    noising = Noising(hidden=1, t_final=1e-3)
    start, decay = noising.run(torch.zeros(4000, 1), seed=0)
    moved = decay.state - start
    correlation = (start * moved).mean() / (start.std() * moved.std())
    assert abs(correlation.item()) < 5 / math.sqrt(8000)


def test_training_never_sees_the_noise_that_prepares_samples():
    """At one seed, noising an empty image and preparing a sample are the same run with independent noise."""
    model = ThermodynamicGenerator(image_shape=(1, 20, 20), hidden=400, t_final=0.01)
    start, _ = model.noising().run(torch.zeros(5, 400), seed=0)
    prepared = model.noise(5, seed=0)
    correlation = (start * prepared).mean() / (start.std() * prepared.std())
    assert abs(correlation.item()) < 5 / math.sqrt(5 * 800)


def test_a_coarser_protocol_is_the_same_one_in_longer_steps_of_exact_flows():
    noising = Noising(hidden=2, temperature=0.2, t_final=0.4, dt=5e-3, j2=-0.5, j4=2.0, strength=1.5, ramp=0.5)
    coarse, pixels = noising.coarser(20), torch.randn(3, 4)
    assert (coarse.dt, coarse.steps) == (pytest.approx(0.1), 4)
    force, wells = coarse.force(pixels), tt.Potential(tt.BlockCouplings({"unit": 6}, []), -0.5, 0.0, 2.0)
    common = {"dt": 0.1, "temperature": 0.2, "seed": 3, "stream": tt.Stream.DATA, "integrator": "splitting"}
    start = tt.simulate(wells, torch.zeros(3, 6), steps=4, drive=force, **common).state
    fall = [1.0, 0.5, 0.0, 0.0]  # zero from half of the time on
    end = tt.simulate(wells, start, steps=4, start_step=4, drive=lambda step: fall[step - 4] * force, **common).state
    found, decay = coarse.run(pixels, seed=3)
    torch.testing.assert_close(found, start)
    torch.testing.assert_close(decay.state, end)


def test_paths_do_not_depend_on_the_batch():
    pixels, noising = torch.randn(4, 6), Noising(hidden=3, t_final=0.02)
    _, whole = noising.run(pixels, seed=2, record=1)
    _, one = noising.run(pixels[2:3], seed=2, sample_ids=torch.tensor([2]), record=1)
    assert torch.equal(whole.states[:, 2:3], one.states)


def test_work_of_the_fading_force_balances_the_books():
    noising = Noising(hidden=2, t_final=0.1)
    start, decay = noising.run(torch.randn(5, 4).double(), seed=0)
    free = tt.Potential(tt.BlockCouplings({"unit": 6}, [])).double()
    torch.testing.assert_close(decay.heat, free.energy(start) - free.energy(decay.state) + decay.work)


def test_the_wells_of_a_law_of_the_users_own_are_that_law_without_couplings_and_biases():
    potential, x = Tilted(tt.DenseCouplings(3), j2=0.5, bias=0.7), torch.randn(4, 3)
    torch.nn.init.normal_(potential.couplings.bonds)
    wells = wells_of(potential)
    expected = (0.5 * x**2 + x**4 + TILT * x).sum(-1)
    torch.testing.assert_close(wells.energy(x), expected)
    assert not any(parameter.requires_grad for parameter in wells.parameters())
    assert (potential.bias == 0.7).all() and all(parameter.requires_grad for parameter in potential.parameters())
    torch.testing.assert_close(
        wells_of(tt.Potential(tt.DenseCouplings(3), j2=0.5, bias=0.7)).energy(x), expected - TILT * x.sum(-1)
    )
