"""The card of a checkpoint, a JSON file: identity and origin of its weights, and the numbers measured on them."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from thermotorch.files import write_file
from thermotorch.names import unknown_name
from thermotorch.zoo.rows import Row

CARD_FORMAT = 1
WRITTEN_BY_SAVE = ("format", "name", "architecture", "config", "sha256", "parameters", "git_revision", "versions")
GIVEN_TO_SAVE = ("data", "metrics", "energy", "training", "licence", "notes")
OPTIONAL_FIELDS = ("reference", "stored")
MAX_BYTES = 1 << 20  # largest card; those that ship have up to 14,000 bytes
_KINDS: dict[str, type] = {
    "name": str, "architecture": str, "config": dict, "sha256": str, "parameters": int, "versions": dict, "data": dict,
    "metrics": list, "energy": list, "training": dict, "licence": str, "notes": str, "reference": dict, "stored": str,
}  # fmt: skip
_SHA256 = re.compile("[0-9a-f]{64}")


class Card(dict[str, Any]):
    """The fields of a card, and its place.

    Attributes:
        path: file of the card.
        hides: weights files of the same name in places that are searched later.
    """

    def __init__(self, fields: Mapping[str, Any], path: Path, hides: Sequence[Path] = ()) -> None:
        super().__init__(fields)
        self.path, self.hides = path, tuple(hides)


def read_card(path: Path, hides: Sequence[Path] = ()) -> Card:
    """Return the card in a file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the card is too large, damaged, of another format, or incomplete.
    """
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint {path.stem!r}: its card {path} is missing")
    if (size := path.stat().st_size) > MAX_BYTES:
        raise ValueError(f"card {path}: expected at most {MAX_BYTES} bytes, found {size}")
    try:
        fields = json.loads(path.read_text(encoding="utf-8"), parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"card {path} is truncated or damaged: {error}") from error
    if not isinstance(fields, dict) or fields.get("format") != CARD_FORMAT:
        raise ValueError(f"card {path}: expected format {CARD_FORMAT}, found {fields!r:.80}")
    _check_fields(fields, str(path))
    return Card(fields, path, hides)


def write_card(path: Path, card: Mapping[str, Any]) -> None:
    """Write a card; an interruption leaves the old file or the new one, never a part."""
    write_file(path, json.dumps(card, indent=2, allow_nan=False) + "\n")


def check_card(card: Mapping[str, Any]) -> None:
    """Check that a card is complete and that each of its rows states its command and its seed.

    Raises:
        ValueError: a field is missing, unknown or wrong; the message names it.
    """
    for field in card.keys() - {*WRITTEN_BY_SAVE, *GIVEN_TO_SAVE, *OPTIONAL_FIELDS}:
        raise unknown_name("card field", field, {*WRITTEN_BY_SAVE, *GIVEN_TO_SAVE})
    _check_fields(card, repr(card.get("name")))
    for row in [*card["metrics"], *card["energy"]]:
        if "command" not in row:
            raise ValueError(f"card {card['name']!r}: row {row['metric']!r}: missing command")


def _check_fields(card: Mapping[str, Any], label: str) -> None:
    if missing := sorted({*WRITTEN_BY_SAVE, *GIVEN_TO_SAVE} - card.keys()):
        raise ValueError(f"card {label}: missing {', '.join(missing)}")
    for field, kind in _KINDS.items():
        if field in card and not isinstance(card[field], kind):
            raise ValueError(f"card {label}: {field}: expected a {kind.__name__}, found {card[field]!r:.80}")
    _check_digest(f"card {label}: sha256", card["sha256"])
    if "reference" in card:
        file = card["reference"].get("file")
        if not isinstance(file, str) or not re.fullmatch(r"[\w-][\w .-]*", file):
            raise ValueError(
                f"card {label}: reference: expected the name of a file beside the card, found {file!r:.80}"
            )
        _check_digest(f"card {label}: sha256 of reference", card["reference"].get("sha256"))
    for field in ("metrics", "energy"):
        for row in card[field]:
            try:
                Row.from_dict(row)
            except (ValueError, TypeError, OverflowError) as error:
                raise ValueError(f"card {label}: {field}: {str(error):.300}") from error


def _check_digest(label: str, found: Any) -> None:
    if not isinstance(found, str) or not _SHA256.fullmatch(found):
        raise ValueError(f"{label}: expected 64 hexadecimal digits, found {found!r:.80}")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text:.40} is not finite")
    return number
