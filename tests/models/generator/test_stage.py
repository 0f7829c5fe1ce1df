"""A stage of a chain: its noising is the closed form, and its held units are units like others."""

import math

import pytest
import torch

from thermotorch import PathWeights, simulate
from thermotorch.dynamics import Stream, normals
from thermotorch.models.generator.stage import DenoisingStage


@pytest.fixture
def stage() -> DenoisingStage:
    torch.manual_seed(0)
    stage = DenoisingStage(6, 5, 3, angle=40.0, temperature=0.05, t_final=1.2, dt=0.06, readout_time=0.12)
    for parameter in stage.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return stage.requires_grad_(False)


def test_noising_turns_the_image_by_the_angle(stage):
    count = 20_000
    image = torch.linspace(-0.75, 0.75, 6).expand(count, 6)
    noisy, heat = stage.noised(image, seed=1, sample_ids=torch.arange(count), step=3)
    angle = math.radians(40.0)
    deviation = 0.75 * math.sin(angle)
    mean_error = deviation / math.sqrt(count)
    torch.testing.assert_close(noisy.mean(0), math.cos(angle) * image[0], rtol=0, atol=4.5 * mean_error)
    torch.testing.assert_close(noisy.std(0), torch.full((6,), deviation), rtol=4.5 / math.sqrt(2 * count), atol=0)
    torch.testing.assert_close(heat, stage.opened(image) - stage.opened(noisy), rtol=0, atol=1e-5)


def test_hidden_units_start_at_the_spread_of_an_opened_well(stage):
    hidden = stage.hidden_start(torch.arange(20_000), seed=1, step=0)
    torch.testing.assert_close(hidden.std(0), torch.full((5,), 0.1), rtol=4.5 / math.sqrt(40_000), atol=0)


def test_force_and_energy_are_those_of_the_whole_network(stage):
    everyone, state, held = stage.machine().requires_grad_(False), torch.randn(4, 11), torch.randn(4, 6)
    labels = torch.nn.functional.one_hot(torch.tensor([0, 1, 2, 0]), 3).float()
    force, everything = stage.force(held, labels), torch.cat([state, held, labels], 1)
    torch.testing.assert_close(everyone.gradient(everything)[:, :11], stage.potential.gradient(state) - force)
    torch.testing.assert_close(everyone.energy(everything), stage.energy(state, force))


def test_a_run_is_that_of_the_whole_network_with_held_units_clamped(stage):
    everyone, state, held = stage.machine().requires_grad_(False), torch.randn(4, 11), torch.randn(4, 6)
    labels = torch.nn.functional.one_hot(torch.tensor([0, 1, 2, 0]), 3).float()
    common = {"steps": 40, "dt": 5e-3, "temperature": 0.05, "seed": 2, "integrator": "euler_maruyama"}
    alone = simulate(stage.potential, state, drive=stage.force(held, labels), **common)
    everything, clamp = torch.cat([state, held, labels], 1), torch.arange(20) >= 11
    # The noise of a unit depends on its number alone, so the free units see the same in both.
    together = simulate(everyone, everything, clamp=clamp, **common)
    torch.testing.assert_close(together.state[:, :11], alone.state, rtol=0, atol=1e-5)
    torch.testing.assert_close(together.heat, alone.heat, rtol=0, atol=1e-4)


def test_heat_of_a_stage_is_the_energy_that_it_lost(stage):
    draw = stage.draw(
        torch.randn(8, 6), torch.eye(3)[[0, 1, 2, 0, 1, 2, 0, 1]], seed=3, sample_ids=torch.arange(8), start_step=0,
        noise_step=0,
    )  # fmt: skip
    torch.testing.assert_close(draw.heat, draw.start - draw.end, rtol=0, atol=1e-4)


def test_a_stage_is_one_run_although_its_end_is_recorded(stage):
    visible, labels, ids = torch.randn(4, 6), torch.eye(3)[[0, 1, 2, 0]], torch.tensor([4, 9, 2, 3])
    draw = stage.draw(visible, labels, seed=3, sample_ids=ids, start_step=7, noise_step=2, weigh=True)
    # Hidden units start from the stream that prepares states, which no step of a run draws from.
    xi = normals(3, ids, 2, 1, 11, Stream.INITIAL)[0, :, stage.hidden]
    start = torch.cat([visible, 0.1 * xi], 1)
    whole = simulate(
        stage.potential, start, steps=stage.steps, dt=stage.dt, temperature=0.05, integrator="alternating", seed=3,
        sample_ids=ids, drive=stage.force(visible, labels), start_step=7, record=1,
        observers={"weights": PathWeights(stage.potential)},
    )  # fmt: skip
    torch.testing.assert_close(draw.state, whole.state)
    torch.testing.assert_close(draw.shown, whole.states[-2:, :, :6].mean(0))
    torch.testing.assert_close(draw.heat, whole.heat, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(draw.entropy, whole.observed["weights"].log_ratio, rtol=1e-5, atol=1e-4)


def test_standby_is_the_energy_of_hidden_units_in_wells_opened_to_their_spread(stage):
    """Wells j2 x^2 in which the thermal spread, sqrt(kT / (2 j2)), is that of the start."""
    ids = torch.arange(8)
    draw = stage.draw(torch.randn(8, 6), None, seed=3, sample_ids=ids, start_step=0, noise_step=0)
    begin, end = stage.hidden_start(ids, seed=3, step=0), draw.state[:, stage.hidden]
    j2 = 0.05 / (2 * 0.1**2)
    torch.testing.assert_close(draw.standby, j2 * (end.square().sum(1) - begin.square().sum(1)))


@pytest.mark.parametrize("readout_time", [0.06, 1.14])
def test_a_read_out_takes_one_step_at_least_and_leaves_one(readout_time):
    stage = DenoisingStage(4, 3, 0, angle=40.0, temperature=0.05, t_final=1.2, dt=0.06, readout_time=readout_time)
    assert stage.readout_steps == round(readout_time / 0.06)


@pytest.mark.parametrize("readout_time", [0.0, 1.2, 2.4])
def test_read_outs_of_nothing_or_of_the_whole_run_are_refused(readout_time):
    with pytest.raises(ValueError, match="readout_time: expected more than 0 and less than 1.2"):
        DenoisingStage(4, 3, 0, angle=40.0, temperature=0.05, t_final=1.2, dt=0.06, readout_time=readout_time)


@pytest.mark.parametrize("angle", [0.0, 90.0, -5.0])
def test_angles_that_are_no_noising_are_refused(angle):
    with pytest.raises(ValueError, match="angle"):
        DenoisingStage(4, 3, 0, angle=angle, temperature=0.05, t_final=1.2, dt=0.06, readout_time=0.12)


def test_pixels_have_single_wells_and_hidden_units_double_ones():
    """V = x^2 / 2 + x^4 of a pixel, -x^2 / 2 + x^4 of a hidden unit, when nothing is coupled."""
    stage = DenoisingStage(2, 3, 0, angle=40.0, temperature=0.05, t_final=1.2, dt=0.06, readout_time=0.12)
    state = torch.tensor([[0.5, 0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 0.5]])
    torch.testing.assert_close(stage.potential.energy(state), torch.tensor([0.125 + 0.0625, -0.125 + 0.0625]))


def test_hidden_units_that_start_at_rest_give_the_bath_nothing_on_their_way_back():
    """There are no wells so narrow; what a machine without spread does is left out."""
    stage = DenoisingStage(
        4, 3, 0, angle=40.0, temperature=0.05, t_final=1.2, dt=0.06, readout_time=0.12, hidden_spread=0.0
    )
    draw = stage.draw(torch.randn(5, 4), None, seed=3, sample_ids=torch.arange(5), start_step=0, noise_step=0)
    assert torch.equal(draw.standby, torch.zeros(5)) and draw.state[:, stage.hidden].any()
