"""The generative computer: sizes of the paper, what is trained, and samples that are pure functions of their number."""

import copy
import math
import pickle

import pytest
import torch

from thermotorch import simulate
from thermotorch.models.generator.machine import ThermodynamicGenerator


@pytest.fixture
def small() -> ThermodynamicGenerator:
    torch.manual_seed(0)
    model = ThermodynamicGenerator(image_shape=(1, 3, 3), hidden=5, t_final=0.05)
    for parameter in model.potential.couplings.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model


def test_the_paper_machine_trains_532736_numbers():
    model = ThermodynamicGenerator()
    couplings = model.potential.couplings
    assert couplings.num_bonds == 401_408 + 130_816
    assert couplings.num_bonds + int((~model.potential.fixed_bias).sum()) == 532_736
    assert not couplings.mask()[:784, :784].any()
    assert model.steps == 2500


@pytest.mark.parametrize("way", ["original", "deepcopy", "pickle"])
def test_visible_biases_get_no_gradient(small, way):
    model = {"original": lambda m: m, "deepcopy": copy.deepcopy, "pickle": lambda m: pickle.loads(pickle.dumps(m))}[
        way
    ](small)
    model.potential.energy(torch.ones(14)).backward()
    assert torch.equal(model.potential.bias.grad, torch.tensor([0.0] * 9 + [1.0] * 5))
    free = ThermodynamicGenerator((1, 3, 3), hidden=5, visible_bias=True)
    free.potential.energy(torch.ones(14)).backward()
    assert torch.equal(free.potential.bias.grad, torch.ones(14))


def test_config_rebuilds_the_model(small):
    twin = ThermodynamicGenerator(**small.config)
    twin.load_state_dict(small.state_dict())
    assert torch.equal(twin.generate(2, seed=4), small.generate(2, seed=4))


def test_sample_seven_is_the_same_alone_and_in_any_batch(small):
    whole = small.sample(10, seed=1, batch_size=4)
    alone = small.sample(1, seed=1, sample_ids=torch.tensor([7]))
    torch.testing.assert_close(
        whole.images[7:8], alone.images, rtol=0, atol=1e-6
    )  # matrix products differ in their last bit
    torch.testing.assert_close(whole.heat[7:8], alone.heat, rtol=0, atol=1e-4)
    assert not torch.equal(whole.images, small.sample(10, seed=2).images)


def test_energy_of_a_sample_adds_up(small):
    """Switching work + V0(start) - heat x kT = V(end): nothing else exchanges energy."""
    ids = torch.arange(6)
    samples, start = small.sample(6, seed=3), small.noise(6, seed=3)
    end = small.denoise(start, seed=3, sample_ids=ids).state
    on_site = (start**2 + start**4).sum(-1)
    balance = on_site + small.temperature * (samples.work - samples.heat)
    torch.testing.assert_close(balance, small.potential.energy(end), rtol=1e-5, atol=1e-5)


def test_untrained_machine_generates_noise_without_heat():
    model = ThermodynamicGenerator(image_shape=(1, 10, 10), hidden=20, dt=5e-3)
    samples = model.sample(200, seed=0)
    energy_deviation = 0.6 * math.sqrt(
        120
    )  # of V / kT over samples, about; a quartic unit's is a little below 1 / sqrt 2
    assert abs(samples.heat.mean().item()) < 5 * energy_deviation * math.sqrt(2 / 200)
    assert torch.equal(samples.work, torch.zeros(200))


def test_images_are_the_visible_units_between_black_and_white():
    model = ThermodynamicGenerator(image_shape=(1, 1, 3), hidden=1, display_range=(-1.0, 3.0))
    shown = model.to_images(torch.tensor([[-2.0, 1.0, 3.0, 99.0]]))
    assert torch.equal(shown, torch.tensor([[[[0.0, 0.5, 1.0]]]]))


def test_progress_counts_samples_and_zero_samples_are_none(small):
    seen = []
    small.generate(5, batch_size=2, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(2, 5), (4, 5), (5, 5)]
    assert small.generate(0).shape == (0, 1, 3, 3)
    with pytest.raises(ValueError, match="sample_ids"):
        small.generate(3, sample_ids=torch.arange(2))


def randomised(**config) -> ThermodynamicGenerator:
    torch.manual_seed(0)
    model = ThermodynamicGenerator(**{"image_shape": (1, 3, 3), "hidden": 5, "t_final": 0.5, "dt": 0.01, **config})
    for parameter in model.potential.couplings.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model


def test_layers_are_coupled_to_their_neighbours_only():
    model = randomised(hidden=[5, 4], hidden_hidden=False, num_classes=3)
    bonds = model.potential.couplings.mask()
    visible, first, second, label = slice(0, 9), slice(9, 14), slice(14, 18), slice(18, 21)
    expected = torch.zeros(21, 21, dtype=torch.bool)
    for a, b in ((visible, first), (first, second), (second, label)):
        expected[a, b] = expected.T[a, b] = True
    assert torch.equal(bonds, expected)
    assert model.hidden == slice(9, 18)


def test_wells_by_group():
    model = randomised(j2={"hidden": -0.5}, j4={"visible": 2.0})
    assert torch.equal(model.potential.j2, torch.tensor([1.0] * 9 + [-0.5] * 5))
    assert torch.equal(model.potential.j4, torch.tensor([2.0] * 9 + [1.0] * 5))
    assert randomised(j2=-0.5).potential.j2 == -0.5
    layered = randomised(hidden=[5, 4], j2={"hidden": -0.5, "hidden2": -1.0})
    assert torch.equal(layered.potential.j2, torch.tensor([1.0] * 9 + [-0.5] * 5 + [-1.0] * 4))
    with pytest.raises(ValueError, match="hiden"):
        randomised(j2={"hiden": -0.5})


def test_mobility_by_group_is_that_of_simulate():
    model = randomised(mobility={"hidden": 2.0})
    mobility = torch.tensor([1.0] * 9 + [2.0] * 5)
    start = torch.randn(2, 14, generator=torch.Generator().manual_seed(0))
    by_hand = simulate(model.potential, start, steps=50, dt=0.01, temperature=0.1, mobility=mobility, seed=0).state
    assert torch.equal(model.denoise(start, seed=0).state, by_hand)
    with torch.no_grad():
        assert not torch.allclose(by_hand, randomised().denoise(start, seed=0).state, atol=1e-2)


def test_label_units_stand_where_they_are_put_and_choose_the_image():
    model = randomised(num_classes=3)
    labels = torch.tensor([2, 0])
    start = model.start(2, labels=labels)
    assert torch.equal(start[:, -3:], torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]))
    run = model.denoise(start, seed=0)
    assert torch.equal(run.state[:, -3:], start[:, -3:])
    assert (run.state[:, :-3] != start[:, :-3]).all()
    # The same noise with other labels is another image; the label acts through its couplings to the hidden units alone.
    assert not torch.equal(model.generate(2, labels=labels), model.generate(2, labels=labels.flip(0)))
    model.potential.couplings.set_block("hidden", "label", torch.zeros(5, 3))
    assert torch.equal(model.generate(2, labels=labels), model.generate(2, labels=labels.flip(0)))


def test_classes_follow_the_sample_number_by_default():
    model = randomised(num_classes=3)
    ids = torch.tensor([4, 8])
    wanted = model.generate(2, sample_ids=ids, labels=torch.tensor([1, 2]))
    assert torch.equal(model.generate(2, sample_ids=ids), wanted)


@pytest.mark.parametrize(
    "labels, words", [([0, 3], "classes below 3"), ([0], "2 classes"), ([-1, 0], "classes below 3")]
)
def test_labels_that_do_not_fit_are_refused(labels, words):
    with pytest.raises(ValueError, match=words):
        randomised(num_classes=3).generate(2, labels=torch.tensor(labels))


def test_a_machine_without_labels_cannot_be_asked():
    with pytest.raises(ValueError, match="no label units"):
        randomised().generate(2, labels=torch.tensor([0, 1]))


def test_inpainting_holds_the_known_pixels_and_draws_the_others():
    model = randomised(display_range=(-0.75, 0.75))
    known = torch.rand(4, 1, 3, 3, generator=torch.Generator().manual_seed(1))
    mask = torch.zeros(1, 3, 3, dtype=torch.bool)
    mask[:, :2] = True
    drawn = model.generate(4, known=known, mask=mask)
    torch.testing.assert_close(drawn[:, :, :2], known[:, :, :2], rtol=0, atol=1e-6)
    in_pieces = model.generate(4, known=known, mask=mask, batch_size=3)
    torch.testing.assert_close(in_pieces, drawn, rtol=0, atol=1e-6)
    changed = torch.where(mask, known, 1 - known)  # what is not known does not matter
    assert torch.equal(model.generate(4, known=changed, mask=mask), drawn)
    assert (drawn[:, :, 2] != model.generate(4)[:, :, 2]).any()  # and what is known does
    with pytest.raises(ValueError, match=r"known: expected shape \(4, 1, 3, 3\), got \(4, 3, 3\)"):
        model.generate(4, known=known[:, 0], mask=mask)
    with pytest.raises(ValueError, match="known, mask: expected both"):
        model.generate(4, known=known)
    with pytest.raises(ValueError, match="bool tensor"):
        model.generate(4, known=known, mask=mask.float())


def test_the_read_out_is_the_average_of_the_last_states():
    model = randomised(readout_time=0.1)
    start = model.noise(3)
    whole = model.denoise(start, seed=0, record=1)
    reading = model.read(start, seed=0)
    torch.testing.assert_close(reading.state, whole.states[-10:].mean(0), rtol=0, atol=1e-6)
    torch.testing.assert_close(reading.heat, whole.heat, rtol=0, atol=1e-5)


def test_an_integrating_read_out_is_unbiased_and_quieter():
    """Uncoupled units at equilibrium: the mean stays 0, the variance falls by the number of independent looks."""
    model = ThermodynamicGenerator((1, 4, 4), hidden=1, t_final=4.0, dt=0.01, readout_time=2.0, temperature=0.1)
    start = model.noise(500)
    averaged, snapshot = model.read(start).state, model.denoise(start).state
    error = averaged.std() / math.sqrt(averaged.numel())
    assert abs(averaged.mean()) < 4 * error
    # relaxation rate 2 j2 + O(kT) = 2 to 2.5 over a window of 2: var falls by (1 - (1 - e^-y) / y) 2 / y, y = 4 to 5
    assert 0.30 < averaged.var() / snapshot.var() < 0.40


def test_readout_longer_than_the_run_is_refused():
    with pytest.raises(ValueError, match="less than t_final"):
        randomised(readout_time=0.5)


def test_a_schedule_of_ones_is_no_schedule():
    autonomous, scheduled = randomised(), randomised(schedule={"gain": [1.0] * 5, "temperature": [1.0] * 5})
    start = autonomous.noise(3)
    one, other = (model.denoise(start, seed=0, record=7) for model in (autonomous, scheduled))
    torch.testing.assert_close(one.state, other.state, rtol=0, atol=1e-6)
    torch.testing.assert_close(one.heat, other.heat, rtol=0, atol=1e-5)
    torch.testing.assert_close(one.states, other.states, rtol=0, atol=1e-6)
    torch.testing.assert_close(one.times, other.times)


def test_a_schedule_turns_temperature_and_gain():
    """Two segments by hand: other temperature, then couplings and biases twice as strong."""
    model = randomised(schedule={"temperature": [3.0, 1.0], "gain": [1.0, 2.0]}, visible_bias=True)
    torch.nn.init.normal_(model.potential.bias, std=0.3)
    start = model.noise(3)
    half = {"dt": 0.01, "steps": 25}
    first = simulate(model.potential, start, temperature=0.3, **half, seed=0)
    strong = copy.deepcopy(model.potential)
    with torch.no_grad():
        for parameter in strong.parameters():
            parameter *= 2
    second = simulate(strong, first.state, temperature=0.1, start_step=25, **half, seed=0)
    run = model.denoise(start, seed=0)
    torch.testing.assert_close(run.state, second.state, rtol=0, atol=1e-6)
    torch.testing.assert_close(run.heat, first.heat + second.heat, rtol=0, atol=1e-5)


def test_gradients_reach_the_couplings_through_every_segment():
    model = randomised(schedule={"gain": [0.5, 2.0]}, readout_time=0.05)
    model.read(model.noise(2)).state.square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in model.potential.couplings.parameters())


@pytest.mark.parametrize(
    "schedule, words", [({"gian": [1.0]}, "gian"), ({"gain": [1.0], "temperature": [1.0, 2.0]}, "equally")]
)
def test_schedules_that_do_not_fit_are_refused(schedule, words):
    with pytest.raises(ValueError, match=words):
        randomised(schedule=schedule)


@pytest.mark.parametrize("config", [{"hidden": [5, 4]}, {"num_classes": 3}, {"j2": {"hidden": -0.5}}])
def test_machines_without_a_noising_protocol_say_so(config):
    with pytest.raises(ValueError, match="noising"):
        randomised(**config).noising()


@pytest.mark.parametrize("readout", [0.0, 0.008])
def test_frames_are_what_the_machine_would_have_shown_then(small, readout):
    model = ThermodynamicGenerator(**{**small.config, "readout_time": readout})
    model.load_state_dict(small.state_dict())
    plain = model.sample(5, seed=3)
    seen = model.sample(5, seed=3, batch_size=2, times=[0.0, 0.004, 0.03, 0.05])
    assert plain.frames is None and seen.frames.shape == (4, 5, 1, 3, 3)
    torch.testing.assert_close(seen.images, plain.images, rtol=0, atol=1e-6)  # matrix products differ in their last bit
    torch.testing.assert_close(seen.heat, plain.heat, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(seen.frames[-1], seen.images, rtol=0, atol=0)
    start = model.start(5, seed=3)
    states = torch.cat([start[None], model.denoise(start, seed=3, record=1).states])
    width = max(1, model.readout_steps)
    expected = [start, states[1:5].mean(0) if readout else states[4], states[31 - width : 31].mean(0)]
    for frame, state in zip(seen.frames, expected, strict=False):
        torch.testing.assert_close(frame, model.to_images(state), rtol=0, atol=1e-6)


@pytest.mark.parametrize("times", [[0.02, 0.01], [0.06], [-0.01], [0.045]])
def test_times_that_cannot_be_read_are_refused(small, times):
    model = ThermodynamicGenerator(**{**small.config, "readout_time": 0.01})
    with pytest.raises(ValueError, match="times"):
        model.sample(2, times=times)


def test_the_noise_is_that_of_units_with_their_mobility():
    """Half the mobility for twice the time is the same run, step by step."""
    slow = ThermodynamicGenerator((1, 3, 3), hidden=5, t_final=0.8, dt=0.02, mobility=0.5)
    plain = ThermodynamicGenerator((1, 3, 3), hidden=5, t_final=0.4, dt=0.01)
    torch.testing.assert_close(slow.noise(6, seed=0), plain.noise(6, seed=0))


def test_times_to_read_are_the_nearest_steps_a_read_out_apart_and_the_last_counts_most():
    """Of 50 steps: 18 is nearest to 0.35; 15 is too near to it, and 45 to the end, whose read-out takes 10 steps."""
    model = randomised(readout_time=0.1)
    assert model.readable_times([0.0, 0.3, 0.351, 0.9, 1.0, 1.0]) == pytest.approx([0.0, 0.18, 0.5])
    assert model.readable_times([0.6, 0.8]) == pytest.approx([0.3, 0.4])
    assert randomised().readable_times([0.3, 0.32, 1.0]) == pytest.approx([0.15, 0.16, 0.5])


def test_a_machine_at_another_step_or_with_a_die_keeps_dtype_precision_and_mode():
    model = randomised(num_classes=3, readout_time=0.1).double().eval()
    model.precision = "tf32"
    finer = model.at_step(0.005)
    assert finer.potential is model.potential and (finer.steps, finer.readout_steps) == (100, 20)
    drawing = model.with_die()
    for other in (finer, drawing, drawing.without_die()):
        assert other.precision == "tf32" and other.mobility.dtype == other.potential.bias.dtype == torch.float64
    assert not drawing.training and randomised(num_classes=3).with_die().training


def test_the_class_that_was_drawn_is_that_of_each_state_of_a_path():
    model = randomised(num_classes=3).with_die()
    path = torch.zeros(2, 4, model.potential.num_units)
    classes = torch.tensor([[2, 0, 1, 1], [0, 2, 2, 1]])
    path[..., model.groups["label"]] = torch.nn.functional.one_hot(classes, 3).float()
    assert torch.equal(model.drawn_class(path), classes)
