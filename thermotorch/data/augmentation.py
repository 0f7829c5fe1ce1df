"""Augmentation of images by small random shifts, rotations and changes of size."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def affine(images: Tensor, angle: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Rotate, scale and shift images [batch, c, h, w] about their centre, bilinearly and with zeros outside.

    Args:
        images: [batch, c, h, w].
        angle: angle of rotation, counter-clockwise on the screen, radian, [batch].
        scale: factor of enlargement, [batch].
        shift: shift to the right and down, pixels, [batch, 2].
    """
    _, _, height, width = images.shape
    size = torch.tensor([width, height], dtype=images.dtype, device=images.device)
    cos, sin = angle.cos() / scale, angle.sin() / scale
    # Output pixel q comes from p = R(angle) (q - shift) / scale, in pixels; the y axis points down.
    matrix = torch.stack((torch.stack((cos, -sin), -1), torch.stack((sin, cos), -1)), dim=-2)
    matrix = matrix * size / size[:, None]  # torch's unit of length is half the size
    offset = matrix @ (-2.0 * shift / size)[..., None]
    grid = F.affine_grid(torch.cat((matrix, offset), dim=-1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def jitter(images: Tensor, uniforms: Tensor, rotation: float = 0.0, scale: float = 0.0, shift: float = 0.0) -> Tensor:
    """Apply `affine` with uniform random parameters.

    Args:
        images: [batch, c, h, w].
        uniforms: random numbers in [0, 1), [batch, 4].
        rotation: largest angle, degree.
        scale: largest relative change of size.
        shift: largest shift in each direction, pixels.
    """
    angle, size, *place = (2.0 * uniforms - 1.0).unbind(-1)
    return affine(images, math.radians(rotation) * angle, 1.0 + scale * size, shift * torch.stack(place, dim=-1))
