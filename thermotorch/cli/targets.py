"""The classes that a configuration may name by `_target_`, and their construction.

A configuration may come from anywhere, and therefore reaches only constructors of these packages: ours, torch's modules
and optimizers, the parts of a Lightning trainer, and plugins. A plugin is an installed package that announces models or
checkpoints to thermotorch (`zoo/plugins.py`); its user has chosen to trust its code.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue

from thermotorch.zoo.plugins import plugin_packages

_PARTS_OF_TRAINING = ("callbacks", "loggers", "strategies", "plugins", "profilers", "accelerators")
ALLOWED_TARGETS = (
    "thermotorch.",
    "torch.optim.",
    "torch.nn.",
    "lightning.pytorch.trainer.",
    *(f"lightning.pytorch.{part}." for part in _PARTS_OF_TRAINING),
)
_SHORT_NAMES = ("lightning.pytorch.Trainer",)
_DEFINED_IN = tuple(f"lightning.fabric.{part}." for part in _PARTS_OF_TRAINING)  # for classes that Lightning re-exports


def instantiate(node: DictConfig, **arguments: Any) -> Any:
    """Return the object that a configuration node describes, built from a resolved copy of it.

    `_args_` (positional arguments) and `_partial_: true` have their meaning in Hydra.

    Args:
        node: a node with `_target_`; nested nodes are built too, and other values arrive as plain dicts and lists.
        arguments: further arguments, which replace those of the node.

    Raises:
        ValueError: a missing value, or a `_target_` that is no class of the packages above, such as a function or an
            import of theirs (`thermotorch.cli.os.system`); raised before anything is built.
        Exception: any exception of the constructor.
    """
    try:
        plain = OmegaConf.to_container(node, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        raise ValueError(str(error)) from None
    if not isinstance(plain, dict) or "_target_" not in plain:
        raise ValueError(f"expected a node with _target_, found {plain!r:.200}")
    classes = {target: _allowed_class(path, target) for path, target in targets(plain)}
    return _build({**plain, **arguments}, classes)


def targets(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every `_target_` in a plain nested configuration, with the dotted path of the node that holds it."""
    if isinstance(node, dict):
        if "_target_" in node:
            yield path, node["_target_"]
        for key, value in node.items():
            yield from targets(value, f"{path}.{key}" if path else str(key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from targets(value, f"{path}[{index}]")


def check_name(path: str, target: Any) -> None:
    """Raise a ValueError for a `_target_` outside the allowed packages, judged by its name without an import.

    Args:
        path: path of the node that holds it, for the message.
        target: the value of `_target_`.
    """
    if not isinstance(target, str) or not (target in _SHORT_NAMES or target.startswith(ALLOWED_TARGETS)):
        plugins = tuple(f"{package}." for package in plugin_packages())
        if not (isinstance(target, str) and target.startswith(plugins)):
            raise _refusal(path, target, plugins)


def is_class_of(target: str, packages: tuple[str, ...]) -> bool:
    """Return True for the dotted name of a class that is defined in one of the packages (with a final dot).

    Raises:
        ValueError: there is nothing of that name, or it cannot be imported.
    """
    try:
        named = hydra.utils.get_object(target)
    except Exception as error:  # of a module as it is imported
        reason = " ".join(str(error).split())
        raise ValueError(f"_target_: expected a class, found {target!r:.200}, with {reason:.300}") from error
    return isinstance(named, type) and f"{named.__module__}.".startswith(packages)


def _allowed_class(path: str, target: Any) -> type:
    check_name(path, target)
    plugins = tuple(f"{package}." for package in plugin_packages())
    if not is_class_of(target, (*ALLOWED_TARGETS, *_DEFINED_IN, *plugins)):
        raise _refusal(path, target, plugins)
    return hydra.utils.get_object(target)


def _refusal(path: str, target: Any, plugins: tuple[str, ...]) -> ValueError:
    allowed = ", ".join((*ALLOWED_TARGETS, *plugins))
    return ValueError(
        f"{path}{'.' * bool(path)}_target_: expected a class of {allowed}, found {target!r:.200}; a package of your "
        f"own is allowed once it announces a model to thermotorch (entry point group 'thermotorch.models')"
    )


def _build(node: Any, classes: dict[str, type]) -> Any:
    """Build the objects of a plain configuration, from the inside out."""
    if isinstance(node, list):
        return [_build(value, classes) for value in node]
    if not isinstance(node, dict):
        return node
    if "_target_" not in node:
        return {key: _build(value, classes) for key, value in node.items()}
    settings = {key: value for key, value in node.items() if key not in ("_target_", "_convert_", "_recursive_")}
    if node.get("_recursive_", True):
        settings = {key: _build(value, classes) for key, value in settings.items()}
    call, positional = classes[node["_target_"]], settings.pop("_args_", [])
    return partial(call, *positional, **settings) if settings.pop("_partial_", False) else call(*positional, **settings)
