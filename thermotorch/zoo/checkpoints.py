"""Trained weights on disk: a safetensors file with its card beside it (see `lookup.py` for the places and forms).

The card says what the weights are (architecture, configuration, sha256), how they were made, and what was measured
on them. Nothing is unpickled, and nothing is built before the digest has been checked.
"""

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from torch import Tensor, nn

from thermotorch.zoo.cards import CARD_FORMAT, Card, check_card, read_card, write_card
from thermotorch.zoo.lookup import card_path, find_checkpoint, hidden_checkpoints
from thermotorch.zoo.registry import architecture, architectures, build_model, family_of
from thermotorch.zoo.tensor_files import read_tensors, write_tensors


def load_card(name: str | os.PathLike) -> Card:
    """The card of a checkpoint: a dict, with `.path`, where it was found, and `.hides`, what it comes before.

    Args:
        name: a name, a path, or an address of the Hub, as in `find_checkpoint`.

    Raises:
        ValueError: unknown name, or the card is damaged or of another format.
        FileNotFoundError: the weights file has no card beside it.
    """
    return read_card(card_path(find_checkpoint(name)), hidden_checkpoints(name))


def load_checkpoint(name: str | os.PathLike, *, expect: str | None = None, config: Mapping | None = None) -> nn.Module:
    """The trained model of a checkpoint, in evaluation mode on the CPU.

    Args:
        name: a checkpoint's name; the path of its `.safetensors` file or of its folder; or `hf://owner/repository`.
        expect: the architecture that the caller needs; None takes any.
        config: entries that replace those of the card (not the shape of the weights), such as a temperature.

    Raises:
        ValueError: the card or the weights are truncated, altered (sha256) or of another architecture, or the name is
            unknown. Which of these is said, with the path and whatever it hides, and nothing has been loaded.
        FileNotFoundError: a file is missing.
    """
    path = find_checkpoint(name)
    card = read_card(card_path(path), hidden_checkpoints(name))
    label = f"{path} (which hides {', '.join(map(str, card.hides))})" if card.hides else str(path)
    kind = card["architecture"]
    if expect is not None and expect not in (kind, family_of(kind)):
        raise ValueError(f"checkpoint {label}: expected architecture {expect!r}, found {kind!r}")
    if kind not in architectures():
        raise ValueError(f"checkpoint {label}: unknown architecture {kind!r}; is the package that adds it installed?")
    weights = read_tensors(path, card["sha256"], label)
    model = build_model(kind, {**card["config"], **(config or {})})
    _check_fit(label, kind, model.state_dict(), weights)
    model.load_state_dict(weights)
    return model.eval()


def save_checkpoint(
    model: nn.Module, name: str, folder: str | os.PathLike, card_fields: Mapping, *, store: torch.dtype | None = None
) -> tuple[Path, Path]:
    """Writes `<name>.safetensors` and the card `<name>.json`, and returns both paths.

    Args:
        model: an instance of the architecture that `name` begins with, or of one of its family; its `.config` rebuilds
            it.
        name: `architecture.tag`.
        folder: where to write; made if missing.
        card_fields: the part of the card that only the caller knows: data, metrics, energy, training, licence, notes.
        store: dtype that matrices of float32 are rounded to in the file, such as `torch.bfloat16`; the card says so,
            and a model that is loaded computes in float32 with the rounded numbers. Vectors and numbers are kept as
            they are.

    Raises:
        ValueError: the name has no tag, or the card would be incomplete.
        TypeError: the model is of another architecture.
    """
    kind, _, tag = name.partition(".")
    if not tag:
        raise ValueError(f"name: expected 'architecture.tag', found {name!r}")
    builder = architecture(kind)
    for member in architectures():
        if family_of(member) == kind and type(model) is architecture(member):
            kind, builder = member, type(model)
    if isinstance(builder, type) and not isinstance(model, builder):
        raise TypeError(f"model: expected a {builder.__name__} for {name!r}, found a {type(model).__name__}")
    card = {
        "format": CARD_FORMAT,
        "name": name,
        "architecture": kind,
        "config": dict(model.config),
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
    check_card(card)
    path = Path(folder) / f"{name}.safetensors"
    card["sha256"] = write_tensors(path, tensors)
    write_card(path.with_suffix(".json"), card)
    return path, path.with_suffix(".json")


def record_rows(name: str | os.PathLike, *, metrics: Sequence[Mapping] = (), energy: Sequence[Mapping] = ()) -> Path:
    """Enters rows into the card of a checkpoint, in place of those with the same metric, and returns the card's path.

    Raises:
        ValueError: a row that does not say what it counts, how, and with which seed.
    """
    card = load_card(name)
    for field, rows in (("metrics", metrics), ("energy", energy)):
        new = {row["metric"]: dict(row) for row in rows}
        card[field] = [row for row in card[field] if row["metric"] not in new] + list(new.values())
    check_card(card)
    write_card(card.path, card)
    return card.path


def save_reference(name: str | os.PathLike, tensors: Mapping[str, Tensor]) -> Path:
    """Writes `<name>.reference.safetensors` beside a checkpoint and enters it, with its sha256, in the card."""
    weights, card = find_checkpoint(name), load_card(name)
    path = weights.with_name(f"{weights.stem}.reference.safetensors")
    sha256 = write_tensors(path, tensors)
    write_card(card.path, {**card, "reference": {"file": path.name, "sha256": sha256}})
    return path


def load_reference(name: str | os.PathLike) -> dict[str, Tensor]:
    """The reference statistics that belong to a checkpoint: tensors by name.

    Raises:
        ValueError: the card lists none, or the file is truncated or altered.
    """
    card = load_card(name)
    if "reference" not in card:
        raise ValueError(f"checkpoint {os.fspath(name)!r} has no reference statistics")
    return read_tensors(card.path.with_name(card["reference"]["file"]), card["reference"]["sha256"])


def _check_fit(label: str, kind: str, wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    """Raises if the weights are not those of the module."""
    problems = [f"{key} is missing" for key in sorted(wanted.keys() - found.keys())]
    problems += [f"{key} is not part of it" for key in sorted(found.keys() - wanted.keys())]
    problems += [
        f"{key} has shape {tuple(found[key].shape)}, expected {tuple(wanted[key].shape)}"
        for key in sorted(wanted.keys() & found.keys())
        if wanted[key].shape != found[key].shape
    ]
    if problems:
        more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
        raise ValueError(f"checkpoint {label} does not fit architecture {kind!r}: {'; '.join(problems[:3])}{more}")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # a clone that was not installed
        return "0+unknown"


def _git_revision() -> str | None:
    """The commit of the clone this package runs from; None when it runs from an installed wheel."""
    root = Path(__file__).resolve().parent.parent.parent
    if not (root / ".git").exists():
        return None
    found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=False)
    return found.stdout.strip() or None
