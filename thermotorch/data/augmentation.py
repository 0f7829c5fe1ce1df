"""Augmentation of images by small random shifts, rotations, changes of size and elastic distortions."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

NODES = 5  # of a displacement field on each side; between them it is smooth


def affine(images: Tensor, angle: Tensor, scale: Tensor, shift: Tensor, displacement: Tensor | None = None) -> Tensor:
    """Rotate, scale and shift images [batch, c, h, w] about their centre, bilinearly and with zeros outside.

    Args:
        images: [batch, c, h, w].
        angle: angle of rotation, counter-clockwise on the screen, radian, [batch].
        scale: factor of enlargement, [batch].
        shift: shift to the right and down, pixels, [batch, 2].
        displacement: where a pixel's value comes from beside that, pixels to the right and down, [batch, 2, h, w].
    """
    _, _, height, width = images.shape
    size = torch.tensor([width, height], dtype=images.dtype, device=images.device)
    cos, sin = angle.cos() / scale, angle.sin() / scale
    # Output pixel q comes from p = R(angle) (q - shift) / scale, in pixels; the y axis points down.
    matrix = torch.stack((torch.stack((cos, -sin), -1), torch.stack((sin, cos), -1)), dim=-2)
    matrix = matrix * size / size[:, None]  # torch's unit of length is half the size
    offset = matrix @ (-2.0 * shift / size)[..., None]
    grid = F.affine_grid(torch.cat((matrix, offset), dim=-1), list(images.shape), align_corners=False)
    if displacement is not None:
        grid = grid + 2.0 * displacement.movedim(1, -1) / size
    return F.grid_sample(images, grid, align_corners=False)


def jitter(
    images: Tensor,
    uniforms: Tensor,
    bends: Tensor | None = None,
    *,
    rotation: float = 0.0,
    scale: float = 0.0,
    shift: float = 0.0,
    elastic: float = 0.0,
) -> Tensor:
    """Apply `affine` with uniform random parameters, and bend the images as if they were drawn on rubber.

    Args:
        images: [batch, c, h, w].
        uniforms: random numbers in [0, 1), [batch, 4].
        bends: standard normal numbers for `elastic`, [batch, 2, NODES, NODES].
        rotation: largest angle, degree.
        scale: largest relative change of size.
        shift: largest shift in each direction, pixels.
        elastic: standard deviation of the displacement at the nodes of a square grid, pixels; smooth between them.

    Raises:
        ValueError: `elastic` without `bends`.

    Elastic distortions: Simard, Steinkraus, Platt, ICDAR 2003, whose displacements are smoothed noise of every pixel.
    """
    angle, size, *place = (2.0 * uniforms - 1.0).unbind(-1)
    displacement = None
    if elastic:
        if bends is None:
            raise ValueError(f"bends: elastic = {elastic} needs standard normal numbers, found None")
        rows, columns = (_cubic(side).to(bends) for side in images.shape[-2:])
        displacement = elastic * (rows @ bends @ columns.T)
    return affine(
        images, math.radians(rotation) * angle, 1.0 + scale * size, shift * torch.stack(place, dim=-1), displacement
    )


def _cubic(side: int) -> Tensor:
    """Return the weights [pixel, node] of cubic interpolation along a side; products with it beat `F.interpolate`."""
    nodes = torch.eye(NODES)[None, :, None]
    return F.interpolate(nodes, (1, side), mode="bicubic", align_corners=True)[0, :, 0].T
