"""What other installed packages add to the zoo, by entry points. Finding it imports nothing of theirs.

| group | name | value |
| --- | --- | --- |
| `thermotorch.models` | an architecture | its class, or a function that builds it: `package.module:Class` |
| `thermotorch.checkpoints` | anything | a folder inside the package that holds checkpoints: `package.folder` |

In the `pyproject.toml` of such a package:

    [project.entry-points."thermotorch.models"]
    pixel_wells = "pixel_wells.model:PixelWells"

    [project.entry-points."thermotorch.checkpoints"]
    pixel_wells = "pixel_wells.checkpoints"

A plugin that cannot work warns, names itself and its package, and leaves everybody else's models alone.
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
    """The entry points of a group, sorted by name and package; installed packages are looked through once."""
    try:
        found: Iterable[EntryPoint] = entry_points(group=group)
    except Exception as error:  # damaged metadata of one package spoil the list of all
        damaged = ", ".join(_unreadable_packages()) or "unknown"
        warnings.warn(f"no plugins: the entry points of package {damaged} cannot be read ({error})", stacklevel=3)
        found = ()
    return tuple(sorted(found, key=lambda plugin: (plugin.name, plugin.value)))


def origin(plugin: EntryPoint) -> str:
    """How messages name a plugin."""
    return f"plugin {plugin.value!r} (package {plugin.dist.name if plugin.dist else 'unknown'})"


def warn_about(plugin: EntryPoint, problem: str) -> None:
    """Says which plugin does not work, and why."""
    warnings.warn(f"{origin(plugin)} {problem}", stacklevel=4)


@cache
def plugin_folders() -> tuple[Path, ...]:
    """The folders of checkpoints that other packages ship; those that are not there are left out with a warning."""
    folders = []
    for plugin in announced(CHECKPOINTS):
        found = [folder for folder in _folders_named(plugin.value) if folder.is_dir()]
        if not found:
            warn_about(plugin, f"announces checkpoints, but there is no folder {plugin.value.replace('.', '/')}")
        folders += found[:1]
    return tuple(folders)


def can_be_found(plugin: EntryPoint) -> bool:
    """Whether the top-level package that a plugin names exists; whether the rest works shows when it is loaded."""
    return bool(_locations(plugin.value.partition(":")[0].partition(".")[0]))


def plugin_packages() -> tuple[str, ...]:
    """Names of the packages that announce models or checkpoints: one component, or two inside a namespace package.

    Configurations may name the classes of these packages (see `cli/targets.py`): whoever installs a package
    that announces itself to thermotorch trusts its code, and no other installed package is opened by that.
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
            package.entry_points  # noqa: B018  (read when asked for)
        except Exception:
            names.append(package.name)
    return names


def _folders_named(dotted: str) -> list[Path]:
    """Where `package.folder` may lie; `package` is found but not imported."""
    package, *rest = dotted.split(".")
    return [Path(location, *rest) for location in _locations(package)]


def _locations(package: str) -> list[str]:
    """The folders of a top-level package, or the file of a top-level module; empty if there is none."""
    spec = _spec(package)
    if spec is None:
        return []
    return list(spec.submodule_search_locations or [spec.origin or package])


def _spec(package: str) -> ModuleSpec | None:
    try:
        return find_spec(package)
    except (ImportError, ValueError):  # a name that is no name, or a half-installed package
        return None
