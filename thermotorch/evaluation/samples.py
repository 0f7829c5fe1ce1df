"""Images of one model: drawn in parts, with their heat, and written to files as they arrive."""

import json
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torchvision.utils import save_image

from thermotorch.arguments import count_of
from thermotorch.evaluation.estimate import mean_of
from thermotorch.files import replacing, write_file
from thermotorch.models.protocol import Progress, Samples, abilities
from thermotorch.zoo.rows import Row

SHOWN = 1024  # images in the grid at most
_AT_ONCE = 1024  # images in memory, or one batch if that is more
_OF_EACH = ("labels", "known")  # arguments of `generate` with one entry for each sample
_DTYPES = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}  # of safetensors
Tensors = Mapping[str, Tensor]


def in_parts(
    draw: Callable[..., Samples],
    num_samples: int,
    batch_size: int,
    at_once: int,
    options: Mapping[str, Any],
    progress: Progress,
) -> Iterator[Samples]:
    """Yield the samples of one call of `draw` from several calls, each of whole batches and about `at_once` samples.

    Args:
        draw: function such as `Abilities.draw`.
        num_samples, batch_size, options: its arguments.
        at_once: number of samples up to which there is one call.
        progress: called with (done, total).
    """
    calls = num_samples if num_samples <= at_once else batch_size * max(1, at_once // batch_size)
    for ids in torch.arange(num_samples).split(calls):
        first, count = int(ids[0]), len(ids)
        if count == num_samples:
            yield draw(count, batch_size=batch_size, progress=progress, **options)
            return
        of_each = {name: options[name][first : first + count] for name in _OF_EACH if options.get(name) is not None}

        def report(done: int, total: int, first: int = first, count: int = count) -> None:
            progress(first + count * done // total, num_samples)

        yield draw(count, batch_size=batch_size, progress=report, sample_ids=ids, **{**options, **of_each})


def draw_samples(
    model: nn.Module,
    num_samples: int,
    *,
    seed: int = 0,
    batch_size: int = 64,
    options: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> dict[str, Tensor]:
    """Generate `images` [n, c, h, w] in [0, 1] and, with a thermodynamic computer, their `heat` [n] in kT.

    Args:
        model: a generator.
        num_samples, seed, batch_size, progress: arguments of its `generate`.
        options: further arguments of `generate`, such as `{"sampler": "ddim", "steps": 50}`.
    """
    arguments = {"seed": seed, "batch_size": batch_size, "progress": progress, **(options or {})}
    return _named(abilities(model).draw(num_samples, **arguments))


def samples_in_parts(
    model: nn.Module,
    num_samples: int,
    *,
    seed: int = 0,
    batch_size: int = 64,
    options: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Iterator[dict[str, Tensor]]:
    """Yield the samples of `draw_samples` in parts of about 1,024, so that memory does not grow with their number.

    Arguments as in `draw_samples`.

    Raises:
        ValueError, TypeError: a number below 1, or one that is no integer.
    """
    num_samples, batch_size = count_of("num_samples", num_samples), count_of("batch_size", batch_size)
    arguments, report = {"seed": seed, **(options or {})}, progress or (lambda done, total: None)
    yield from map(_named, in_parts(abilities(model).draw, num_samples, batch_size, _AT_ONCE, arguments, report))


def _named(samples: Samples) -> dict[str, Tensor]:
    return {"images": samples.images} | ({} if samples.heat is None else {"heat": samples.heat})


class Written(NamedTuple):
    """The outcome of `write_samples`."""

    paths: list[Path]
    num_samples: int
    heat: Tensor | None  # [num_samples] in kT, of a thermodynamic computer


def write_samples(parts: Tensors | Iterable[Tensors], num_samples: int, folder: Path) -> Written:
    """Write samples into an existing folder, part by part as they arrive.

    Args:
        parts: the samples, in parts or as a whole, with `images` and perhaps `heat`.
        num_samples: number of samples.
        folder: destination.

    Returns:
        The paths: samples.png, a grid of the first 1,024 at most; samples.safetensors, `images` [n, c, h, w] in
        [0, 1]; and heat.csv, the heat of each sample in kT, where there is any.

    Raises:
        ValueError: another number of samples than announced, or an unsuitable dtype; no tensor file is left behind.

    Cost: one part in memory.
    """
    parts = [parts] if isinstance(parts, Mapping) else parts
    picture, tensors, table = (folder / name for name in ("samples.png", "samples.safetensors", "heat.csv"))
    first_images: list[Tensor] = []
    heat: list[Tensor] = []
    written = 0
    with replacing(tensors) as partial, partial.open("wb") as file:
        for part in parts:
            images = part["images"].detach().cpu().contiguous()
            if not written:
                file.write(_header(images, num_samples))
            file.write(images.view(torch.uint8).numpy().data)
            if (missing := SHOWN - written) > 0:
                first_images.append(images[:missing].clone())
            written += len(images)
            heat += [part["heat"].detach().cpu()] if "heat" in part else []
        if written != num_samples:
            raise ValueError(f"parts: expected {num_samples} samples (num_samples), found {written}")
    grid = torch.cat(first_images)
    with replacing(picture) as partial:
        save_image(grid, partial, format="png", nrow=max(1, round(len(grid) ** 0.5)))
    if not heat:
        return Written([picture, tensors], written, None)
    heats = torch.cat(heat)
    lines = [f"{number},{value:.6g}" for number, value in enumerate(heats.tolist())]
    write_file(table, "\n".join(["sample,heat_kT", *lines, ""]))
    return Written([picture, tensors, table], written, heats)


def _header(images: Tensor, num_samples: int) -> bytes:
    """Return the start of a safetensors file of `num_samples` images."""
    if images.dtype not in _DTYPES:
        raise ValueError(
            f"images: expected a floating dtype, one of {', '.join(map(str, _DTYPES))}, found {images.dtype}"
        )
    shape = [num_samples, *images.shape[1:]]
    end = num_samples * images[0].numel() * images.element_size()
    text = json.dumps({"images": {"dtype": _DTYPES[images.dtype], "shape": shape, "data_offsets": [0, end]}})
    text += " " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text.encode()


def sample_rows(written: Written, seconds: float, seed: int, command: str) -> list[Row]:
    """Return the rows of a sampling run: the time per sample, and the mean heat of a thermodynamic computer.

    Args:
        written: the samples.
        seconds: time per sample, warm-up included.
        seed, command: seed of the samples, and the command that reproduces them.
    """
    n = written.num_samples
    rows = [Row("time, warm-up included", seconds, "s per sample", n, seed, "measured", None, command)]
    if written.heat is None:
        return rows
    mean, stderr = mean_of(written.heat) if n > 1 else (written.heat.item(), None)
    return [Row("generation heat", mean, "kT per sample", n, seed, "modelled", stderr, command), *rows]
