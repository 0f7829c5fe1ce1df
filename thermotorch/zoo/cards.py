"""The card of a checkpoint: what the weights are, how they were made, what was measured on them. JSON, checked."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from thermotorch.files import write_file
from thermotorch.names import unknown_name
from thermotorch.zoo.rows import Row

CARD_FORMAT = 1
WRITTEN_BY_SAVE = ("format", "name", "architecture", "config", "sha256", "parameters", "git_revision", "versions")
GIVEN_TO_SAVE = ("data", "metrics", "energy", "training", "licence", "notes")
OPTIONAL_FIELDS = ("reference", "stored")


class Card(dict):
    """The fields of a card, and where it was found.

    Attributes:
        path: the file it was read from.
        hides: the weights of the same name that were not taken, because this one comes first.
    """

    def __init__(self, fields: Mapping, path: Path, hides: Sequence[Path] = ()) -> None:
        super().__init__(fields)
        self.path, self.hides = path, tuple(hides)


def read_card(path: Path, hides: Sequence[Path] = ()) -> Card:
    """The card in a file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is damaged or of another format.
    """
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint {path.stem!r}: its card {path} is missing")
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"card {path} is truncated or damaged: {error}") from error
    if not isinstance(fields, dict) or fields.get("format") != CARD_FORMAT:
        raise ValueError(f"card {path}: expected format {CARD_FORMAT}, found {fields!r:.80}")
    return Card(fields, path, hides)


def write_card(path: Path, card: Mapping) -> None:
    """Write a card whole."""
    write_file(path, json.dumps(card, indent=2, allow_nan=False) + "\n")


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
        try:
            Row.from_dict(row)
            if "command" not in row:
                raise ValueError(f"row {row['metric']!r}: missing command")
        except ValueError as error:
            raise ValueError(f"card {card['name']!r}: {error}") from error
