import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from thermotorch.models.baselines.diffusion import DiffusionModel
from thermotorch.models.baselines.flow import FlowMatchingModel

TINY = {"image_size": 8, "block_out_channels": [8, 16]}


class GaussianOracle(nn.Module):
    """The best possible velocity when pixels are independent N(mean, std^2): E[noise - x_0 | x_s] in closed form."""

    def __init__(self, mean: float, std: float, levels: int) -> None:
        super().__init__()
        self.mean, self.std, self.levels = mean, std, levels
        self.unused = nn.Parameter(torch.zeros(()))  # tells the model its device

    def forward(self, noisy, timesteps, labels):
        level = (timesteps / self.levels).view(-1, 1, 1, 1)
        variance = ((1 - level) * self.std) ** 2 + level**2
        centred = noisy - (1 - level) * self.mean
        velocity = (level - (1 - level) * self.std**2) / variance * centred - self.mean
        return SimpleNamespace(sample=velocity)


def test_euler_reaches_the_gaussian_whose_velocity_it_follows():
    mean, std = 0.3, 0.2
    model = FlowMatchingModel(**TINY, num_train_timesteps=500)
    model.unet = GaussianOracle(mean, std, 500)
    pixels = 2 * model.generate(100, steps=200).double() - 1
    assert abs(pixels.mean() - mean) < 5 * std / math.sqrt(pixels.numel()) + 0.002
    assert abs(pixels.std() - std) < 0.05 * std


def test_one_step_goes_along_the_straight_line():
    """x_0 = x_1 - v(x_1, 1), so an oracle of one image gives that image in a single step."""
    model = FlowMatchingModel(**TINY)
    model.unet = GaussianOracle(0.5, 0.0, 1000)
    torch.testing.assert_close(model.generate(2, steps=1), torch.full((2, 1, 8, 8), 0.75), atol=1e-5, rtol=0)


def test_loss_is_the_distance_to_the_closed_form_velocity():
    torch.manual_seed(0)
    model = FlowMatchingModel(**TINY, num_classes=3)
    images, noise, timesteps = torch.rand(3, 1, 8, 8), torch.randn(3, 1, 8, 8), torch.tensor([0, 400, 999])
    labels, clean, level = torch.tensor([0, 3, 2]), 2 * images - 1, torch.tensor([0.001, 0.401, 1.0]).view(-1, 1, 1, 1)
    prediction = model((1 - level) * clean + level * noise, torch.tensor([1, 401, 1000]), labels)
    expected = (prediction - (noise - clean)).square().mean()
    torch.testing.assert_close(model.loss(images, noise, timesteps, labels), expected)


def test_a_sample_does_not_depend_on_its_batch():
    torch.manual_seed(0)
    model = FlowMatchingModel(**TINY, num_classes=3)
    together = model.generate(7, seed=3, steps=6)
    torch.testing.assert_close(together, model.generate(7, seed=3, steps=6, batch_size=3), atol=2e-6, rtol=0)
    some = model.generate(2, seed=3, sample_ids=torch.tensor([6, 2]), steps=6)
    torch.testing.assert_close(together[[6, 2]], some, atol=2e-6, rtol=0)
    assert (together[0] - together[1]).abs().max() > 1e-3


def test_the_class_is_left_out_without_guidance():
    torch.manual_seed(0)
    model = FlowMatchingModel(**TINY, num_classes=3)
    zeros, twos = (model.generate(2, steps=2, guidance=0.0, labels=torch.full((2,), label)) for label in (0, 2))
    assert torch.equal(zeros, twos)


def test_samplers_of_diffusion_are_refused_by_name():
    with pytest.raises(ValueError, match="sampler: expected one of euler, found 'ddim'"):
        FlowMatchingModel(**TINY).generate(1, sampler="ddim")


@pytest.mark.parametrize("model", [DiffusionModel, FlowMatchingModel])
def test_only_a_sampler_of_the_model_has_a_schedule(model):
    made = model(image_size=8, block_out_channels=[8])
    for name in made.samplers:
        made.scheduler(name)
    with pytest.raises(ValueError, match="sampler"):
        made.scheduler("eulr")
