"""Images as pictures: PNG data, grids of samples, grids side by side, animations."""

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn.functional import interpolate
from torchvision.utils import make_grid

from thermotorch.evaluation.protocol import Protocol
from thermotorch.evaluation.report.content import PNG, Gallery, Picture
from thermotorch.evaluation.results import ModelResult
from thermotorch.files import replacing

_COLUMNS = 8
_PAPER, _INK, _FAINT = (255, 255, 255), (20, 20, 20), (110, 110, 110)
_MARGIN, _TITLE_SIZE, _CAPTION_SIZE = 28, 24, 17


def side_by_side(panels: Sequence[tuple[str, str, Tensor]], columns: int = _COLUMNS, side: int = 700) -> Image.Image:
    """Draw grids of images next to each other, each under its name.

    Args:
        panels: (title, caption, images [n, c, h, w] in [0, 1] with c of 1 or 3) for each grid.
        columns: images in a row of a grid.
        side: width of a grid in pixels; its images are enlarged by the whole factor that comes closest.
    """
    grids = [_grid(images, columns, side) for _, _, images in panels]
    head = _MARGIN + _TITLE_SIZE + _CAPTION_SIZE + 22
    width = _MARGIN + sum(grid.width + _MARGIN for grid in grids)
    page = Image.new("RGB", (width, head + max(grid.height for grid in grids) + _MARGIN), _PAPER)
    draw, left = ImageDraw.Draw(page), _MARGIN
    for (title, caption, _), grid in zip(panels, grids, strict=True):
        draw.text((left, _MARGIN), title, fill=_INK, font=ImageFont.load_default(_TITLE_SIZE))
        below = (left, _MARGIN + _TITLE_SIZE + 8)
        draw.text(below, caption, fill=_FAINT, font=ImageFont.load_default(_CAPTION_SIZE))
        page.paste(grid, (left, head))
        left += grid.width + _MARGIN
    return page


def _grid(images: Tensor, columns: int, side: int) -> Image.Image:
    grid = make_grid(images.cpu(), nrow=columns, padding=1, pad_value=1.0)[:, 1:-1, 1:-1]
    return to_pillow(grid, scale=max(1, round(side / grid.shape[-1])))


def sample_grids(protocol: Protocol, results: Sequence[ModelResult]) -> Gallery:
    """Return the first samples of each model, a picture for each."""
    caption = (
        f"The first {max(len(result.images) for result in results)} of {protocol.num_samples:,} samples of each model, "
        f"seed {protocol.seed}, none left out."
    )
    return Gallery([_sample_grid(k, result) for k, result in enumerate(results, 1)], caption, width=18)


def _sample_grid(k: int, result: ModelResult) -> Picture:
    grid = make_grid(result.images.cpu(), nrow=_COLUMNS, padding=1, pad_value=1.0)[:, 1:-1, 1:-1]
    alt = f"{len(result.images)} samples of {result.label} in rows of {_COLUMNS}"
    return Picture(f"figures/samples_{k}.png", PNG, png(grid), alt, result.label, pixels=True)


def png(picture: Tensor, levels: int = 256) -> bytes:
    """Encode a picture [c, height, width] in [0, 1] as PNG with `levels` levels, in grey where its channels agree."""
    picture = ((picture.clamp(0, 1) * (levels - 1)).round() * (255 / (levels - 1))).round().byte().cpu()
    if (picture == picture[:1]).all():
        image = Image.fromarray(picture[0].numpy())
    else:
        image = Image.fromarray(picture.permute(1, 2, 0).numpy())
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


def save_animation(frames: Tensor, path: Path, columns: int = 8) -> Path:
    """Write an endless GIF of `frames` [frame, image, c, h, w] in [0, 1], in a grid; the last frame stays longer."""
    # Sixteen greys and no dithering: noise does not compress, and a picture of noise needs no more.
    movie = [
        to_pillow(make_grid(images.cpu(), nrow=columns, pad_value=1.0), scale=2).quantize(16, dither=Image.Dither.NONE)
        for images in frames
    ]
    durations = [80] * (len(movie) - 1) + [1500]
    with replacing(path) as partial:
        movie[0].save(partial, "GIF", save_all=True, append_images=movie[1:], loop=0, duration=durations)
    return path


def save_png(image: Image.Image, path: Path) -> Path:
    """Write an image as the smallest PNG, whole or not at all, and return its path."""
    with replacing(path) as partial:
        image.save(partial, "PNG", optimize=True)
    return path


def to_pillow(picture: Tensor, scale: int = 1) -> Image.Image:
    """Enlarge a picture [3, height, width] in [0, 1] by a whole factor, with sharp pixels."""
    enlarged = interpolate(picture[None], scale_factor=scale, mode="nearest")[0]
    return Image.fromarray((enlarged * 255).round().byte().permute(1, 2, 0).cpu().numpy())
