"""The files of a checkpoint, found by path, by address on the Hugging Face Hub, or by name.

Only an address, `hf://owner/repository[@revision]`, needs a network.

The first match for a name wins, in

1. the folder $THERMOTORCH_HOME, if set;
2. the checkpoints that ship with thermotorch;
3. the folders of other packages (see `plugins.py`), in the order of their entry points' names.

A checkpoint is two files side by side, or a folder in the layout of the Hub:

| layout | weights | card |
| --- | --- | --- |
| files | `<name>.safetensors` | `<name>.json` |
| folder | `<name>/model.safetensors` | `<name>/config.json` |
"""

import os
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from thermotorch.files import user_path
from thermotorch.names import unknown_name
from thermotorch.zoo.plugins import plugin_folders

_LONGEST_PATH, _LONGEST_PART = 4096, 255  # characters of a path and bytes of a name on most systems
FOLDER_WEIGHTS, FOLDER_CARD = "model.safetensors", "config.json"
SCHEME = "hf://"
_ADDRESS = re.compile(rf"{SCHEME}(?P<repository>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")


def packaged_folder() -> Path:
    """Return the folder of the checkpoints that ship with the package: inside it if installed, beside it in a clone."""
    package = Path(__file__).resolve().parent.parent
    inside, beside = package / "checkpoints", package.parent / "checkpoints"
    return inside if inside.is_dir() else beside


def checkpoint_folders() -> list[Path]:
    """Return the folders to search for a name, in order: $THERMOTORCH_HOME if set, our own, those of plugins."""
    home = os.environ.get("THERMOTORCH_HOME")
    own = [user_path("THERMOTORCH_HOME", home)] if home else []
    return [*own, packaged_folder(), *plugin_folders()]


def list_checkpoints() -> list[str]:
    """Return the names of all checkpoints that can be loaded, sorted."""
    folders = checkpoint_folders()
    files = {path.stem for folder in folders for path in folder.glob("*.json")}
    return sorted(files | {path.parent.name for folder in folders for path in folder.glob(f"*.*/{FOLDER_CARD}")})


def check_length(name: str | os.PathLike[str]) -> str | os.PathLike[str]:
    """Return the name or path of a checkpoint, unless it is too long for a file system.

    Raises:
        TypeError: neither a string nor a path.
        ValueError: more than 4,096 characters, a folder of more than 255 bytes, or a name that leaves no room for the
            extension of a file.
    """
    text = os.fspath(name) if isinstance(name, os.PathLike) else name
    if not isinstance(text, str):
        raise TypeError(f"name: expected a name or a path, got {name!r}")
    *folders, last = (len(os.fsencode(part)) for part in text.split(os.sep))
    if len(text) > _LONGEST_PATH or max([*folders, last + len(".safetensors")]) > _LONGEST_PART:
        raise ValueError(f"checkpoint {text[:40]!r}...: expected a name or path of fewer characters, found {len(text)}")
    return name


def is_address(name: str | os.PathLike[str]) -> bool:
    """Return True for a place: a `Path`, an address `hf://...`, or a string with a path separator or `.safetensors`.

    A bare word is a name, even when the working directory holds a folder of that name.
    """
    return not isinstance(name, str) or "/" in name or os.sep in name or name.endswith(".safetensors")


def find_checkpoint(name: str | os.PathLike[str]) -> Path:
    """Return the path of the weights of a checkpoint.

    Args:
        name: a name; the path of a `.safetensors` file or of a folder in the layout of the Hub; or
            `hf://owner/repository[@revision]`, which is downloaded unless it is in the Hub's cache.

    Raises:
        ValueError: no checkpoint of that name; the message lists the close matches.
        FileNotFoundError: no file at a path, or no answer from the Hub.
    """
    text = os.fspath(check_length(name))
    if not is_address(name):
        if places := _places(text):
            return places[0]
        raise unknown_checkpoint("checkpoint", text, list_checkpoints())
    path = download(text) if text.startswith(SCHEME) else user_path("checkpoint", text)
    if path.is_dir():
        path /= FOLDER_WEIGHTS
        if not path.with_name(FOLDER_CARD).is_file():
            raise FileNotFoundError(f"checkpoint {text!r}: expected {FOLDER_CARD} and {FOLDER_WEIGHTS} in that folder")
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint {text!r}: no such file")
    return path


def hidden_checkpoints(name: str | os.PathLike[str]) -> list[Path]:
    """Return the weights files of the same name that `find_checkpoint` passes over."""
    return [] if is_address(name) else _places(os.fspath(name))[1:]


def card_path(weights: Path) -> Path:
    """Return the path of the card of a weights file."""
    beside = weights.with_suffix(".json")
    return weights.with_name(FOLDER_CARD) if weights.name == FOLDER_WEIGHTS and not beside.is_file() else beside


def unknown_checkpoint(kind: str, name: str, known: Iterable[str]) -> ValueError:
    """Return the error for an unknown name, with a hint if the working directory holds a checkpoint of that name."""
    error = unknown_name(kind, name, known)
    if (Path(name) / FOLDER_CARD).is_file():
        return ValueError(f"{error}; for the folder of that name write './{name}'")
    return error


@cache
def download(address: str) -> Path:
    """Return the folder of a repository in the Hub's cache, after a download if needed.

    A process resolves each address once, so that a card and its weights are of one revision.

    Args:
        address: `hf://owner/repository`, or `hf://owner/repository@revision` with a branch, tag or commit.

    Raises:
        ValueError: a malformed address.
        FileNotFoundError: a repository that is neither in the cache nor available from the Hub; the message suggests
            a remedy.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise ValueError(f"checkpoint {address!r}: expected hf://owner/repository or hf://owner/repository@revision")
    repository, revision = match["repository"], match["revision"]
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=["*.json", "*.safetensors"]))
    except Exception as error:  # the classes of its errors differ between versions and HTTP libraries
        reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
        at = f" --revision {revision}" if revision else ""
        raise FileNotFoundError(
            f"checkpoint {address!r} is not in the Hub's cache and could not be downloaded ({reason}). "
            f"Check the name and the network; or on a machine with a network run "
            f"`hf download {repository}{at} --local-dir FOLDER`, copy FOLDER here and give its path instead"
        ) from error


def _places(name: str) -> list[Path]:
    """Return the weights files of every checkpoint of a name, in the order of the search."""
    places = []
    for folder in checkpoint_folders():
        if (folder / f"{name}.json").is_file():
            places.append(folder / f"{name}.safetensors")
        if (folder / name / FOLDER_CARD).is_file():
            places.append(folder / name / FOLDER_WEIGHTS)
    return places
