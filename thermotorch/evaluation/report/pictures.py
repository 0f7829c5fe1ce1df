"""Images as pictures: PNG data, grids of samples, grids side by side, films of noise becoming samples, animations."""

import io
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn.functional import interpolate, pad
from torchvision.utils import make_grid

from thermotorch.evaluation.protocol import Protocol
from thermotorch.evaluation.report.content import PNG, Film, Films, Gallery, Picture
from thermotorch.evaluation.results import ModelResult
from thermotorch.files import replacing

_COLUMNS = 8  # images in a row of a grid, and times of a film at rest
_LEVELS = 32  # of grey in a film: noise does not compress, and shows no more
_PAPER, _INK, _FAINT = (255, 255, 255), (20, 20, 20), (110, 110, 110)
_MARGIN, _TITLE_SIZE, _CAPTION_SIZE = 28, 24, 17


def side_by_side(panels: Sequence[tuple[str, str, Tensor]], columns: int = _COLUMNS, side: int = 700) -> Image.Image:
    """Draw grids of images next to each other, each under its name.

    Args:
        panels: (title, caption, images [n, c, h, w] in [0, 1] with c of 1 or 3) for each grid.
        columns: images in a row of a grid.
        side: width of a grid in pixels; its images are enlarged by the whole factor that comes closest.
    """
    tensors = [_grid(images, columns) for _, _, images in panels]
    grids = [to_pillow(grid, scale=max(1, round(side / grid.shape[-1]))) for grid in tensors]
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


def _grid(images: Tensor, columns: int = _COLUMNS) -> Tensor:
    """Return images [n, c, h, w] in rows, with a white line between them: [3, height, width]."""
    return make_grid(images.cpu(), nrow=columns, padding=1, pad_value=1.0)[:, 1:-1, 1:-1]


def sample_grids(protocol: Protocol, results: Sequence[ModelResult]) -> Gallery:
    """Return the first samples of each model, a picture for each."""
    caption = (
        f"The first {max(len(result.images) for result in results)} of {protocol.num_samples:,} samples of each model, "
        f"seed {protocol.seed}, none left out."
    )
    pictures = []
    for k, result in enumerate(results, 1):
        alt = f"{len(result.images)} samples of {result.label} in rows of {_COLUMNS}"
        grid = png(_grid(result.images))
        pictures.append(Picture(f"figures/samples_{k}.png", PNG, grid, alt, result.label, pixels=True))
    return Gallery(pictures, caption, width=18)


def films(protocol: Protocol, results: Sequence[ModelResult]) -> Films | None:
    """Return the films of the models that have one, all of the same length; None if no model has.

    A film is one picture with its frames below each other.
    """
    shown = [(result.label, result.strip.cpu()) for result in results if result.strip is not None]
    if not shown:
        return None
    caption = (
        f"From noise to samples: the first samples of the comparison, seed {protocol.seed}, from their start to their "
        "end. Frames are evenly spaced in observation time or in sampler steps, those of a chain one to a phase; all "
        "films have the same length, whatever the speed of the model."
    )
    return Films([_film(label, strip) for label, strip in shown], _at_rest(shown), caption)


def _film(label: str, strip: Tensor) -> Film:
    frames, images = strip.shape[:2]
    sprite = torch.cat([torch.cat(list(frame), -1) for frame in strip], 1)  # [c, frame x h, image x w]
    alt = f"{images} samples of {label} emerging from noise in {frames} frames"
    return Film(Picture("", PNG, png(sprite, _LEVELS), alt, label, pixels=True), frames, images)


def _at_rest(shown: Sequence[tuple[str, Tensor]]) -> Picture:
    """Return a line for each image, time from left to right, the models below each other."""
    panels = []
    for _, strip in shown:
        times = torch.linspace(0, len(strip) - 1, min(_COLUMNS, len(strip))).round().long()
        columns = strip[times].transpose(0, 1)  # [image, time, c, h, w]
        panels.append(make_grid(columns.flatten(0, 1), nrow=len(times), padding=1, pad_value=1.0))
    width = max(panel.shape[-1] for panel in panels)
    page = torch.cat([pad(panel, (0, width - panel.shape[-1], 0, 8), value=1.0) for panel in panels], 1)
    names = ", ".join(label for label, _ in shown)
    return Picture(
        "figures/noise_to_samples.png", PNG, png(page), f"noise becoming samples, from above: {names}", pixels=True
    )


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
