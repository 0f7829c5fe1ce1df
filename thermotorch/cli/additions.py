"""Settings that a command line adds with `+`, which Hydra takes whether anything reads them or not."""

import re
from collections.abc import Iterator
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from thermotorch.names import unknown_name


def refuse_unread(cfg: DictConfig, overrides: list[str], config: Path) -> None:
    """Raise a ValueError for a setting that was added at the top of a configuration, where nothing reads it.

    Hydra itself proposes `+max_steps=10` to who forgot that it is `trainer.max_steps`, and the run would ignore it.
    Additions inside a known node reach a constructor, which refuses what it does not know.

    Args:
        cfg: composed configuration.
        overrides: words of the command line.
        config: its main file; what stands there, or in its defaults list, is known.
    """
    words = [match for word in overrides if (match := re.match(r"\+\+?([\w.]+)=(\{?)", word))]
    added, whole = [match[1].split(".") for match in words], {match[1] for match in words if match[2]}
    known = _known(config)
    for first in sorted({path[0] for path in added} & cfg.keys() - known):
        # A node that consists of additions alone; the choice of a group may bring a whole node with it.
        node, given = cfg._get_node(first), {path[1] for path in added if path[0] == first and len(path) > 1}
        alone = first in whole or not isinstance(node, DictConfig) or node.keys() == given
        if alone and f"${{{first}" not in OmegaConf.to_yaml(cfg):
            key = next(".".join(path) for path in added if path[0] == first)
            meant = {path for path in _leaves(cfg) if path != key and path.split(".")[-1] == key.split(".")[-1]}
            raise unknown_name("setting", key, meant or known)


def _known(config: Path) -> set[str]:
    """Return the nodes of a configuration file and of the files and groups in its defaults list."""
    main = OmegaConf.to_container(OmegaConf.load(config))
    assert isinstance(main, dict)
    known = {str(name) for name in main}
    for entry in main.get("defaults", []):
        if isinstance(entry, dict):
            known |= set(entry)
        elif entry != "_self_":
            known |= _known(config.with_name(f"{entry}.yaml"))
    return known - {"defaults"}


def _leaves(node: DictConfig, before: str = "") -> Iterator[str]:
    """Yield the paths of all settings below a node."""
    for name in map(str, node):
        child = node._get_node(name)
        if isinstance(child, DictConfig) and not child._is_none() and not child._is_interpolation():
            yield from _leaves(child, f"{before}{name}.")
        else:
            yield f"{before}{name}"
