"""Architectures and checkpoints of other installed packages, announced by entry points and listed without imports.

| group | name | value |
| --- | --- | --- |
| `thermotorch.models` | an architecture | its class, or a function that builds it: `package.module:Class` |
| `thermotorch.checkpoints` | any | a folder of checkpoints inside the package: `package.folder` |

In the `pyproject.toml` of such a package:

    [project.entry-points."thermotorch.models"]
    pixel_wells = "pixel_wells.model:PixelWells"

    [project.entry-points."thermotorch.checkpoints"]
    pixel_wells = "pixel_wells.checkpoints"

A plugin that does not work causes a warning with its name and package, and affects no other model.
"""

import warnings
from collections.abc import Iterable
from functools import cache
from importlib.machinery import ModuleSpec
from importlib.metadata import EntryPoint, distributions, entry_points
from importlib.util import find_spec
from pathlib import Path

MODELS, CHECKPOINTS = "thermotorch.models", "thermotorch.checkpoints"


@cache
def announced(group: str) -> tuple[EntryPoint, ...]:
    """Return the entry points of a group, sorted by name and value; the first call reads the installed packages."""
    try:
        plugins: Iterable[EntryPoint] = entry_points(group=group)
    except Exception as error:  # the damaged metadata of one package spoil the list of all
        damaged = ", ".join(_unreadable_packages()) or "unknown"
        warnings.warn(f"no plugins: the entry points of package {damaged} cannot be read ({error})", stacklevel=3)
        plugins = ()
    return tuple(sorted(plugins, key=lambda plugin: (plugin.name, plugin.value)))


def origin(plugin: EntryPoint) -> str:
    """Return the name of a plugin in messages."""
    return f"plugin {plugin.value!r} (package {plugin.dist.name if plugin.dist else 'unknown'})"


def warn_about(plugin: EntryPoint, problem: str) -> None:
    """Warn that a plugin does not work."""
    warnings.warn(f"{origin(plugin)} {problem}", stacklevel=4)


@cache
def plugin_folders() -> tuple[Path, ...]:
    """Return the checkpoint folders of other packages, with a warning for one that does not exist."""
    folders = []
    for plugin in announced(CHECKPOINTS):
        package, *rest = plugin.value.split(".")
        existing = [folder for place in _locations(package) if (folder := Path(place, *rest)).is_dir()]
        if not existing:
            warn_about(plugin, f"announces checkpoints, but there is no folder {plugin.value.replace('.', '/')}")
        folders += existing[:1]
    return tuple(folders)


def can_be_found(plugin: EntryPoint) -> bool:
    """Return True if the plugin's top-level package exists; an error in the rest appears on loading it."""
    return bool(_locations(plugin.value.partition(":")[0].partition(".")[0]))


def plugin_packages() -> tuple[str, ...]:
    """Return the names of packages that announce models or checkpoints: one component, or two in a namespace package.

    Configurations may name the classes of these packages and of no others (see `cli/targets.py`): to install a package
    that announces itself to thermotorch is to trust its code.
    """
    packages = set()
    for plugin in (*announced(MODELS), *announced(CHECKPOINTS)):
        parts = plugin.value.partition(":")[0].split(".")
        spec = _spec(parts[0])
        is_namespace = spec is not None and spec.origin is None
        packages.add(".".join(parts[: 2 if is_namespace else 1]))
    return tuple(sorted(packages))


def _unreadable_packages() -> list[str]:
    names = []
    for package in distributions():
        try:
            package.entry_points  # noqa: B018  (a property that reads a file)
        except Exception:
            names.append(package.name)
    return names


def _locations(package: str) -> list[str]:
    """Return the folders of a top-level package, or the file of a top-level module, without importing it."""
    spec = _spec(package)
    if spec is None:
        return []
    return list(spec.submodule_search_locations or [spec.origin or package])


def _spec(package: str) -> ModuleSpec | None:
    try:
        return find_spec(package)
    except (ImportError, ValueError):  # an invalid name, or a half-installed package
        return None
