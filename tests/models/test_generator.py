"""The generative computer: sizes of the paper, what is trained, and samples that are pure functions of their number."""

import copy
import math
import pickle

import pytest
import torch

from thermotorch.models.generator import ThermodynamicGenerator


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
