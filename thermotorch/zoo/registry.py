"""Architectures by name.

A name is `architecture` or `architecture.tag`: the architecture is a class registered here, the tag one set of trained
weights for it (see `checkpoints.py`). Built-in classes are registered by their dotted path and imported on first use,
so that importing the zoo imports no model. Other packages add theirs with `register_model`, or by an entry point, which
needs no import (see `plugins.py`).
"""

import importlib
import inspect
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint
from typing import Any

from torch import nn

from thermotorch.names import unknown_name
from thermotorch.zoo import plugins

Builder = Callable[..., nn.Module]

_architectures: dict[str, str | EntryPoint | Builder] = {
    "generator": "thermotorch.models.generator.machine:ThermodynamicGenerator",
    "chain": "thermotorch.models.generator.chain:ThermodynamicChain",
    "ddpm": "thermotorch.models.baselines.diffusion:DiffusionModel",
    "flow": "thermotorch.models.baselines.flow:FlowMatchingModel",
    "feature_net": "thermotorch.models.judge:FeatureNet",
    "gaussians": "thermotorch.models.baselines.gaussians:Gaussians",
    "rbm": "thermotorch.models.baselines.boltzmann:RestrictedBoltzmannMachine",
    "spu": "thermotorch.linear_algebra.board.spu:StochasticProcessingUnit",
    "classifier": "thermotorch.models.classifier.machine:ThermodynamicClassifier",
    "layered": "thermotorch.models.classifier.layered:LayeredComputer",
    "thermo_conv": "thermotorch.models.classifier.thermo_conv:ThermodynamicConvNet",
}
# Architectures whose trained models bear the name of another one with the same task.
_families = {"chain": "generator"}
_plugins_found = False


def family_of(name: str) -> str:
    """Return the first part of the names of trained models of architecture `name`, in most cases `name` itself."""
    return _families.get(name, name)


def register_model(name: str, *, override: bool = False) -> Callable[[Builder], Builder]:
    """Return a decorator that registers a class (or a function returning a module) as architecture `name`.

    The constructor takes only plain numbers, strings, lists and dicts, and the module keeps them as `.config`.

    Args:
        name: the architecture's name, without a dot, which separates it from the tag of a checkpoint.
        override: True to replace an architecture of the same name instead of raising.

    Raises:
        ValueError: a name with a dot, or one that is taken; the message names both owners.
    """
    if not isinstance(name, str):
        raise TypeError(f"name: expected an architecture name without a dot, found {name!r}")
    if not name or "." in name:
        raise ValueError(f"name: expected an architecture name without a dot, found {name!r}")

    def register(builder: Builder) -> Builder:
        if not callable(builder):
            raise TypeError(f"register_model({name!r}): expected a class or a function, found {builder!r}")
        known = _known()
        if name in known and not override and not _announces(known[name], builder):
            raise ValueError(
                f"architecture {name!r} of {_origin(builder)} is already registered by {_origin(known[name])}; "
                f"choose another name or pass override=True"
            )
        _architectures[name] = builder
        return builder

    return register


def architectures() -> list[str]:
    """Return the names of all registered architectures, sorted, without importing any."""
    return sorted(_known())


def architecture(name: str) -> Builder:
    """Return the class registered as `name`, imported if needed.

    Raises:
        ValueError: no such architecture; the message lists the close matches.
        ImportError: a failing import of the package that announced it; the message names that package.
    """
    known = _known()
    if name not in known:
        raise unknown_name("architecture", name, known)
    entry = known[name]
    if isinstance(entry, str):
        module, _, attribute = entry.partition(":")
        entry = _architectures[name] = getattr(importlib.import_module(module), attribute)
    elif isinstance(entry, EntryPoint):
        entry = _architectures[name] = _load(name, entry)
    return entry


def build_model(name: str, config: Mapping[str, Any]) -> nn.Module:
    """Return a fresh module of architecture `name` with the constructor arguments `config`.

    Raises:
        ValueError: no such architecture.
        TypeError: `config` holds a key that the constructor does not take; the message lists the close matches.
    """
    builder = architecture(name)
    parameters = inspect.signature(builder).parameters
    for key in config:
        if key not in parameters:
            raise TypeError(str(unknown_name(f"argument of architecture {name!r}:", key, parameters)))
    return builder(**config)


def _known() -> dict[str, str | EntryPoint | Builder]:
    """Return the table of architectures; the first call adds those of other installed packages."""
    global _plugins_found
    if not _plugins_found:
        _plugins_found = True
        for plugin in plugins.announced(plugins.MODELS):
            if not plugin.name or "." in plugin.name:
                plugins.warn_about(plugin, f"is ignored: {plugin.name!r} is no architecture name without a dot")
            elif plugin.name in _architectures:
                taken_by = _origin(_architectures[plugin.name])
                problem = f"is ignored: architecture {plugin.name!r} is already registered by {taken_by}"
                plugins.warn_about(plugin, problem)
            else:
                _architectures[plugin.name] = plugin
                if not plugins.can_be_found(plugin):
                    problem = f"cannot be loaded, so there is no {plugin.name!r}: its package is missing"
                    plugins.warn_about(plugin, problem)
    return _architectures


def _load(name: str, plugin: EntryPoint) -> Builder:
    """Return the builder that a plugin announces, imported now."""
    try:
        builder: Builder = plugin.load()
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
        raise ImportError(f"architecture {name!r} of {_origin(plugin)} cannot be loaded: {problem}") from error
    if not callable(builder):
        raise ImportError(
            f"architecture {name!r} of {_origin(plugin)} is a {type(builder).__name__}; "
            f"its entry point should name a class: {name} = 'package.module:Class'"
        )
    return builder


def _announces(entry: str | EntryPoint | Builder, builder: Builder) -> bool:
    """Return True if an entry of the table announces this very builder, which its package also decorates."""
    return isinstance(entry, EntryPoint) and entry.value == f"{builder.__module__}:{builder.__qualname__}"


def _origin(entry: str | EntryPoint | Builder) -> str:
    """Return the owner of an entry of the table, for messages."""
    if isinstance(entry, str):
        return entry.replace(":", ".")
    if isinstance(entry, EntryPoint):
        return plugins.origin(entry)
    return f"{entry.__module__}.{entry.__qualname__}"
