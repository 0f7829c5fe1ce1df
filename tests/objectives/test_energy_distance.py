"""The energy distance: its closed form for Gaussians, no bias, zero for equal laws,
and gradients that close the gap.
"""

from math import pi, sqrt

import pytest
import torch

from thermotorch.objectives import energy_distance, feature_distance, feature_scales


def gaussian(n: int, mean: float, seed: int, std: float = 1.0) -> torch.Tensor:
    return mean + std * torch.randn(n, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def mean_abs(mean: float, std: float) -> float:
    """Return E|z| of z normal."""
    return (
        std * sqrt(2 / pi) * torch.exp(torch.tensor(-(mean**2) / (2 * std**2))).item()
        + mean * torch.erf(torch.tensor(mean / (std * sqrt(2)))).item()
    )


@pytest.mark.parametrize("mean, std", [(0.0, 1.0), (0.7, 1.0), (0.0, 2.0)])
def test_closed_form_for_gaussians_within_four_standard_errors(mean, std):
    expected = 2 * mean_abs(mean, sqrt(1 + std**2)) - mean_abs(0.0, sqrt(2)) - mean_abs(0.0, std * sqrt(2))
    found = torch.stack(
        [energy_distance(gaussian(50, 0.0, 2 * k), gaussian(80, mean, 2 * k + 1, std)) for k in range(200)]
    )
    assert abs(found.mean() - expected) < 4 * found.std() / sqrt(len(found))


def test_gradient_moves_a_set_onto_the_other():
    x, y = gaussian(64, -1.0, 0).requires_grad_(True), gaussian(64, 1.0, 1)
    before = energy_distance(x, y)
    (gradient,) = torch.autograd.grad(before, x)
    assert gradient.sum() < 0  # downhill is towards y
    assert energy_distance((x - 5 * gradient).detach(), y) < before


def literal(x: torch.Tensor, y: torch.Tensor) -> float:
    """Return D^2 summed over pairs, each sample against others only."""
    between = sum((a - b).norm().item() for a in x for b in y) / (len(x) * len(y))
    within = (sum((a - b).norm().item() for a in z for b in z) / (len(z) * (len(z) - 1)) for z in (x, y))
    return 2 * between - sum(within)


def test_features_in_their_scales_and_classes_are_compared_pair_by_pair():
    """Two blocks of unequal scales, with classes beside every block; no slope reaches the real images."""
    torch.manual_seed(0)
    images, real, classes = torch.rand(5, 1, 2, 3), torch.rand(5, 1, 2, 3), torch.eye(3)[[0, 2, 1, 1, 0]]
    images.requires_grad_()
    real.requires_grad_()

    def features(pictures: torch.Tensor) -> list[torch.Tensor]:
        return [pictures.flatten(1), 5 * pictures.mean((2, 3)) ** 2]

    for given in (None, classes):
        expected = 0.0
        for scale, x, y in zip((0.3, 2.5), features(images.detach()), features(real.detach()), strict=True):
            pair = (x / scale, y / scale) if given is None else [torch.cat([z / scale, given], 1) for z in (x, y)]
            expected += literal(*pair)
        found = feature_distance(images, real, features, [0.3, 2.5], given)
        assert found.item() == pytest.approx(expected, rel=1e-4)
    found.backward()
    assert images.grad.abs().max() > 0 and real.grad is None
    scales = feature_scales(real, features)
    for scale, block in zip(scales, features(real.detach()), strict=True):
        distances = [(row - sum(block) / 5).norm().item() for row in block]
        assert scale == pytest.approx(sum(distances) / 5)
    with pytest.raises(ValueError, match="shorter"):
        feature_distance(images, real, features, [1.0])


def test_shapes_that_do_not_fit_are_refused():
    for one, other in (((1, 3), (5, 3)), ((5, 3), (1, 3)), ((5,), (5,)), ((4, 5, 3), (5, 3)), ((5, 3), (2, 5, 3))):
        with pytest.raises(ValueError, match="n, m >= 2"):
            energy_distance(torch.zeros(one), torch.zeros(other))
    with pytest.raises(ValueError, match=r"\(4, 2\)"):
        energy_distance(torch.zeros(5, 3), torch.zeros(4, 2))


def test_features_are_measured_in_units_of_their_spread():
    """Blocks in other units give the same distance, and classes tell apart what pixels alone do not."""
    real = torch.rand(64, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    images = torch.rand(64, 1, 2, 2, generator=torch.Generator().manual_seed(1)) ** 2
    distances = []
    for unit in (1.0, 1000.0):
        blocks = lambda pictures, unit=unit: [pictures.flatten(1), unit * pictures.mean((2, 3))]  # noqa: E731
        distances.append(feature_distance(images, real, blocks, feature_scales(real, blocks)))
    torch.testing.assert_close(*distances, rtol=1e-4, atol=0)
    (scale,) = feature_scales(torch.tensor([0.0, 3.0, 6.0]).view(3, 1, 1, 1), lambda pictures: [pictures.flatten(1)])
    assert scale == pytest.approx(2.0)  # (3 + 0 + 3) / 3
    bright = (real.mean((1, 2, 3)) > 0.5).long()
    classes = torch.nn.functional.one_hot(bright, 2).float()
    pixels = lambda pictures: [pictures.flatten(1)]  # noqa: E731
    shuffled = real[torch.randperm(64, generator=torch.Generator().manual_seed(2))]
    told = feature_distance(shuffled, real, pixels, [1.0], classes)
    assert told > feature_distance(shuffled, real, pixels, [1.0]) + 1e-3
