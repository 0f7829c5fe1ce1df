import hashlib
import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from thermotorch.models.baselines import diffusion
from thermotorch.models.baselines.diffusion import SAMPLER_STEPS, DiffusionModel
from thermotorch.models.baselines.flow import FlowMatchingModel

TINY = {"image_size": 8, "block_out_channels": [8, 16], "num_train_timesteps": 1000}


@pytest.fixture
def model() -> DiffusionModel:
    torch.manual_seed(0)
    return DiffusionModel(**TINY)


class GaussianOracle(nn.Module):
    """The best possible v-prediction when pixels are independent N(mean, std^2): E[v | x_t] in closed form."""

    def __init__(self, noising, mean: float, std: float) -> None:
        super().__init__()
        self.noising, self.mean, self.std = noising, mean, std
        self.unused = nn.Parameter(torch.zeros(()))  # tells the model its device

    def forward(self, noisy, timesteps, labels):
        alpha_squared = self.noising.alphas_cumprod[timesteps].view(-1, 1, 1, 1)
        alpha, sigma = alpha_squared.sqrt(), (1 - alpha_squared).sqrt()
        gain = alpha * self.std**2 / (alpha_squared * self.std**2 + sigma**2)
        clean = self.mean + gain * (noisy - alpha * self.mean)
        noise = (noisy - alpha * clean) / sigma
        return SimpleNamespace(sample=alpha * noise - sigma * clean)


def test_noising_keeps_the_variance_and_has_the_cosine_signal(model):
    """x_t = alpha x_0 + sigma noise with alpha^2 + sigma^2 = 1 and alpha^2 = f(t+1)/f(0), f = cos^2 (Nichol,
    Dhariwal).
    """
    timesteps = torch.tensor([0, 250, 500, 900])
    steps = model.config["num_train_timesteps"]
    phase = ((timesteps + 1).double() / steps + 0.008) / 1.008 * math.pi / 2
    expected = (phase.cos() / math.cos(0.008 / 1.008 * math.pi / 2)) ** 2
    assert torch.allclose(model.noising.alphas_cumprod[timesteps].double(), expected, rtol=1e-4)

    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(4, 1, 200, 200, generator=generator)
    noisy = model.noising.add_noise(torch.full_like(noise, 0.7), noise, timesteps)
    alpha = expected.sqrt()
    assert torch.allclose(noisy.mean(dim=(1, 2, 3)).double(), 0.7 * alpha, atol=5 / 200)
    assert torch.allclose(noisy.var(dim=(1, 2, 3)).double(), 1 - expected, rtol=0.04, atol=1e-5)


@pytest.mark.parametrize(
    ("prediction_type", "target"),
    [
        ("v_prediction", lambda clean, noise, alpha, sigma: alpha * noise - sigma * clean),
        ("epsilon", lambda clean, noise, alpha, sigma: noise),
        ("sample", lambda clean, noise, alpha, sigma: clean),
    ],
)
def test_loss_is_the_distance_to_the_closed_form_target(prediction_type, target):
    torch.manual_seed(0)
    model = DiffusionModel(**TINY, prediction_type=prediction_type)
    images, noise, timesteps = torch.rand(3, 1, 8, 8), torch.randn(3, 1, 8, 8), torch.tensor([3, 400, 997])
    alpha_squared = model.noising.alphas_cumprod[timesteps].view(-1, 1, 1, 1)
    alpha, sigma = alpha_squared.sqrt(), (1 - alpha_squared).sqrt()
    clean = 2 * images - 1
    prediction = model(alpha * clean + sigma * noise, timesteps)
    expected = (prediction - target(clean, noise, alpha, sigma)).square().mean()
    assert torch.allclose(model.loss(images, noise, timesteps), expected, rtol=1e-5)


@pytest.mark.parametrize("sampler", SAMPLER_STEPS)
def test_samplers_reach_the_gaussian_whose_oracle_they_follow(sampler):
    mean, std = 0.3, 0.2
    model = DiffusionModel(**{**TINY, "num_train_timesteps": 200})
    model.unet = GaussianOracle(model.noising, mean, std)
    pixels = 2 * model.generate(100, sampler=sampler, steps=200).double() - 1
    assert abs(pixels.mean() - mean) < 5 * std / math.sqrt(pixels.numel()) + 0.002
    assert abs(pixels.std() - std) < 0.05 * std
    neighbours = ((pixels[..., 1:] - mean) * (pixels[..., :-1] - mean)).mean()
    assert abs(neighbours) < 5 * std**2 / math.sqrt(pixels.numel())


def test_seeds_end_where_64_bits_do(model):
    assert model.generate(1, seed=(1 << 64) - 1, steps=1).isfinite().all()
    for seed in (-1, 1 << 64):
        with pytest.raises(ValueError, match=r"seed: expected at least 0 and less than 2\^64, found"):
            model.generate(1, seed=seed, steps=1)


@pytest.mark.parametrize("sampler", SAMPLER_STEPS)
def test_a_sample_does_not_depend_on_its_batch(model, sampler):
    together = model.generate(7, seed=3, sampler=sampler, steps=6)
    in_pieces = model.generate(7, seed=3, sampler=sampler, steps=6, batch_size=3)
    some = model.generate(2, seed=3, sample_ids=torch.tensor([6, 2]), sampler=sampler, steps=6)
    assert torch.allclose(together, in_pieces, atol=2e-6)
    assert torch.allclose(together[[6, 2]], some, atol=2e-6)
    assert together.shape == (7, 1, 8, 8)
    assert 0 <= together.min() and together.max() <= 1
    assert (together[0] - together[1]).abs().max() > 1e-3
    other = model.generate(7, seed=4, sampler=sampler, steps=6)
    assert (together - other).abs().amax(dim=(1, 2, 3)).min() > 1e-3


@pytest.fixture
def told() -> DiffusionModel:
    torch.manual_seed(0)
    return DiffusionModel(**TINY, num_classes=3)


def test_classes_follow_the_ids_unless_given(told):
    by_id = told.generate(5, steps=3, sample_ids=torch.tensor([0, 1, 2, 3, 7]))
    given = told.generate(5, steps=3, sample_ids=torch.tensor([0, 1, 2, 3, 7]), labels=torch.tensor([0, 1, 2, 0, 1]))
    other = told.generate(5, steps=3, sample_ids=torch.tensor([0, 1, 2, 3, 7]), labels=torch.tensor([1, 1, 2, 0, 1]))
    assert torch.equal(by_id, given)
    assert (given[0] - other[0]).abs().max() > 1e-3
    assert torch.allclose(given[1:], other[1:], atol=2e-6)


def test_guidance_extrapolates_from_any_class_to_the_class(told):
    state, timesteps, labels = torch.randn(2, 1, 8, 8), torch.tensor([5, 900]), torch.tensor([0, 2])
    of_class, of_any = told(state, timesteps, labels), told(state, timesteps)
    assert torch.equal(of_any, told(state, timesteps, torch.tensor([3, 3])))
    assert torch.allclose(told._predict(state, timesteps, labels, 2.5), of_any + 2.5 * (of_class - of_any), atol=1e-5)
    assert torch.equal(told._predict(state, timesteps, labels, 1.0), of_class)
    default = DiffusionModel(**{**told.config, "guidance": 2.5})
    default.load_state_dict(told.state_dict())
    assert torch.equal(default.generate(2, steps=2), told.generate(2, steps=2, guidance=2.5))


def test_generation_leaves_the_global_random_state_alone_and_reports_progress(model):
    before = torch.get_rng_state()
    seen = []
    model.generate(3, steps=4, batch_size=2, progress=lambda done, total: seen.append((done, total)))
    assert torch.equal(before, torch.get_rng_state())
    assert seen[-1] == (12, 12)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_an_odd_size_is_padded_inside(model):
    odd = DiffusionModel(image_size=9, block_out_channels=[8, 8, 8])
    assert odd.generate(2, steps=2).shape == (2, 1, 9, 9)
    assert odd.loss(torch.rand(2, 1, 9, 9), torch.randn(2, 1, 9, 9), torch.tensor([1, 2])).isfinite()

    class Same(nn.Module):
        def forward(self, noisy, timesteps, labels):
            return SimpleNamespace(sample=noisy)

    odd.unet, noisy = Same(), torch.randn(2, 1, 9, 9)
    assert torch.equal(odd(noisy, torch.tensor([1, 2])), noisy)  # and cut off again where it was padded


def test_its_config_rebuilds_it(model):
    again = DiffusionModel(**model.config)
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.generate(1, steps=2), model.generate(1, steps=2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sampler": "euler"}, r"sampler: expected one of dpm\+\+, ddim, ddpm, found 'euler'"),
        ({"steps": 0}, "steps: expected 1 ... 1000"),
        ({"steps": 1001}, "steps: expected 1 ... 1000"),
        ({"sample_ids": torch.arange(3)}, "sample_ids: expected 2 integers"),
        ({"batch_size": 0}, "batch_size: expected at least 1"),
        ({"labels": torch.tensor([0, 1])}, "labels: expected 2 of the 0 classes"),
    ],
)
def test_bad_requests_are_refused(model, arguments, message):
    with pytest.raises(ValueError, match=message):
        model.generate(2, **arguments)


@pytest.mark.parametrize("arguments", [{"block_out_channels": [12, 16]}, {"prediction_type": "velocity"}])
def test_bad_configurations_are_refused(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        DiffusionModel(**arguments)


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ({"layers_per_block": 100_000}, r"1000 residual blocks, found at least 6e\+05 with 3 widths up to 64"),
        ({"block_out_channels": [8], "layers_per_block": 500}, r"1000 residual blocks, found at least 1e\+03"),
        ({"block_out_channels": [8] * 400}, r"1000 residual blocks, found at least 1.2e\+03 with 400 widths"),
        ({"block_out_channels": [32, 9000]}, r"4294967296 weights, found at least 4.37e\+09 with 2 widths up to 9000"),
        ({"layers_per_block": 10**30}, "layers_per_block"),
        ({"block_out_channels": [8 * 10**15]}, "weights"),
    ],
)
def test_networks_that_nobody_can_mean_are_refused_before_any_of_them_is_built(arguments, found, monkeypatch):
    monkeypatch.setattr(diffusion, "UNet2DModel", lambda **_: pytest.fail("built"))
    for kind in (DiffusionModel, FlowMatchingModel):
        with pytest.raises(ValueError, match=found):
            kind(**arguments)


def test_the_largest_networks_are_built(monkeypatch):
    """999 blocks, and 4.29e9 weights of at most 2^32: 3 blocks of 8,918 channels would have too many."""
    monkeypatch.setattr(diffusion, "UNet2DModel", lambda **_: torch.nn.Identity())
    for arguments in ({"block_out_channels": [8], "layers_per_block": 499}, {"block_out_channels": [8912]}):
        assert isinstance(DiffusionModel(**arguments).unet, torch.nn.Identity)
    with pytest.raises(ValueError, match="weights"):
        DiffusionModel(block_out_channels=[8920])


@pytest.mark.parametrize("sampler", SAMPLER_STEPS)
def test_whoever_watches_sees_noise_become_the_images(model, sampler):
    seen = {}
    images = model.generate(3, seed=5, sampler=sampler, steps=4, watch=lambda step, frame: seen.update({step: frame}))
    assert list(seen) == [0, 1, 2, 3, 4]
    assert torch.equal(seen[4], images)
    assert torch.equal(images, model.generate(3, seed=5, sampler=sampler, steps=4))
    assert (seen[0] == 0).any() and (seen[0] == 1).any()  # standard normals, clipped
    assert not torch.equal(seen[0], seen[1])


def test_steps_are_the_samplers_own_unless_given(model):
    assert (model.steps_of("ddpm"), model.steps_of("ddim"), model.steps_of("dpm++", 7)) == (
        model.config["num_train_timesteps"], 50, 7,
    )  # fmt: skip


@pytest.mark.parametrize("sampler", ["ddim", "dpm++"])
def test_deterministic_samplers_solve_the_equation_of_data_outside_the_range_of_pixels(sampler):
    """Data N(1.5, 0.1^2) have a linear denoiser, and the flow carries noise z to 1.5 + 0.1 z. Guidance leads out of
    [-1, 1] in the same way; a scheduler that clips what it is told there ends at 1."""
    mean, width = 1.5, 0.1
    model = DiffusionModel(8, block_out_channels=(8, 8))
    scheduler = model.scheduler(sampler)
    scheduler.set_timesteps(100)
    z = torch.linspace(-2.0, 2.0, 64).view(1, 1, 8, 8)
    state = z.clone()
    for timestep in scheduler.timesteps:
        alpha, sigma = (
            model.noising.alphas_cumprod[timestep] ** 0.5,
            (1 - model.noising.alphas_cumprod[timestep]) ** 0.5,
        )
        clean = mean + alpha * width**2 * (state - alpha * mean) / (alpha**2 * width**2 + sigma**2)
        noise = (state - alpha * clean) / sigma
        state = scheduler.step(alpha * noise - sigma * clean, timestep, state).prev_sample
    torch.testing.assert_close(state, mean + width * z, rtol=0.0, atol=0.02)


def test_the_noise_of_an_image_is_that_of_a_hash_of_the_seed_and_its_number():
    """Numbers below 2^32 are shifted by the first four bytes of BLAKE2b, so that images of no two of them agree."""
    model, ids = DiffusionModel(**TINY), torch.tensor([3, 2**32 - 1])
    seen = []
    model.generate(2, seed=11, steps=1, sample_ids=ids, watch=lambda step, frame: seen.append(frame))
    origin = int.from_bytes(hashlib.blake2b(b"11", digest_size=4).digest(), "little")
    for frame, number in zip(seen[0], ids.tolist(), strict=True):
        noise = torch.randn(1, 8, 8, generator=torch.Generator().manual_seed((origin + number) % 2**32))
        torch.testing.assert_close(frame, (noise.clamp(-1, 1) + 1) / 2)


@pytest.mark.parametrize(("widths", "heads"), [([8, 16], 1), ([8, 128], 4), ([8, 8, 64], 2)])
def test_attention_is_at_the_coarsest_resolution_alone_and_its_heads_have_a_size(widths, heads):
    for attention in (True, False):
        unet = DiffusionModel(8, block_out_channels=widths, attention=attention).unet
        blocks = [*unet.down_blocks, *unet.up_blocks]
        found = [bool(getattr(block, "attentions", None)) for block in blocks]
        last = len(widths) - 1
        assert found == [attention and place in (last, last + 1) for place in range(len(blocks))]
        if attention:
            assert unet.mid_block.attentions[0].heads == heads  # of 32 channels, or of all


def test_schedulers_have_the_settings_of_published_samples(model):
    """-5.1 is the log-SNR at which the cosine schedule is cut for DPM-Solver++, as its authors advise."""
    found = {name: model.scheduler(name).config for name in SAMPLER_STEPS}
    assert found["dpm++"]["lambda_min_clipped"] == -5.1 and found["dpm++"]["algorithm_type"] == "dpmsolver++"
    assert found["ddim"]["clip_sample"] is False and found["ddpm"]["clip_sample"] is True
    assert {config["timestep_spacing"] for config in found.values()} == {"trailing"}
