"""Sample grids side by side, each under its name."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torchvision.utils import make_grid

from thermotorch.evaluation.report.denoising_figures import to_pillow

_PAPER, _INK, _FAINT = (255, 255, 255), (20, 20, 20), (110, 110, 110)
_MARGIN, _TITLE_SIZE, _CAPTION_SIZE = 28, 24, 17


def side_by_side(panels: Sequence[tuple[str, str, Tensor]], columns: int = 8, side: int = 700) -> Image.Image:
    """Draws grids of images next to each other.

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
