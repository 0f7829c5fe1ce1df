"""Small random shifts, rotations and changes of size."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def affine(images: Tensor, angle: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Images turned, scaled and shifted about their centre, with bilinear interpolation and zeros outside.

    Args:
        images: [batch, c, h, w].
        angle: [batch], counter-clockwise on the screen, radian.
        scale: [batch], above 1 enlarges.
        shift: [batch, 2], to the right and down, in pixels.

    Returns:
        [batch, c, h, w].
    """
    _, _, height, width = images.shape
    size = torch.tensor([width, height], dtype=images.dtype, device=images.device)
    cos, sin = angle.cos() / scale, angle.sin() / scale
    # Where each output pixel comes from: p = R(angle) (q - shift) / scale, in pixels; the y axis points down.
    matrix = torch.stack((torch.stack((cos, -sin), -1), torch.stack((sin, cos), -1)), dim=-2)
    matrix = matrix * size / size[:, None]  # torch measures in half sizes
    offset = matrix @ (-2.0 * shift / size)[..., None]
    grid = F.affine_grid(torch.cat((matrix, offset), dim=-1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def jitter(images: Tensor, uniforms: Tensor, rotation: float = 0.0, scale: float = 0.0, shift: float = 0.0) -> Tensor:
    """`affine` with uniform random parameters.

    Args:
        images: [batch, c, h, w].
        uniforms: [batch, 4] in [0, 1).
        rotation: largest angle, degrees.
        scale: largest relative change of size.
        shift: largest shift in each direction, pixels.
    """
    angle, size, *place = (2.0 * uniforms - 1.0).unbind(-1)
    return affine(images, math.radians(rotation) * angle, 1.0 + scale * size, shift * torch.stack(place, dim=-1))
