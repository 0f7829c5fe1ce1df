import math

import pytest
import torch
from torch.nn.functional import interpolate

from thermotorch.data.augmentation import NODES, affine, jitter

STILL = {"angle": torch.zeros(1), "scale": torch.ones(1), "shift": torch.zeros(1, 2)}


@pytest.fixture
def image() -> torch.Tensor:
    return torch.rand(1, 2, 7, 9, generator=torch.Generator().manual_seed(0))


def test_nothing_asked_nothing_done(image):
    assert torch.allclose(affine(image, **STILL), image, atol=1e-6)
    assert torch.allclose(jitter(image, torch.rand(1, 4)), image, atol=1e-6)


def test_a_shift_by_whole_pixels_is_a_roll(image):
    shifted = affine(image, **{**STILL, "shift": torch.tensor([[2.0, -1.0]])})
    assert torch.allclose(shifted[..., :-1, 2:], image[..., 1:, :-2], atol=1e-6)
    assert shifted[..., -1, :].abs().max() < 1e-6
    assert shifted[..., :2].abs().max() < 1e-6


def test_a_quarter_turn_is_a_transpose():
    square = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    turned = affine(square, **{**STILL, "angle": torch.tensor([math.pi / 2])})
    assert torch.allclose(turned, square.rot90(1, dims=(2, 3)), atol=1e-5)


def test_doubling_keeps_the_centre_and_doubles_distances():
    dot = torch.zeros(1, 1, 9, 9)
    dot[0, 0, 4, 6] = 1.0
    big = affine(dot, **{**STILL, "scale": torch.tensor([2.0])})[0, 0]
    assert big[4, 8] == pytest.approx(1.0, abs=1e-5)
    assert big.sum() > 2.5


def test_each_image_is_moved_on_its_own():
    images = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    uniforms = torch.rand(5, 4, generator=torch.Generator().manual_seed(3))
    settings = {"rotation": 15.0, "scale": 0.2, "shift": 1.5}
    together = jitter(images, uniforms, **settings)
    alone = torch.cat([jitter(images[i : i + 1], uniforms[i : i + 1], **settings) for i in range(5)])
    assert torch.allclose(together, alone, atol=1e-6)
    assert (together - images).abs().amax(dim=(1, 2, 3)).min() > 0.05


def test_wide_images_turn_as_square_ones_do():
    """Torch measures both sides in halves of their own: a quarter turn must not stretch what is in the middle.

    Coordinates of a few pixels, rounded in float32, are off by 1e-6 of a pixel, and so are the interpolated values.
    """
    square = torch.zeros(1, 1, 5, 5)
    square[0, 0, 2, 3], square[0, 0, 1, 2] = 1.0, 0.5
    wide = torch.nn.functional.pad(square, (3, 3, 1, 1))
    quarter, one, none = torch.tensor([math.pi / 2]), torch.ones(1), torch.zeros(1, 2)
    turned = torch.nn.functional.pad(affine(square, quarter, one, none), (3, 3, 1, 1))
    torch.testing.assert_close(affine(wide, quarter, one, none), turned, rtol=0, atol=1e-5)
    assert turned[0, 0, 2, 5] > 0.99, "what was right of the centre is above it"


@pytest.mark.parametrize("bent", [False, True])
def test_random_numbers_are_angle_size_and_both_shifts_in_their_order_and_bends_move_columns_before_rows(bent):
    """The displacement of `F.interpolate` is that of its own cubic weights, on a wide image and on two channels."""
    generator = torch.Generator().manual_seed(4)
    images, uniforms = torch.rand(3, 2, 6, 9, generator=generator), torch.rand(3, 4, generator=generator)
    bends = torch.randn(3, 2, NODES, NODES, generator=generator) if bent else None
    signed = 2 * uniforms - 1
    expected = affine(
        images,
        signed[:, 0] * 10 * math.pi / 180,
        1 + 0.2 * signed[:, 1],
        1.5 * signed[:, 2:],
        None if bends is None else 0.7 * interpolate(bends, (6, 9), mode="bicubic", align_corners=True),
    )
    moved = jitter(images, uniforms, bends, rotation=10.0, scale=0.2, shift=1.5, elastic=0.7 if bent else 0.0)
    torch.testing.assert_close(moved, expected, rtol=0, atol=1e-5)


def test_a_displacement_says_where_a_pixel_comes_from_to_the_right_and_down(image):
    right, down = torch.zeros(2, 1, 2, 7, 9)
    right[:, 0], down[:, 1] = 2.0, 1.0
    torch.testing.assert_close(affine(image, **STILL, displacement=right)[..., :-2], image[..., 2:], rtol=0, atol=1e-5)
    torch.testing.assert_close(
        affine(image, **STILL, displacement=down)[..., :-1, :], image[..., 1:, :], rtol=0, atol=1e-5
    )
