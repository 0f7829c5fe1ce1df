"""Trained weights on disk: `<name>.safetensors` with its card `<name>.json`.

The card says what the weights are (architecture, configuration, sha256), how they were made, and what was measured
on them. Nothing is unpickled, and nothing is built before the digest has been checked. A checkpoint is looked for in
the folder $THERMOTORCH_HOME and then among the ones that ship with the package.
"""

import hashlib
import json
import os
import platform
import struct
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from safetensors.torch import load as safetensors_load
from safetensors.torch import save as safetensors_save
from torch import Tensor, nn

from thermotorch.zoo.names import unknown_name
from thermotorch.zoo.registry import architecture, build_model

CARD_FORMAT = 1
WRITTEN_BY_SAVE = ("format", "name", "architecture", "config", "sha256", "parameters", "git_revision", "versions")
GIVEN_TO_SAVE = ("data", "metrics", "energy", "training", "licence", "notes")
OPTIONAL_FIELDS = ("reference",)
ROW_FIELDS = {"metric", "value", "unit", "num_samples", "seed", "kind", "command"}
OPTIONAL_ROW_FIELDS = {"stderr", "note"}
ROW_KINDS = ("measured", "modelled", "unavailable")


def packaged_folder() -> Path:
    """The folder of the checkpoints that ship with the package: inside it when installed, beside it in a clone."""
    package = Path(__file__).resolve().parent.parent
    inside, beside = package / "checkpoints", package.parent / "checkpoints"
    return inside if inside.is_dir() else beside


def checkpoint_folders() -> list[Path]:
    """Where checkpoints are looked for, first match wins: $THERMOTORCH_HOME if set, then the packaged ones."""
    home = os.environ.get("THERMOTORCH_HOME")
    return [*([Path(home).expanduser()] if home else []), packaged_folder()]


def list_checkpoints() -> list[str]:
    """The names of all checkpoints that can be loaded, sorted."""
    return sorted({path.stem for folder in checkpoint_folders() for path in folder.glob("*.json")})


def find_checkpoint(name: str | os.PathLike) -> Path:
    """The path of the weights file of `name`, which is a checkpoint's name or the path of a `.safetensors` file.

    Raises:
        ValueError: no checkpoint of that name; the message lists the close matches.
        FileNotFoundError: a path was given and there is no such file.
    """
    text = os.fspath(name)
    if text.endswith(".safetensors"):
        path = Path(text).expanduser()
        if not path.is_file():
            raise FileNotFoundError(f"checkpoint {text!r}: no such file")
        return path
    for folder in checkpoint_folders():
        path = folder / f"{text}.safetensors"
        if path.with_suffix(".json").is_file():
            return path
    raise unknown_name("checkpoint", text, list_checkpoints())


def load_card(name: str | os.PathLike) -> dict:
    """The card of a checkpoint, given its name or the path of its `.safetensors` file.

    Raises:
        ValueError: unknown name, or the card is damaged or of another format.
        FileNotFoundError: the weights file has no card beside it.
    """
    path = find_checkpoint(name).with_suffix(".json")
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint {os.fspath(name)!r}: its card {path} is missing")
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"card {path} is truncated or damaged: {error}") from error
    if not isinstance(card, dict) or card.get("format") != CARD_FORMAT:
        raise ValueError(f"card {path}: expected format {CARD_FORMAT}, found {card!r:.80}")
    return card


def load_checkpoint(name: str | os.PathLike, *, expect: str | None = None, config: Mapping | None = None) -> nn.Module:
    """The trained model of a checkpoint, in evaluation mode on the CPU.

    Args:
        name: a checkpoint's name, or the path of its `.safetensors` file.
        expect: the architecture that the caller needs; None takes any.
        config: entries that replace those of the card (not the shape of the weights), such as a temperature.

    Raises:
        ValueError: the card or the weights are truncated, altered (sha256) or of another architecture, or the name is
            unknown. Which of these is said, and nothing has been loaded.
        FileNotFoundError: a file is missing.
    """
    path = find_checkpoint(name)
    card = load_card(name)
    if expect is not None and card["architecture"] != expect:
        raise ValueError(f"checkpoint {path}: expected architecture {expect!r}, found {card['architecture']!r}")
    weights = _read_tensors(path, card["sha256"])
    model = build_model(card["architecture"], {**card["config"], **(config or {})})
    _check_fit(path, card["architecture"], model.state_dict(), weights)
    model.load_state_dict(weights)
    return model.eval()


def save_checkpoint(model: nn.Module, name: str, folder: str | os.PathLike, card_fields: Mapping) -> tuple[Path, Path]:
    """Writes `<name>.safetensors` and the card `<name>.json`, and returns both paths.

    Args:
        model: an instance of the architecture that `name` begins with; its `.config` rebuilds it.
        name: `architecture.tag`.
        folder: where to write; made if missing.
        card_fields: the part of the card that only the caller knows: data, metrics, energy, training, licence, notes.

    Raises:
        ValueError: the name has no tag, or the card would be incomplete.
        TypeError: the model is of another architecture.
    """
    kind, _, tag = name.partition(".")
    if not tag:
        raise ValueError(f"name: expected 'architecture.tag', found {name!r}")
    builder = architecture(kind)
    if isinstance(builder, type) and not isinstance(model, builder):
        raise TypeError(f"model: expected a {builder.__name__} for {name!r}, found a {type(model).__name__}")
    data = safetensors_save({key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()})
    card = {
        "format": CARD_FORMAT,
        "name": name,
        "architecture": kind,
        "config": dict(model.config),
        "sha256": hashlib.sha256(data).hexdigest(),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        **card_fields,
        "git_revision": _git_revision(),
        "versions": {"python": platform.python_version(), **{key: version(key) for key in ("thermotorch", "torch")}},
    }
    check_card(card)
    path = Path(folder) / f"{name}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, data)
    _write_card(path.with_suffix(".json"), card)
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
    path = find_checkpoint(name).with_suffix(".json")
    _write_card(path, card)
    return path


def check_card(card: Mapping) -> None:
    """Checks that a card is complete and that each of its rows says what it counts, how, and with which seed.

    Raises:
        ValueError: names the field that is missing, not known, or wrong.
    """
    needed = {*WRITTEN_BY_SAVE, *GIVEN_TO_SAVE}
    if missing := sorted(needed - card.keys()):
        raise ValueError(f"card {card.get('name')!r}: missing {', '.join(missing)}")
    for field in card.keys() - needed - set(OPTIONAL_FIELDS):
        raise unknown_name("card field", field, needed)
    for row in [*card["metrics"], *card["energy"]]:
        label = f"card {card['name']!r}, row {row.get('metric')!r}"
        if missing := sorted(ROW_FIELDS - row.keys()):
            raise ValueError(f"{label}: missing {', '.join(missing)}")
        if row["kind"] not in ROW_KINDS:
            raise ValueError(f"{label}: kind is one of {', '.join(ROW_KINDS)}, found {row['kind']!r}")
        if (row["value"] is None) != (row["kind"] == "unavailable"):
            raise ValueError(f"{label}: a value is null exactly when its kind is 'unavailable'")
        for field in row.keys() - ROW_FIELDS - OPTIONAL_ROW_FIELDS:
            raise unknown_name("field of a card row", field, ROW_FIELDS | OPTIONAL_ROW_FIELDS)


def save_reference(name: str | os.PathLike, tensors: Mapping[str, Tensor]) -> Path:
    """Writes `<name>.reference.safetensors` beside a checkpoint and enters it, with its sha256, in the card."""
    weights, card = find_checkpoint(name), load_card(name)
    path = weights.with_name(f"{weights.stem}.reference.safetensors")
    data = safetensors_save({key: value.detach().cpu().contiguous() for key, value in tensors.items()})
    _write(path, data)
    _write_card(
        weights.with_suffix(".json"),
        {**card, "reference": {"file": path.name, "sha256": hashlib.sha256(data).hexdigest()}},
    )
    return path


def load_reference(name: str | os.PathLike) -> dict[str, Tensor]:
    """The reference statistics that belong to a checkpoint: tensors by name.

    Raises:
        ValueError: the card lists none, or the file is truncated or altered.
    """
    card = load_card(name)
    if "reference" not in card:
        raise ValueError(f"checkpoint {os.fspath(name)!r} has no reference statistics")
    path = find_checkpoint(name).with_name(card["reference"]["file"])
    return _read_tensors(path, card["reference"]["sha256"])


def _read_tensors(path: Path, sha256: str) -> dict[str, Tensor]:
    """The tensors of a safetensors file, once its length and its digest have been checked."""
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint {path}: no such file")
    data = path.read_bytes()
    if (expected := _expected_length(data)) is None or len(data) < expected:
        raise ValueError(
            f"checkpoint {path} is truncated: {len(data)} bytes of {expected or 'an unreadable header'}; fetch it again"
        )
    if (found := hashlib.sha256(data).hexdigest()) != sha256:
        raise ValueError(f"checkpoint {path} was altered: its card says sha256 {sha256}, found {found}")
    return safetensors_load(data)


def _expected_length(data: bytes) -> int | None:
    """The length that a safetensors file announces (8 bytes, header, tensors); None if the header is cut off."""
    if len(data) < 8 or len(data) < 8 + (header := struct.unpack("<Q", data[:8])[0]):
        return None
    try:
        entries = json.loads(data[8 : 8 + header])
    except ValueError:
        return None
    ends = [entry["data_offsets"][1] for key, entry in entries.items() if key != "__metadata__"]
    return 8 + header + max(ends, default=0)


def _check_fit(path: Path, kind: str, wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
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
        raise ValueError(f"checkpoint {path} does not fit architecture {kind!r}: {'; '.join(problems[:3])}{more}")


def _write(path: Path, data: bytes) -> None:
    """Writes a file so that an interruption leaves the old one or the new one, never half of it."""
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(data)
    partial.replace(path)


def _write_card(path: Path, card: Mapping) -> None:
    _write(path, (json.dumps(card, indent=2, allow_nan=False) + "\n").encode())


def _git_revision() -> str | None:
    """The commit of the clone this package runs from; None when it runs from an installed wheel."""
    root = Path(__file__).resolve().parent.parent.parent
    if not (root / ".git").exists():
        return None
    found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=False)
    return found.stdout.strip() or None
