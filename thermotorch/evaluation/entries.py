"""Entries of a comparison: each model, and each way of sampling it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from torch import nn

from thermotorch.evaluation.protocol import Protocol
from thermotorch.evaluation.speed.hardware import device_of
from thermotorch.models.protocol import BATCH_SIZE, Abilities, abilities
from thermotorch.names import unknown_name


@dataclass(frozen=True)
class Entry:
    """One column of a comparison."""

    label: str  # unique
    name: str  # of the model
    model: nn.Module  # a generator
    protocol: Protocol  # that of the comparison, with the sampler and steps of this entry
    command: str = ""  # which reproduces its rows

    @cached_property
    def able(self) -> Abilities:
        return abilities(self.model)

    @cached_property
    def options(self) -> dict[str, Any]:
        """The options of the protocol that the model takes: sampler, steps, execution, precision."""
        wanted: dict[str, Any] = {key: getattr(self.protocol, key) for key in ("steps", "execution", "precision")}
        if sampler := self.protocol.sampler or self.able.first_sampler:
            wanted = {"sampler": sampler} | wanted  # a model that lists no samplers has a default
        options = {key: value for key, value in wanted.items() if key in self.able.options}
        if options.get("execution") == "auto":
            options["execution"] = self.able.fastest_execution(self.batch_size)
        if options.get("precision") == "ieee":
            del options["precision"]  # the default of every model, which reports need not repeat
        if self.able.num_classes and not self.told and not self.able.draws_class:
            options["guidance"] = 0.0
        return options

    @property
    def told(self) -> bool:
        """Return True if the model is asked for each class in turn; ValueError if the protocol wants what it cannot."""
        able, told = self.able, self.protocol.told
        if not able.num_classes or told is None:
            return bool(able.num_classes) and not able.draws_class
        if not told and not able.draws_class and "guidance" not in able.options:
            raise ValueError(
                f"protocol.told: {self.label} draws images of a chosen class only; write protocol.told=true"
            )
        return told

    @property
    def batch_size(self) -> int:
        """The number of images in a batch: the protocol's, or the one that suits model and device."""
        suits = self.able.cpu_batch_size if device_of(self.model).type == "cpu" else BATCH_SIZE
        return min(self.protocol.num_samples, self.protocol.batch_size or suits)

    @property
    def how(self) -> str:
        return in_words(self.able, self.options, self.told)


def in_words(able: Abilities, options: Mapping[str, Any], told: bool = True) -> str:
    """Describe the sampling: `sampler dpm++, steps 20, each class in turn, guidance 2`."""
    words = [f"{key} {value}" for key, value in options.items() if value is not None and key != "guidance"]
    guidance = options.get("guidance", able.guidance)
    if able.draws_class and not told:
        words.append("the class drawn by the machine")
    elif able.num_classes:
        words.append("each class in turn" if guidance else "without the class")
        if guidance not in (0.0, 1.0):
            words.append(f"guidance {guidance:g}")
    return ", ".join(words)


def entries_of(
    models: Mapping[str, nn.Module], protocol: Protocol, samplers: Sequence[str] | None = (), command: str = ""
) -> list[Entry]:
    """Return an entry for every model, or one for each sampler of a model that has samplers.

    A model uses the first of its own samplers where none is named, or one that only another model has.

    Args:
        models: models by name.
        protocol: protocol of the comparison; its sampler and steps serve if `samplers` is empty.
        samplers: `name` or `name:steps`, such as "ddpm:1000", "ddim:25", "dpm++". None is those that each model names
            in `compared`, its cheapest and its best, unless the protocol has a sampler or steps of its own.
        command: command that reproduces their rows.

    Raises:
        ValueError: samplers that no model has or that cannot take so many steps, all in one message.
    """
    own_ways = samplers is None and protocol.sampler is None and protocol.steps is None
    samplers = samplers or ()
    if repeated := sorted({text for text in samplers if list(samplers).count(text) > 1}):
        raise ValueError(f"samplers: {', '.join(repeated)} more than once")
    entries, problems = [], []
    able_of = {name: abilities(model) for name, model in models.items()}
    known = {sampler for able in able_of.values() for sampler in able.samplers}
    for name, model in models.items():
        able = able_of[name]
        if not able.takes_sampler:
            entries.append(Entry(name, name, model, protocol, command))
            continue
        named = samplers or (able.compared if own_ways else ())
        requested: list[tuple[str | None, int | None]] = [*map(_parsed, named)] or [(protocol.sampler, protocol.steps)]
        # A model that lists its samplers skips one that only another model has.
        ways = [way for way in requested if not able.samplers or way[0] in able.samplers or way[0] not in known]
        for sampler, steps in ways or [(None, protocol.steps)]:
            sampler = able.first_sampler if sampler is None else sampler
            try:
                step_count = _checked(name, able, sampler, steps)
                label = f"{name}, {sampler} {step_count}".strip() if named else name
                entries.append(Entry(label, name, model, replace(protocol, sampler=sampler, steps=steps), command))
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


def _checked(name: str, able: Abilities, sampler: str | None, steps: int | None) -> int | str:
    """Return the number of steps; "" if the model does not say."""
    if sampler is None:
        return steps or ""
    if able.samplers and sampler not in able.samplers:
        raise unknown_name(f"sampler of {name}", sampler, able.samplers)
    try:
        return able.steps_of(sampler, steps) or ""
    except ValueError as error:
        raise ValueError(f"{name}, sampler {sampler}: {error}") from error
