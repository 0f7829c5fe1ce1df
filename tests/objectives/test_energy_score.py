"""The conditional energy score is proper, and its gradient is the derivative of its value."""

import math

import pytest
import torch

from thermotorch.objectives import energy_score, feature_score


def test_mean_score_of_gaussians_is_the_closed_form():
    """In one dimension E|N(m, s)| is known, so the mean score of a Gaussian forecast of a Gaussian truth is too."""
    count = 400_000
    generator = torch.Generator().manual_seed(0)
    truth, one, other = torch.randn(3, count, 1, generator=generator, dtype=torch.float64)
    for shift, scale in ((0.0, 1.0), (0.5, 1.0), (0.0, 2.0), (0.3, 0.5)):
        found = energy_score(shift + scale * one, shift + scale * other, truth).item()
        spread = math.sqrt(1 + scale**2)
        error = spread * math.sqrt(2 / math.pi) * math.exp(-((shift / spread) ** 2) / 2) + shift * math.erf(
            shift / spread / math.sqrt(2)
        )
        expected = error - 0.5 * 2 * scale / math.sqrt(math.pi)
        assert found == pytest.approx(expected, abs=4.5 * 1.5 / math.sqrt(count))


def test_the_true_law_has_the_least_score():
    generator = torch.Generator().manual_seed(1)
    truth, one, other = torch.randn(3, 100_000, 2, generator=generator, dtype=torch.float64)
    best = energy_score(one, other, truth)
    for shift, scale in ((0.3, 1.0), (0.0, 1.4), (0.0, 0.7), (0.0, 0.0)):
        assert energy_score(shift + scale * one, shift + scale * other, truth) > best


def test_gradient_is_the_derivative():
    generator = torch.Generator().manual_seed(2)
    tensors = torch.randn(3, 4, 3, generator=generator, dtype=torch.float64)
    one, other, truth = (tensor.requires_grad_() for tensor in tensors)
    assert torch.autograd.gradcheck(energy_score, (one, other, truth))


def test_blocks_count_in_units_of_their_scale():
    one, other, truth = torch.rand(3, 5, 1, 2, 2)
    blocks = lambda images: [images.flatten(1), 3 * images.flatten(1)]  # noqa: E731
    alone = energy_score(*(images.flatten(1) for images in (one, other, truth)))
    torch.testing.assert_close(feature_score(one, other, truth, blocks, [1.0, 3.0]), 2 * alone, rtol=1e-4, atol=0)


def test_shapes_that_do_not_belong_together_are_refused():
    for shapes in (((3, 2), (3, 2), (4, 2)), ((3, 2), (4, 2), (3, 2)), ((3,), (3,), (3,)), ((3, 2, 1),) * 3):
        with pytest.raises(ValueError, match="one, other, truth"):
            energy_score(*map(torch.zeros, shapes))


def test_a_score_is_the_mean_of_its_formula_and_the_truth_has_no_slope():
    """S of each condition by hand, in two blocks of unequal scales."""
    torch.manual_seed(0)
    one, other, truth = (torch.rand(4, 1, 2, 3).double().requires_grad_() for _ in range(3))
    blocks = lambda images: [images.flatten(1), 3 * images[:, :, 0].flatten(1) ** 2]  # noqa: E731
    expected = 0.0
    for scale, *rows in zip((0.3, 2.5), *(blocks(images.detach()) for images in (one, other, truth)), strict=True):
        for x, y, z in zip(*rows, strict=True):
            expected += ((x - z).norm() + (y - z).norm() - (x - y).norm()).item() / 2 / 4 / scale
    found = feature_score(one, other, truth, blocks, [0.3, 2.5])
    assert found.item() == pytest.approx(expected, rel=1e-5)
    found.backward()
    assert one.grad.abs().max() > 0 and other.grad.abs().max() > 0 and truth.grad is None
