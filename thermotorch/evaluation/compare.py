"""Comparisons: generate from each model by one protocol, judge, time and meter the samples."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from torch import nn

from thermotorch.evaluation.cache import ResultCache, real_key, result_key
from thermotorch.evaluation.energy.costs import costs
from thermotorch.evaluation.entries import Entry, entries_of
from thermotorch.evaluation.generation import generate
from thermotorch.evaluation.metrics import FRECHET, NOVELTY, RECOGNISED
from thermotorch.evaluation.protocol import Protocol
from thermotorch.evaluation.quality.curve import device_curve, digital_point
from thermotorch.evaluation.quality.feature_space import FeatureSpace
from thermotorch.evaluation.quality.image_rows import quality_rows, real_rows
from thermotorch.evaluation.quality.novelty import KnownImages
from thermotorch.evaluation.results import Comparison, ModelResult
from thermotorch.evaluation.speed.hardware import describe_hardware, device_of
from thermotorch.models.protocol import TitledProgress
from thermotorch.zoo.rows import Row

_SHOWN = 64  # images kept for the picture
Known = Callable[[str], KnownImages | None]


def compare(
    models: Mapping[str, nn.Module],
    protocol: Protocol,
    space: FeatureSpace,
    *,
    samplers: Sequence[str] | None = None,
    known: Known | None = None,
    cache: ResultCache | None = None,
    weights: Mapping[str, str] | None = None,
    command: str = "",
    progress: TitledProgress | None = None,
    save: Callable[[Comparison], object] | None = None,
) -> Comparison:
    """Put models through one protocol, one after the other.

    Args:
        models: generators by name, in evaluation mode.
        protocol: protocol of all models.
        space: the judge.
        samplers: samplers of the digital models, `name:steps`, each an entry of its own; none of them is the protocol's
            sampler and steps, and None the cheapest and the best of each model, if the protocol leaves both open.
        known: function from a name to the model's training images and held-out images, to find copies; None makes those
            rows unavailable. It is called when the images are needed.
        cache: store of results.
        weights: sha256 of the weights by name; models without one are not cached.
        command: command that reproduces the comparison.
        progress: called with (description, done, total).
        save: called with the comparison so far, at the start, after measured entries and at the end. An interruption
            loses at most the current entry, and is passed on.

    Raises:
        ValueError: no models, images that the judge cannot take, or a sampler that does not fit; before any compute.
    """
    if not isinstance(models, Mapping) or not all(isinstance(model, nn.Module) for model in models.values()):
        raise TypeError(f"models: expected a dict from names to modules, found {type(models).__name__}")
    if not models:
        raise ValueError("models: expected at least one, found none")
    entries = entries_of(models, protocol, samplers, command)
    hardware = describe_hardware(device_of(next(iter(models.values()))))
    comparison = Comparison(
        entries={entry.label: entry.name for entry in entries},
        protocol=protocol,
        space=space,
        hardware=hardware,
        command=command,
        real=_real_rows(protocol, space, command, hardware, cache),
    )
    save_so_far = save or (lambda comparison: None)
    save_so_far(comparison)
    unsaved = False
    for number, entry in enumerate(entries, 1):
        sha256 = (weights or {}).get(entry.name)
        key = result_key(entry, sha256, space, hardware) if cache and sha256 and space.sha256 else None
        result = _cached(entry, cache.load_result(key), known) if cache and key else None
        if result is None:
            if unsaved:
                save_so_far(comparison)
            images = known(entry.name) if known else None
            counted = progress and partial(_counted, progress, f"{number} of {len(entries)}")
            result = _measured(entry, space, images, counted)
            if cache and key:
                cache.save_result(key, result)
        comparison = replace(comparison, results={**comparison.results, entry.label: result})
        if not (unsaved := result.cached):  # a report takes seconds, and cached results are not lost
            save_so_far(comparison)
    if unsaved:
        save_so_far(comparison)
    return comparison


def evaluate(
    name: str,
    model: nn.Module,
    protocol: Protocol,
    space: FeatureSpace,
    *,
    known: KnownImages | None = None,
    command: str = "",
    progress: TitledProgress | None = None,
) -> ModelResult:
    """Generate from one model by the protocol, and return everything about its samples and their cost.

    A `Thermodynamic` model has rows of heat and work, any other has rows of arithmetic. A model that takes labels draws
    each class in turn. Arguments as in `compare`, except that `known` holds the images themselves.

    Cost: the protocol's samples, eight more to warm up, and one more of a digital model to count its arithmetic; the
    judge takes milliseconds for each.
    """
    (entry,) = entries_of({name: model}, protocol, command=command)
    return _measured(entry, space, known, progress)


def _measured(
    entry: Entry, space: FeatureSpace, known: KnownImages | None, progress: TitledProgress | None
) -> ModelResult:
    report = progress or (lambda description, done, total: None)
    model, protocol, how = entry.model, entry.protocol, entry.how
    generation = generate(entry, progress)
    report(f"{entry.label}: judging", 0, 1)
    quality, class_counts = quality_rows(
        generation.images, protocol, space, known, entry.command, how, generation.labels
    )
    size = sum(parameter.numel() for parameter in model.parameters())
    rows = [*quality, Row("parameters", size, "", 0, protocol.seed, "measured"), *generation.rows]
    report(f"{entry.label}: counting energy", 0, 1)
    energy = costs(entry, generation)
    rows += energy.rows
    curve = device_curve(generation.times, generation.frames, space)
    frechet, recognised = FRECHET.find(rows), RECOGNISED.find(rows)
    if (length := energy.evaluations or entry.options.get("steps")) and frechet and recognised:
        curve = (digital_point(length, frechet, recognised),)
    report(f"{entry.label}: counting energy", 1, 1)
    return ModelResult(
        name=entry.name,
        thermodynamic=entry.able.thermodynamic,
        sampling=how,
        rows=rows,
        images=generation.images[:_SHOWN],
        class_counts=class_counts,
        label=entry.label,
        ledgers=energy.ledgers,
        work=energy.work,
        strip=generation.strip,
        curve=curve,
        hardware=describe_hardware(device_of(model)),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _counted(progress: TitledProgress, entry: str, description: str, done: int, total: int) -> None:
    progress(f"{entry}, {description}", done, total)


def _cached(entry: Entry, result: ModelResult | None, known: Known | None) -> ModelResult | None:
    """Return a cached result under its present label; None if it lacks rows that are available now."""
    if result is None:
        return None
    if NOVELTY.find(result.rows) is None and known and known(entry.name):
        return None
    ledgers = tuple(replace(ledger, model=entry.label) for ledger in result.ledgers)
    return replace(result, name=entry.name, label=entry.label, ledgers=ledgers, cached=True)


def _real_rows(
    protocol: Protocol, space: FeatureSpace, command: str, hardware: str, cache: ResultCache | None
) -> list[Row]:
    """Return `real_rows` from the cache or from the judge."""
    if not (cache and space.sha256):
        return real_rows(protocol, space, command)
    key = real_key(protocol.to_dict(), space, hardware)
    if cached := cache.load(key):
        return [Row.from_dict(row) for row in cached[0]["rows"]]
    rows = real_rows(protocol, space, command)
    cache.save(key, {"rows": [row.to_dict() for row in rows]}, {})
    return rows
