"""Pictures of the generative thermodynamic computer: noising, denoising, samples and connection fields."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torchvision.utils import make_grid

from thermotorch.couplings import BlockCouplings
from thermotorch.dynamics import Trajectory
from thermotorch.evaluation.energy.machine_run import noise_of
from thermotorch.evaluation.report.pictures import save_animation, save_png, to_pillow
from thermotorch.models.generator.machine import ThermodynamicGenerator
from thermotorch.potential import Potential

SNAPSHOTS = 10  # columns of the noising and denoising rows
_SEPARATOR = 1.0
_MOVIE_ROWS = 3


def save_figures(
    model: ThermodynamicGenerator,
    folder: Path,
    *,
    seed: int = 0,
    rows: int = 10,
    pixels: Tensor | None = None,
    frames: int = 25,
) -> list[Path]:
    """Write the figures of Whitelam, PRL 136, 037101 (2026).

    Args:
        model: a generator.
        folder: destination, created if missing.
        seed: seed of the thermal noise.
        rows: trajectories in `denoising.png`; `samples.png` and `denoising.gif` show rows x rows and rows x 3 samples.
        pixels: normalised training images [image, visible], whose decay `noising.png` shows.
        frames: number of frames of `denoising.gif`.

    Returns:
        The paths written. Cost: rows^2 samples.
    """
    folder.mkdir(parents=True, exist_ok=True)
    every = max(1, model.steps // frames)
    ids = torch.arange(rows * rows)
    start = noise_of(model, ids, seed)
    run = model.denoise(start, seed=seed, sample_ids=ids, record=every)
    states = _with_start(start, run)
    pictures = {
        "samples.png": make_grid(model.to_images(run.state), nrow=rows, pad_value=_SEPARATOR),
        "denoising.png": snapshot_rows(model, states[:, :rows]),
        "fields.png": connection_fields(model.potential, model.image_shape, 16),
    }
    if pixels is not None:
        start, decay = model.noising().run(pixels, seed=seed, record=every)
        pictures["noising.png"] = snapshot_rows(model, _with_start(start, decay))
    for name, picture in pictures.items():
        save_png(to_pillow(picture, scale=2), folder / name)
    save_animation(model.to_images(states[:, : rows * _MOVIE_ROWS]), folder / "denoising.gif", columns=rows)
    return [folder / name for name in (*pictures, "denoising.gif")]


def _with_start(start: Tensor, run: Trajectory) -> Tensor:
    """Return the recorded states of a run after its start, [time, row, unit]."""
    assert run.states is not None  # recorded
    return torch.cat([start[None], run.states])


def snapshot_rows(model: ThermodynamicGenerator, states: Tensor) -> Tensor:
    """Return trajectories as rows of pictures at `SNAPSHOTS` even times: [time, row, unit] -> [3, height, width]."""
    times = torch.linspace(0, len(states) - 1, SNAPSHOTS).round().long()
    images = model.to_images(states[times]).transpose(0, 1).flatten(0, 1)
    return make_grid(images, nrow=SNAPSHOTS, pad_value=_SEPARATOR)


def connection_fields(
    potential: Potential, image_shape: Sequence[int], count: int, columns: int | None = None
) -> Tensor:
    """Return the couplings of hidden units to the visible layer over their largest: blue positive, red negative.

    Args:
        potential: block couplings whose first two groups are the visible and the hidden units.
        image_shape: channel, height, width of the visible units; the first channel is drawn.
        count: number of hidden units, the first of the layer.
        columns: units in a row; by default about as many as rows.
    """
    couplings = potential.couplings
    assert isinstance(couplings, BlockCouplings)
    block = couplings.block(*list(couplings.groups)[:2]).detach().T[:count]
    field = (block / block.abs().amax(1, keepdim=True).clamp_min(1e-12)).view(-1, *image_shape)[:, :1]
    white = 1.0 - field.abs()
    colours = torch.cat([torch.where(field > 0, white, 1.0), white, torch.where(field > 0, 1.0, white)], 1)
    return make_grid(colours, nrow=columns or max(1, round(count**0.5)), pad_value=0.8)
