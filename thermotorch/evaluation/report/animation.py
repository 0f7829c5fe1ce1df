"""Films of noise becoming samples, which the page plays without a script."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.utils import make_grid

from thermotorch.evaluation.protocol import Protocol
from thermotorch.evaluation.report.content import PNG, Film, Films, Picture
from thermotorch.evaluation.report.pictures import png
from thermotorch.evaluation.results import ModelResult

_LEVELS = 32  # of grey: noise does not compress, and shows no more
_COLUMNS = 8  # times in the picture at rest


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
    page = torch.cat(
        [torch.nn.functional.pad(panel, (0, width - panel.shape[-1], 0, 8), value=1.0) for panel in panels], 1
    )
    names = ", ".join(label for label, _ in shown)
    return Picture(
        "figures/noise_to_samples.png", PNG, png(page), f"noise becoming samples, from above: {names}", pixels=True
    )
