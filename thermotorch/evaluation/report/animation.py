"""Noise becoming samples: the recorded frames of each model as a film that the page plays without a script."""

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
    """The films of the models that have one; None when no model has.

    A film is one picture with its frames below each other. They play in the same time, whatever the models take.
    """
    shown = [result for result in results if result.strip is not None]
    if not shown:
        return None
    caption = (
        f"From noise to samples: the first samples of the comparison, seed {protocol.seed}, from their start to their "
        "end. Frames are evenly spaced in observation time or in sampler steps; all films have the same length, "
        "whatever the speed of the model."
    )
    return Films([_film(result) for result in shown], _at_rest(shown), caption)


def _film(result: ModelResult) -> Film:
    frames, images = result.strip.shape[:2]
    sprite = torch.cat([_in_a_row(frame) for frame in result.strip.cpu()], 1)
    alt = f"{images} samples of {result.label} emerging from noise in {frames} frames"
    return Film(Picture("", PNG, png(sprite, _LEVELS), alt, result.label, pixels=True), frames, images)


def _at_rest(results: Sequence[ModelResult]) -> Picture:
    """A line for each image, time from left to right, the models below each other."""
    panels = []
    for result in results:
        times = torch.linspace(0, len(result.strip) - 1, min(_COLUMNS, len(result.strip))).round().long()
        columns = result.strip.cpu()[times].transpose(0, 1)  # [image, time, c, h, w]
        panels.append(make_grid(columns.flatten(0, 1), nrow=len(times), padding=1, pad_value=1.0))
    width = max(panel.shape[-1] for panel in panels)
    page = torch.cat(
        [torch.nn.functional.pad(panel, (0, width - panel.shape[-1], 0, 8), value=1.0) for panel in panels], 1
    )
    names = ", ".join(result.label for result in results)
    return Picture(
        "figures/noise_to_samples.png", PNG, png(page), f"noise becoming samples, from above: {names}", pixels=True
    )


def _in_a_row(images: Tensor) -> Tensor:
    """[image, c, h, w] -> [c, h, image x w]."""
    return torch.cat(list(images), -1)
