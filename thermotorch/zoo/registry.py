"""Architectures by name.

A name is `architecture` or `architecture.tag`: the architecture is a class registered here, the tag one set of trained
weights for it (see `checkpoints.py`). Built-in classes are registered by their dotted path and imported on first use,
so that importing the zoo imports no model. Other packages add theirs with `register_model`, or by an entry point, which
needs no import (see `plugins.py`).

Models of a card are built within the bounds of their weights: anybody can write its configuration, and a few digits of
it can ask for more memory or time than there is.
"""

import importlib
import inspect
import math
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint
from typing import Any

from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

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
_SPARE = 1 << 22  # elements of tables that any configuration may imply
_TIMES = 8  # elements of such tables for each one of the weights


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


def build_within(weights: Mapping[str, Tensor], kind: str, config: Mapping[str, Any]) -> nn.Module:
    """Return a fresh model of architecture `kind`, of a size that fits `weights`.

    Raises:
        TooLarge: the model would have far more tensor elements than the weights.
        Exception: any error of the constructor.
    """
    with _Budget(weights):
        return build_model(kind, dict(config))


def _known() -> dict[str, str | EntryPoint | Builder]:
    """Return the table of architectures; the first call adds those of other installed packages."""
    global _plugins_found
    if not _plugins_found:
        _plugins_found = True
        for plugin in plugins.announced(plugins.MODELS):
            name, problem = plugin.name, ""
            if not name or "." in name:
                problem = f"is ignored: {name!r} is no architecture name without a dot"
            elif name in _architectures:
                problem = f"is ignored: architecture {name!r} is already registered by {_origin(_architectures[name])}"
            else:
                _architectures[name] = plugin
                if not plugins.can_be_found(plugin):
                    problem = f"cannot be loaded, so there is no {name!r}: its package is missing"
            if problem:
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


class TooLarge(ValueError):
    """A configuration that asks for far more tensor elements than its weights hold."""


class _Budget(TorchDispatchMode):
    """Limit on the tensors that a constructor allocates, in their number and in their elements."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.elements = _TIMES * sum(value.numel() for value in weights.values()) + _SPARE
        self.tensors = 100 * len(weights) + 10_000

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        if not any(isinstance(value, Tensor) for value in args):  # allocates a new tensor
            sizes = next((value for value in args if isinstance(value, list | tuple)), args)
            self.elements -= math.prod(max(1, size) for size in sizes if type(size) is int)
            self.tensors -= 1
            if self.elements < 0 or self.tensors < 0:
                raise TooLarge("the configuration asks for a model much larger than its weights")
        return func(*args, **(kwargs or {}))
