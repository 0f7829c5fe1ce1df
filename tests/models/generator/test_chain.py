"""A chain of machines: samples are functions of their number, the first law holds, and known pixels stay."""

import math

import pytest
import torch

from thermotorch.models.generator.chain import ThermodynamicChain

FIRST = {
    "hidden": 5, "hidden_hidden": False, "visible_bias": True, "num_classes": 3, "temperature": 0.05, "t_final": 2.0,
    "dt": 0.1, "j2": {"visible": 0.5, "hidden": -0.5}, "display_range": [-0.75, 0.75], "integrator": "alternating",
    "readout_time": 0.5,
}  # fmt: skip


@pytest.fixture
def chain() -> ThermodynamicChain:
    torch.manual_seed(0)
    chain = ThermodynamicChain((1, 3, 3), FIRST, angles=[60.0, 30.0], order=[0, 0, 1], hidden=7)
    for parameter in chain.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return chain


def test_sample_seven_is_the_same_alone_and_in_any_batch(chain):
    whole = chain.sample(10, seed=1, batch_size=4)
    alone = chain.sample(1, seed=1, sample_ids=[7], labels=[7 % 3])
    torch.testing.assert_close(whole.images[7:8], alone.images, rtol=0, atol=1e-6)
    torch.testing.assert_close(whole.heat[7:8], alone.heat, rtol=1e-5, atol=0)
    assert not torch.equal(whole.images, chain.sample(10, seed=2).images)
    assert chain.sample(0).images.shape == (0, 1, 3, 3)


def test_config_rebuilds_the_chain(chain):
    twin = ThermodynamicChain(**chain.config)
    twin.load_state_dict(chain.state_dict())
    assert torch.equal(twin.generate(3, seed=4), chain.generate(3, seed=4))


def test_first_law(chain, monkeypatch):
    ends, starts = [], []
    draw = type(chain.stages[0]).draw
    monkeypatch.setattr(
        type(chain.stages[0]), "draw", lambda self, *a, **k: ends.append(draw(self, *a, **k)) or ends[-1]
    )
    begin = chain.first.start
    monkeypatch.setattr(chain.first, "start", lambda *a, **k: starts.append(begin(*a, **k)) or starts[-1])
    samples = chain.sample(6, seed=2)
    j2, j4 = chain.first.potential.j2, chain.first.potential.j4
    wells = (j2 * starts[0] ** 2 + j4 * starts[0] ** 4).sum(-1)
    gained = ends[-1].end - wells
    torch.testing.assert_close(chain.temperature * (samples.work - samples.heat), gained, rtol=1e-4, atol=1e-3)


def test_each_run_of_a_stage_has_noise_of_its_own(chain, monkeypatch):
    """Numbers in the stream of initial states: those of noisings, and those of hidden units, are all different."""
    seen = []
    for name in ("noised", "hidden_start"):
        made = getattr(type(chain.stages[0]), name)
        monkeypatch.setattr(
            type(chain.stages[0]), name, lambda self, *a, made=made, **k: seen.append(k["step"]) or made(self, *a, **k)
        )
    drawn, draw = [], type(chain.stages[0]).draw
    monkeypatch.setattr(
        type(chain.stages[0]), "draw", lambda self, *a, **k: drawn.append(k["start_step"]) or draw(self, *a, **k)
    )
    chain.sample(2)
    assert len(set(seen)) == len(seen) == 6
    assert drawn == [20, 60, 100]  # one run after the other: 20 steps of the first machine, 40 of each stage


def test_what_is_loaded_is_the_image_between_black_and_white(chain):
    """Strong couplings drive visible units beyond both; the next stage gets no more than a display shows."""
    for parameter in chain.parameters():
        parameter.data.mul_(4.0)
    first, noising, *_ = chain.phases(torch.arange(6), torch.arange(6) % 3, seed=1)
    assert first.shown.max() > 0.75 and first.shown.min() < -0.75
    assert torch.equal(noising.begin, first.shown.clamp(-0.75, 0.75))


def test_standby_is_what_hidden_units_give_the_bath_on_their_way_back_to_noise(chain):
    """Of the first machine: the energy of its own wells, without image and labels, at the end less at the start."""
    ids, first = torch.arange(6), chain.first
    phase = next(chain.phases(ids, ids % 3, seed=4))
    start = first.start(6, seed=4, sample_ids=ids, labels=ids % 3)
    end = first.denoise(start, seed=4, sample_ids=ids).state
    wells = [(-0.5 * x**2 + x**4).sum(-1) for x in (start[:, first.hidden], end[:, first.hidden])]
    torch.testing.assert_close(phase.standby, wells[1] - wells[0])


def test_known_pixels_stay(chain):
    known = torch.rand(5, 1, 3, 3)
    mask = torch.zeros(1, 3, 3, dtype=torch.bool)
    mask[0, 1] = True
    images = chain.generate(5, known=known, mask=mask)
    torch.testing.assert_close(images[:, :, 1], known[:, :, 1], rtol=0, atol=1e-6)
    assert not torch.allclose(images[:, :, 0], known[:, :, 0])


def test_known_pixels_are_held_through_every_run_though_noise_takes_them_between(chain):
    known, mask, ids = torch.rand(5, 1, 3, 3), torch.zeros(1, 3, 3, dtype=torch.bool), torch.arange(5)
    mask[0, 1] = True
    held = chain.first.to_state(known)[:, mask.flatten()]
    for phase in chain.phases(ids, ids % 3, seed=1, known=known, mask=mask):
        still = torch.equal(phase.end[:, mask.flatten()], held)
        assert still != phase.name.startswith("noising"), phase.name
        assert not torch.allclose(phase.end[:, ~mask.flatten()], phase.begin[:, ~mask.flatten()])


def test_frames_leave_the_samples_alone_and_end_with_them(chain):
    times = chain.readable_times([0.0, 0.3, 1.0])
    samples = chain.sample(4, times=times)
    assert samples.frames.shape[:2] == (len(times), 4)
    assert torch.equal(samples.frames[-1], samples.images)
    assert torch.equal(samples.images, chain.generate(4))


def test_the_clock_adds_the_times_of_noisings_and_runs_in_their_order(chain):
    """A noising takes -ln cos(angle) a^2 / kT: 13 of 60 degrees, 2.7 of 30."""
    times = [0.0, 2.0]
    for angle in (60.0, 60.0, 30.0):
        times.append(times[-1] - math.log(math.cos(math.radians(angle))) * 0.75**2 / 0.03)
        times.append(times[-1] + 2.4)
    assert chain.readable_times([0.0] * len(times)) == pytest.approx(times)
    assert chain.t_final == pytest.approx(times[-1])
    assert chain.readable_times([0.95, 0.3, 0.31]) == pytest.approx([times[2], times[6]])


def test_a_recorded_stage_goes_from_the_noisy_image_to_its_end_as_it_would_unseen(chain):
    ids = torch.arange(5)
    unseen, recorded = (list(chain.phases(ids, ids % 3, seed=1, record=record)) for record in (False, True))
    for other, phase in zip(unseen, recorded, strict=True):
        assert other.states is None and torch.equal(phase.end, other.end)
        assert (phase.states is not None) == phase.name.startswith("stage")
        if phase.states is not None:
            visible = phase.states[..., :9]
            assert visible.shape == (1 + 40, 5, 9)
            assert torch.equal(visible[0], phase.begin) and torch.equal(visible[-1], phase.end)
            torch.testing.assert_close(visible[-4:].mean(0), phase.shown)  # the read-out takes 0.24 of 2.4


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"order": [0, 0]}, "order"),
        ({"order": [0, 1, 2]}, "order"),
        ({"first": {**FIRST, "display_range": [-0.5, 0.9]}}, "display_range"),
        ({"first": {**FIRST, "schedule": {"gain": [0.9, 1.0]}}}, "schedule"),
    ],
)
def test_chains_that_cannot_be_are_refused(arguments, name):
    with pytest.raises(ValueError, match=name):
        ThermodynamicChain(**{"image_shape": (1, 3, 3), "first": FIRST, "angles": [60.0, 30.0], **arguments})


def test_times_that_show_nothing_and_labels_without_classes_are_refused(chain):
    with pytest.raises(ValueError, match="times"):
        chain.sample(2, times=[0.123])
    with pytest.raises(ValueError, match="labels"):
        ThermodynamicChain((1, 3, 3), {**FIRST, "num_classes": 0}, angles=[60.0], hidden=7).sample(2, labels=[0, 1])


def test_every_noising_begins_with_what_was_shown_before_and_gives_its_entropy_at_the_temperature_of_the_chain(chain):
    """Shown is the average of a read-out, which differs from the end; the first machine has another temperature."""
    ids = torch.arange(6)
    phases = list(chain.phases(ids, ids % 3, seed=1, weigh=True))
    assert [phase.name for phase in phases[1::2]] == ["noising 0", "noising 0", "noising 1"]
    for before, noising, stage in zip(phases[0::2], phases[1::2], phases[2::2], strict=False):
        assert torch.equal(noising.begin, before.shown.clamp(-0.75, 0.75))
        assert torch.equal(noising.end, stage.begin) and torch.equal(noising.shown, noising.end)
        torch.testing.assert_close(noising.entropy, noising.heat.double() / 0.03)
        assert not noising.standby.any() and not torch.allclose(stage.shown, stage.end)
    assert [phase.temperature for phase in phases] == [0.05] + [0.03] * 6


def test_a_chain_with_a_die_is_in_the_mode_of_the_one_it_comes_from_and_reads_the_die_at_the_end_of_its_first_machine(
    chain,
):
    assert chain.with_die().training and not chain.eval().with_die().training
    own, seen = chain.with_die(), []
    drawn = own.first.drawn_class
    own.first.drawn_class = lambda state: seen.append(state) or drawn(state)
    first, *_ = own.phases(torch.arange(4), None, seed=3)
    ((state,), visible) = seen, own.first.visible
    assert torch.equal(state[:, visible], first.end) and not torch.equal(first.begin, first.end)
