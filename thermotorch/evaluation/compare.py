"""One protocol for any models: generate, judge, time and meter each, and set the results side by side."""

import inspect
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from thermotorch.evaluation import energy
from thermotorch.evaluation.feature_space import FeatureSpace
from thermotorch.evaluation.hardware import describe_hardware
from thermotorch.evaluation.meter import EnergyMeter
from thermotorch.evaluation.novelty import KnownImages
from thermotorch.evaluation.protocol import Protocol
from thermotorch.evaluation.quality import quality_rows, real_rows
from thermotorch.evaluation.results import Comparison, ModelResult
from thermotorch.evaluation.rows import Row, joined

Progress = Callable[[str, int, int], None]  # (what is being done, done, total)
_SHOWN = 64  # images kept for the picture


def compare(
    models: Mapping[str, nn.Module],
    protocol: Protocol,
    space: FeatureSpace,
    *,
    known: Mapping[str, KnownImages] | None = None,
    command: str = "",
    progress: Progress | None = None,
    save: Callable[[Comparison], None] | None = None,
) -> Comparison:
    """Puts models through one protocol, one after the other.

    Args:
        models: generators by name, in evaluation mode.
        protocol: the same for all.
        space: the judge.
        known: by name, what a model was trained on and held-out images of the same kind, to find copies; the rows of
            models that it lacks are unavailable.
        command: what gives the comparison again, for the report.
        progress: called with (description, done, total).
        save: called with the comparison so far, at the start and after each model, so that an interruption loses at
            most the model at hand; the interruption itself is passed on.

    Raises:
        ValueError: no models, or images that the judge cannot take.
    """
    if not models:
        raise ValueError("models: expected at least one, found none")
    device = next(next(iter(models.values())).parameters()).device
    comparison = Comparison(
        entries={name: name for name in models},
        protocol=protocol,
        space=space,
        hardware=describe_hardware(device),
        command=command,
        real=real_rows(protocol, space, command),
    )
    keep = save or (lambda comparison: None)
    keep(comparison)
    for name, model in models.items():
        images = (known or {}).get(name)
        result = evaluate(name, model, protocol, space, known=images, command=command, progress=progress)
        comparison = replace(comparison, results={**comparison.results, name: result})
        keep(comparison)
    return comparison


def evaluate(
    name: str,
    model: nn.Module,
    protocol: Protocol,
    space: FeatureSpace,
    *,
    known: KnownImages | None = None,
    command: str = "",
    progress: Progress | None = None,
) -> ModelResult:
    """Generates from one model as the protocol says and returns everything known about the samples and their cost.

    A model with a method `sample` is a thermodynamic device in simulation, and gets heat rows; any other is digital,
    and gets arithmetic rows. A model that can be told the class is asked for each in turn. Arguments as in `compare`.

    Cost: the protocol's samples, and one more to warm up; the judge takes milliseconds for each.
    """
    tell = progress or (lambda description, done, total: None)
    n, seed = protocol.num_samples, protocol.seed
    thermodynamic = hasattr(model, "sample")
    device = next(model.parameters()).device
    options = sampler_options(model, protocol)
    how = in_words(model, options)
    generate = partial(model.sample if thermodynamic else model.generate, seed=seed, **options)
    labels = classes_in_turn(model, n)
    told = {} if labels is None else {"labels": labels}

    tell(f"{name}: warming up", 0, 1)
    generate(1)
    tell(f"{name}: generating", 0, 1)
    with EnergyMeter(device) as meter:

        def on_progress(done: int, total: int) -> None:
            meter.advance()
            tell(f"{name}: generating", done, total)

        started = time.perf_counter()
        samples = generate(n, batch_size=protocol.batch_size, progress=on_progress, **told)
        images = (samples.images if thermodynamic else samples).cpu()
        seconds = time.perf_counter() - started

    tell(f"{name}: judging", 0, 1)
    quality, class_counts = quality_rows(images, protocol, space, known, command, how, labels)
    speed = joined(f"{describe_hardware(device)}, {protocol.batch_size} at a time, without the warm-up", how)
    rows = [
        *quality,
        Row("parameters", sum(parameter.numel() for parameter in model.parameters()), "", 0, seed, "measured"),
        Row("time", seconds / n, "s per sample", n, seed, "measured", None, command, speed),
        *meter.rows(n, seed, command),
    ]
    if thermodynamic:
        rows += energy.heat_rows(samples.heat, seed, command=command)
        rows += [energy.work_row(samples.work, seed, command), energy.overhead_row(seed)]
    else:
        rows += energy.arithmetic_rows(energy.count_flops(lambda: generate(1)), seed, command, how)
    rows.append(energy.landauer_row(images[0].numel(), seed))
    tell(f"{name}: judging", 1, 1)
    return ModelResult(name, thermodynamic, how, rows, images[:_SHOWN], class_counts)


def sampler_options(model: nn.Module, protocol: Protocol) -> dict:
    """The protocol's sampler and steps for a model whose `generate` takes them; nothing for the others."""
    known = inspect.signature(model.generate).parameters
    return {key: getattr(protocol, key) for key in ("sampler", "steps") if key in known}


def classes_in_turn(model: nn.Module, num_samples: int) -> Tensor | None:
    """The classes 0, 1, ..., 0, 1, ... for a model whose `generate` can be told them; None for the others."""
    classes = getattr(model, "config", {}).get("num_classes")
    if not classes or "labels" not in inspect.signature(model.generate).parameters:
        return None
    return torch.arange(num_samples) % classes


def in_words(model: nn.Module, options: Mapping) -> str:
    """Sampler and steps, and whether the model was told what to draw: `sampler dpm++, steps 20`."""
    words = [f"{key} {value}" for key, value in options.items() if value is not None]
    config = getattr(model, "config", {})
    if config.get("num_classes"):
        words.append("told each class in turn")
        if config.get("guidance", 1.0) != 1.0:
            words.append(f"guidance {config['guidance']:g}")
    return ", ".join(words)
