"""Trained weights on disk: a safetensors file with its card beside it (see `lookup.py` for places and layouts).

The card holds the identity of the weights (architecture, configuration, sha256), their origin, and the numbers measured
on them. Nothing is unpickled, and no model is built before the digest has been checked.
"""

import os
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from thermotorch.files import locked, write_file
from thermotorch.zoo.cards import CARD_FORMAT, Card, check_card, read_card, write_card
from thermotorch.zoo.lookup import card_path, find_checkpoint, hidden_checkpoints
from thermotorch.zoo.registry import architecture, architectures, build_model, build_within, family_of
from thermotorch.zoo.tensor_files import packed, read_tensors

_TAG = re.compile(r"\w[\w.+-]*", re.ASCII)


def load_card(name: str | os.PathLike[str]) -> Card:
    """Return the card of a checkpoint, a dict with the file's `.path` and the checkpoints of the same name it `.hides`.

    Args:
        name: a name, a path, or an address on the Hub, as in `find_checkpoint`.

    Raises:
        ValueError: an unknown name, or a card that is damaged or of another format.
        FileNotFoundError: weights without a card beside them.
    """
    return read_card(card_path(find_checkpoint(name)), hidden_checkpoints(name))


def load_checkpoint(
    name: str | os.PathLike[str], *, expect: str | None = None, config: Mapping[str, Any] | None = None
) -> nn.Module:
    """Return the trained model of a checkpoint, in evaluation mode on the CPU.

    Args:
        name: a checkpoint's name; the path of its `.safetensors` file or of its folder; or `hf://owner/repository`.
        expect: required architecture; None accepts any.
        config: entries that replace those of the card, such as a temperature; they cannot change the weights' shapes.

    Raises:
        ValueError: the card or the weights are truncated, altered (sha256), malformed or of another architecture, or
            the name is unknown. The message gives the path and the checkpoints that it hides.
        FileNotFoundError: a file is missing.
        TypeError: `config` holds an entry that the architecture does not take.
    """
    path, hides = find_checkpoint(name), hidden_checkpoints(name)
    label = f"{path} (which hides {', '.join(map(str, hides))})" if hides else str(path)
    while True:
        card = read_card(card_path(path), hides)
        kind = card["architecture"]
        if expect is not None and expect not in (kind, family_of(kind)):
            raise ValueError(f"checkpoint {label}: expected architecture {expect!r}, found {kind!r}")
        if kind not in architectures():
            raise ValueError(
                f"checkpoint {label}: unknown architecture {kind!r}; is the package that adds it installed?"
            )
        architecture(kind)  # raises if its package cannot be imported
        try:
            weights = _read_entered(path, card["sha256"], label)
            break
        except (ValueError, FileNotFoundError):  # damaged, or releases came between the card and the weights
            with locked(path.parent):
                if read_card(card.path)["sha256"] == card["sha256"]:
                    weights = _read_entered(path, card["sha256"], label)
                    break
    model = _built(card, weights, config or {})
    _check_fit(label, kind, model.state_dict(), weights, card.get("stored"))
    model.load_state_dict(weights)
    return model.eval()


def save_checkpoint(
    model: nn.Module,
    name: str,
    folder: str | os.PathLike[str],
    card_fields: Mapping[str, Any],
    *,
    store: torch.dtype | None = None,
) -> tuple[Path, Path]:
    """Write `<name>.safetensors` and the card `<name>.json`, and return both paths.

    Args:
        model: an instance of the architecture that `name` begins with, or of one of its family; its `.config` rebuilds
            it.
        name: `architecture.tag`.
        folder: output folder, created if missing.
        card_fields: the part of the card that only the caller knows: data, metrics, energy, training, licence, notes.
        store: dtype of float32 matrices in the file, such as `torch.bfloat16`, which the card records. A loaded model
            computes in float32 with the rounded numbers. Vectors and scalars are not rounded.

    Raises:
        ValueError: a name without a tag, or with one that is no part of a file's name, or an incomplete card.
        TypeError: a model of another architecture, or without a `config`.
    """
    kind, _, tag = name.partition(".")
    if not _TAG.fullmatch(tag):  # it becomes the name of a file in `folder`
        raise ValueError(
            f"name: expected 'architecture.tag', found {name!r:.200}; a tag holds letters, digits and any of _.+-"
        )
    builder = architecture(kind)
    for member in architectures():
        if family_of(member) == kind and type(model) is architecture(member):
            kind, builder = member, type(model)
    if isinstance(builder, type) and not isinstance(model, builder):
        raise TypeError(f"model: expected a {builder.__name__} for {name!r}, found a {type(model).__name__}")
    config = getattr(model, "config", None)
    if not isinstance(config, Mapping):
        raise TypeError(f"model: expected one with a dict `config` to rebuild it from, found {config!r:.200}")
    card = {
        "format": CARD_FORMAT,
        "name": name,
        "architecture": kind,
        "config": dict(config),
        "sha256": "",
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        **card_fields,
        "git_revision": _git_revision(),
        "versions": {"python": platform.python_version(), **{key: _version(key) for key in ("thermotorch", "torch")}},
    }
    tensors = model.state_dict()
    if store is not None:
        card["stored"] = str(store).removeprefix("torch.")
        tensors = {
            key: value.to(store) if value.dtype == torch.float32 and value.dim() > 1 else value
            for key, value in tensors.items()
        }
    path = Path(folder) / f"{name}.safetensors"
    with torch.random.fork_rng(devices=[]):
        _check_fit(str(path), kind, build_model(kind, card["config"]).state_dict(), tensors, card.get("stored"))
    data, card["sha256"] = packed(tensors, str(path))
    check_card(card)
    with locked(folder):
        enter({path: (data, card["sha256"])}, path.with_suffix(".json"), card)
    return path, path.with_suffix(".json")


def record_rows(
    name: str | os.PathLike[str], *, metrics: Sequence[Mapping[str, Any]] = (), energy: Sequence[Mapping[str, Any]] = ()
) -> Path:
    """Enter rows into the card of a checkpoint, in place of those with the same metric, and return the card's path.

    Raises:
        ValueError: a row without its command, kind, number of samples or seed.
    """
    with locked(card_path(find_checkpoint(name)).parent):
        card = load_card(name)
        for field, rows in (("metrics", metrics), ("energy", energy)):
            new = {row["metric"]: dict(row) for row in rows}
            card[field] = [row for row in card[field] if row["metric"] not in new] + list(new.values())
        check_card(card)
        write_card(card.path, card)
    return card.path


def save_reference(name: str | os.PathLike[str], tensors: Mapping[str, Tensor]) -> Path:
    """Write `<name>.reference.safetensors` beside a checkpoint, record its sha256 in the card, and return its path.

    Raises:
        ValueError: a tensor holds numbers that are not finite.
    """
    weights = find_checkpoint(name)
    path = weights.with_name(f"{weights.stem}.reference.safetensors")
    data, sha256 = packed(tensors, str(path))
    with locked(path.parent):
        card = load_card(name)
        enter({path: (data, sha256)}, card.path, {**card, "reference": {"file": path.name, "sha256": sha256}})
    return path


def load_reference(name: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Return the reference statistics of a checkpoint, tensors by name.

    Raises:
        ValueError: the card lists none, or the file is truncated or altered.
    """
    card = load_card(name)
    if "reference" not in card:
        raise ValueError(f"checkpoint {os.fspath(name)!r} has no reference statistics")
    path = card.path.with_name(card["reference"]["file"])
    return _read_entered(path, card["reference"]["sha256"], str(path))


def _built(card: Card, weights: Mapping[str, Tensor], config: Mapping[str, Any]) -> nn.Module:
    """Return a model of the card's configuration with the entries of `config`, whose errors are the caller's."""
    try:
        return build_within(weights, card["architecture"], {**card["config"], **config})
    except Exception as error:
        if config:
            _built(card, weights, {})  # raises if the card alone is at fault
            raise
        raise ValueError(f"card {card.path}: config: {type(error).__name__}: {error}"[:500]) from error


def enter(files: Mapping[Path, tuple[bytes, str]], card_file: Path, card: Mapping[str, Any]) -> None:
    """Write files of tensors and the card that holds their digests; an interruption leaves all old or all new.

    Until the card is written, the new tensors lie beside the old ones under names made of their digests.

    Args:
        files: bytes and sha256 of each file, by path.
        card_file: path of the card.
        card: the card.
    """
    staged: dict[Path, Path] = {}
    try:
        for path, (data, sha256) in files.items():
            staged[path] = write_file(_staged(path, sha256), data)
        write_card(card_file, card)
    finally:
        entered = card_file.read_text(encoding="utf-8") if card_file.is_file() else ""
        for path, file in staged.items():
            if files[path][1] in entered:
                file.replace(path)
            else:
                file.unlink()


def _read_entered(path: Path, sha256: str, label: str) -> dict[str, Tensor]:
    """Return the tensors that `enter` wrote, even if it was killed after writing the card."""
    staged = _staged(path, sha256)
    if staged.is_file():
        try:
            return read_tensors(staged, sha256, label)
        except FileNotFoundError:  # it has just been renamed to `path`
            pass
    return read_tensors(path, sha256, label)


def _staged(path: Path, sha256: str) -> Path:
    return path.with_name(f"{sha256[:32]}.safetensors")


def _check_fit(
    label: str, kind: str, wanted: Mapping[str, Tensor], found: Mapping[str, Tensor], stored: str | None
) -> None:
    """Refuse weights that differ from the module's in name, shape or dtype.

    Args:
        stored: dtype of the file's matrices, if not that of the module.
    """
    problems = [f"{key} is missing" for key in sorted(wanted.keys() - found.keys())]
    problems += [f"{key} is not part of it" for key in sorted(found.keys() - wanted.keys())]
    problems += [
        f"{key} has shape {tuple(found[key].shape)}, expected {tuple(wanted[key].shape)}"
        for key in sorted(wanted.keys() & found.keys())
        if wanted[key].shape != found[key].shape
    ]
    problems += [
        f"{key} is of {found[key].dtype}, expected {wanted[key].dtype}"
        for key in sorted(wanted.keys() & found.keys())
        if not _takes(wanted[key], found[key].dtype, stored)
    ]
    if problems:
        more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
        raise ValueError(f"checkpoint {label} does not fit architecture {kind!r}: {'; '.join(problems[:3])}{more}")


def _takes(value: Tensor, dtype: torch.dtype, stored: str | None) -> bool:
    """Return True if a tensor of the model may be stored in a dtype.

    A model is built in torch's default dtype, which may have been another when the checkpoint was written.
    """
    if dtype == value.dtype or (dtype == torch.float32 and value.dtype == torch.get_default_dtype()):
        return True
    return value.is_floating_point() and value.dim() > 1 and str(dtype) == f"torch.{stored}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # a clone that was not installed
        return "0+unknown"


def _git_revision() -> str | None:
    """Return the commit of the clone that this package runs from, or None for an installed wheel."""
    root = Path(__file__).resolve().parent.parent.parent
    if not (root / ".git").exists():
        return None
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=False)
    return head.stdout.strip() or None
