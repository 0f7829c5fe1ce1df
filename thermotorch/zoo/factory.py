"""Models by name: `create_model("generator.three_digits", pretrained=True)`."""

import fnmatch
import os
from collections.abc import Iterable, Sequence
from typing import Any

from torch import nn

from thermotorch.zoo.checkpoints import load_card, load_checkpoint
from thermotorch.zoo.lookup import check_length, is_address, list_checkpoints, unknown_checkpoint
from thermotorch.zoo.registry import architectures, build_model


def create_model(
    name: str | os.PathLike[str],
    pretrained: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
    **config: Any,
) -> nn.Module:
    """Return a model by name, fresh or trained.

    Args:
        name: `architecture`, or `architecture.tag` for the configuration (and weights) of a checkpoint. The path of a
            checkpoint (its `.safetensors` file or its folder) or `hf://owner/repository[@revision]` gives its trained
            model, whatever `pretrained` is. `lookup.py` lists the places that are searched for a name.
        pretrained: True for the weights of `architecture.tag`, False for fresh weights in the same configuration.
        checkpoint: path of a `.safetensors` file or folder to load instead of a named checkpoint, or an address on the
            Hub; it must hold `architecture`.
        config: constructor arguments of the architecture; with a checkpoint they replace those of its card.

    Returns:
        An `nn.Module` on the CPU, in evaluation mode if it is trained.

    Raises:
        ValueError: an unknown name (the message lists the close matches), or a checkpoint that fails its checks.
        TypeError: `config` holds an argument that the architecture does not take.
    """
    if is_address(check_length(name)):
        if checkpoint is not None:
            raise ValueError(f"checkpoint: expected none beside the address {os.fspath(name)!r}, found {checkpoint!r}")
        return load_checkpoint(name, config=config)
    name = os.fspath(name)
    kind, _, tag = name.partition(".")
    if kind not in architectures():
        raise unknown_checkpoint("model", name, [*architectures(), *list_checkpoints()])
    if checkpoint is not None:
        return load_checkpoint(checkpoint, expect=kind, config=config)
    if pretrained and not tag:
        tags = fnmatch.filter(list_checkpoints(), f"{kind}.*")
        raise ValueError(f"name: {name!r} has no tag, so there are no weights to load; write one of {tags}")
    if pretrained:
        return load_checkpoint(name, expect=kind, config=config)
    if not tag:
        return build_model(kind, config)
    card = load_card(name)
    return build_model(card["architecture"], {**card["config"], **config})


def list_models(pattern: str | Sequence[str] = "*", pretrained: bool = False) -> list[str]:
    """Return the sorted names of architectures, or of trained models, that match a shell-style pattern.

    Args:
        pattern: pattern, or several of which a name must match one.
        pretrained: True for trained models.

    Both include those of other installed packages (see `plugins.py`); `load_card(name).path` gives the file.
    """
    patterns = [pattern] if isinstance(pattern, str) or not isinstance(pattern, Iterable) else list(pattern)
    if not all(isinstance(each, str) for each in patterns):
        raise TypeError(f"pattern: expected a pattern such as 'generator*', or a list of them, got {pattern!r}")
    names = list_checkpoints() if pretrained else architectures()
    return [name for name in names if any(fnmatch.fnmatchcase(name, each) for each in patterns)]
