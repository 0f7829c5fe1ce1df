"""Generation of the samples of a protocol: warmed up, timed and metered."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from thermotorch.evaluation.energy.measured import Drawn, measure
from thermotorch.evaluation.energy.meter import EnergyMeter
from thermotorch.evaluation.entries import Entry
from thermotorch.evaluation.samples import in_parts
from thermotorch.evaluation.speed.hardware import describe_hardware, device_of
from thermotorch.evaluation.speed.memory import PeakMemory
from thermotorch.models.protocol import Abilities, Progress, Samples, TitledProgress
from thermotorch.zoo.rows import Row, joined

Run = Callable[..., Samples]
STRIP_IMAGES = 8
_STRIP_FRAMES = 24
_AT_ONCE = 10_000  # samples of one call; frames are kept of the first call alone


class Generation(NamedTuple):
    """Images, their cost, and the measurements of their generation."""

    images: Tensor  # [n, c, h, w] in [0, 1], on the CPU
    labels: Tensor | None  # int64 [n], the requested classes
    heat: Tensor | None  # [n], of a thermodynamic device, in its kT
    work: Tensor | None  # [n]
    strip: Tensor | None  # [frame, image, c, h, w], noise becoming the first images
    times: list[float]  # times of `frames`
    frames: Tensor | None  # [time, n, c, h, w]
    rows: list[Row]  # speed, memory and measured energy
    drawn: list[Drawn]  # readings of the energy counters above idle


def generate(entry: Entry, progress: TitledProgress | None = None) -> Generation:
    """Generate the protocol's samples from one model.

    The first 8 images come in advance, as the strip and as the warm-up, which compiles and loads everything.
    Then the idle hardware is metered, if a counter is readable, and the clock starts. A thermodynamic device is read at
    the times of the curve in the same run, which takes 6 % of the time of `generator.mnist`, 256 at a time on one core
    of an AMD EPYC.

    Args:
        entry: the model and its protocol.
        progress: called with (description, done, total).
    """
    report = progress or (lambda description, done, total: None)
    able, protocol, batch_size = entry.able, entry.protocol, entry.batch_size
    n, seed, device = protocol.num_samples, protocol.seed, device_of(entry.model)
    run = partial(able.draw, seed=seed, **entry.options)
    labels = torch.arange(n) % able.num_classes if entry.told else None  # each class in turn

    title = f"{entry.label}: warming up"
    report(title, 0, 1)
    started = time.perf_counter()
    strip = _strip(able, run, labels, min(n, STRIP_IMAGES), partial(report, title))
    _synchronize(device)
    warm_up = time.perf_counter() - started

    title = f"{entry.label}: generating"
    report(title, 0, 1)
    times = able.readable_times([0.5**halvings for halvings in range(protocol.curve_points)])
    meters, seconds = [], []
    samples: Samples

    def meter() -> EnergyMeter:
        meters.append(EnergyMeter(device))
        return meters[-1]

    def on_progress(done: int, total: int) -> None:
        meters[-1].advance()
        report(title, done, total)

    def generate_all() -> None:
        nonlocal samples
        started = time.perf_counter()
        samples = _generated(run, n, batch_size, labels, times, on_progress)
        _synchronize(device)
        seconds.append(time.perf_counter() - started)

    with PeakMemory(device) as memory:
        drawn = measure(generate_all, n, meter)
    per_sample = sum(seconds) / len(seconds) / n

    speed = joined(
        f"{describe_hardware(device)}, {batch_size} at a time, without the warm-up",
        f"read at {len(times)} times{f', the first {_AT_ONCE:,} of them' if n > _AT_ONCE else ''}" if times else "",
        entry.how,
    )
    first = f"the first {min(n, STRIP_IMAGES)} samples, with all one-time costs, and with every frame read"
    row = partial(Row, seed=seed, kind="measured", command=entry.command)
    rows = [
        row("time", per_sample, "s per sample", n, note=speed),
        row("speed", 1.0 / per_sample, "samples per second", n, note=speed),
        row("warm-up", warm_up, "s", 0, note=first),
        memory.row(n, seed, entry.command, joined("over the run, after the warm-up", entry.how)),
        *meters[-1].rows(n * len(seconds), seed, entry.command),
    ]
    return Generation(samples.images, labels, samples.heat, samples.work, strip, times, samples.frames, rows, drawn)


def _generated(
    run: Run, n: int, batch_size: int, labels: Tensor | None, times: list[float], progress: Progress
) -> Samples:
    """Generate n samples in calls of about 10,000, so that memory holds the images and little else."""
    images: Tensor | None = None
    frames: Tensor | None = None
    heat: list[Tensor] = []
    work: list[Tensor] = []
    done = 0

    def draw(count: int, **options: Any) -> Samples:
        return run(count, **options, **({"times": times} if times and not done else {}))

    for part in in_parts(draw, n, batch_size, _AT_ONCE, {} if labels is None else {"labels": labels}, progress):
        if images is None:
            images, frames = torch.empty(n, *part.images.shape[1:], dtype=part.images.dtype), part.frames
        images[done : done + len(part.images)] = part.images.cpu()
        done += len(part.images)
        heat += [] if part.heat is None else [part.heat]
        work += [] if part.work is None else [part.work]
    assert images is not None  # n is at least 3
    return Samples(images, torch.cat(heat) if heat else None, torch.cat(work) if work else None, frames)


def _strip(able: Abilities, run: Run, labels: Tensor | None, count: int, progress: Progress) -> Tensor | None:
    """Generate the first images once, and return about 24 of their intermediate states if the model shows them."""
    arguments: dict[str, Any] = {"batch_size": count, "progress": progress}
    arguments |= {} if labels is None else {"labels": labels[:count]}
    times = able.readable_times([frame / (_STRIP_FRAMES - 1) for frame in range(_STRIP_FRAMES)])
    if times:
        return run(count, times=times, **arguments).frames
    if "watch" not in able.options:
        run(count, **arguments)
        return None
    seen: list[Tensor] = []
    run(count, watch=lambda step, images: seen.append(images.cpu()), **arguments)
    steps = torch.linspace(0, len(seen) - 1, min(len(seen), _STRIP_FRAMES)).round().long()
    return torch.stack([seen[step] for step in steps.tolist()])


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
