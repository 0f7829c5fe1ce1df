"""Entries of a comparison: each model, and each way of sampling it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from torch import nn

from thermotorch.evaluation.protocol import Protocol
from thermotorch.models.protocol import Abilities, abilities
from thermotorch.names import unknown_name


@dataclass(frozen=True)
class Entry:
    """One column of a comparison.

    Args:
        label: unique label.
        name: name of the model.
        model: a generator.
        protocol: protocol of the comparison, with the sampler and steps of this entry.
    """

    label: str
    name: str
    model: nn.Module
    protocol: Protocol


def entries_of(models: Mapping[str, nn.Module], protocol: Protocol, samplers: Sequence[str] = ()) -> list[Entry]:
    """Return an entry for every model, or one for each sampler of a model that has samplers.

    A model that has none of the requested samplers uses the first of its own.

    Args:
        models: models by name.
        protocol: protocol of the comparison; its sampler and steps serve if `samplers` is empty.
        samplers: `name` or `name:steps`, such as "ddpm:1000", "ddim:25", "dpm++".

    Raises:
        ValueError: samplers that no model has or that cannot take so many steps, all in one message.
    """
    if repeated := sorted({text for text in samplers if list(samplers).count(text) > 1}):
        raise ValueError(f"samplers: {', '.join(repeated)} more than once")
    entries, problems = [], []
    requested = [*map(_parsed, samplers)] or [(protocol.sampler, protocol.steps)]
    able_of = {name: abilities(model) for name, model in models.items()}
    known = {sampler for able in able_of.values() for sampler in able.samplers}
    for name, model in models.items():
        able = able_of[name]
        if not able.takes_sampler:
            entries.append(Entry(name, name, model, protocol))
            continue
        # A model that lists its samplers skips one that only another model has.
        ways = [way for way in requested if not able.samplers or way[0] in able.samplers or way[0] not in known]
        for sampler, steps in ways or [(next(iter(able.samplers)), protocol.steps)]:
            try:
                step_count = _checked(name, able, sampler, steps)
                label = f"{name}, {sampler} {step_count}".strip() if samplers else name
                entries.append(Entry(label, name, model, replace(protocol, sampler=sampler, steps=steps)))
            except ValueError as error:
                problems.append(str(error))
    if samplers and not any(able.takes_sampler for able in able_of.values()):
        problems.append(f"samplers: none of {', '.join(models)} has several samplers; leave samplers out")
    if problems:
        raise ValueError("\n".join(dict.fromkeys(problems)))
    return entries


def _parsed(text: str) -> tuple[str, int | None]:
    """Parse `ddim:50` as ("ddim", 50) and `ddim` as ("ddim", None)."""
    name, colon, steps = str(text).partition(":")
    if not name or (colon and not steps.isdecimal()):
        raise ValueError(f"samplers: expected 'name' or 'name:steps' such as 'ddim:50', found {text!r}")
    return name, int(steps) if steps else None


def _checked(name: str, able: Abilities, sampler: str, steps: int | None) -> int | str:
    """Return the number of steps; "" if the model does not say."""
    if able.samplers and sampler not in able.samplers:
        raise unknown_name(f"sampler of {name}", sampler, able.samplers)
    try:
        return able.steps_of(sampler, steps) or ""
    except ValueError as error:
        raise ValueError(f"{name}, sampler {sampler}: {error}") from error
