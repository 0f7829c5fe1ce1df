"""The first samples of each model, as grids of their own pixels."""

import io
from collections.abc import Sequence

from PIL import Image
from torch import Tensor
from torchvision.utils import make_grid

from thermotorch.evaluation.protocol import Protocol
from thermotorch.evaluation.report.content import PNG, Gallery, Picture
from thermotorch.evaluation.results import ModelResult

_COLUMNS = 8


def sample_grids(protocol: Protocol, results: Sequence[ModelResult]) -> Gallery:
    """A picture for each model."""
    caption = (
        f"The first {max(len(result.images) for result in results)} of {protocol.num_samples:,} samples of each model, "
        f"seed {protocol.seed}, none left out."
    )
    return Gallery([_grid(k, result) for k, result in enumerate(results, 1)], caption, width=18)


def _grid(k: int, result: ModelResult) -> Picture:
    grid = make_grid(result.images.cpu(), nrow=_COLUMNS, padding=1, pad_value=1.0)[:, 1:-1, 1:-1]
    alt = f"{len(result.images)} samples of {result.label} in rows of {_COLUMNS}"
    return Picture(f"figures/samples_{k}.png", PNG, png(grid), alt, result.label, pixels=True)


def png(picture: Tensor, levels: int = 256) -> bytes:
    """A picture [c, height, width] in [0, 1] as PNG, grey where its channels agree, in so many levels."""
    picture = ((picture.clamp(0, 1) * (levels - 1)).round() * (255 / (levels - 1))).round().byte().cpu()
    if (picture == picture[:1]).all():
        image = Image.fromarray(picture[0].numpy())
    else:
        image = Image.fromarray(picture.permute(1, 2, 0).numpy())
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()
