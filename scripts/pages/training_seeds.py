"""Spread of the headline numbers over training seeds: the shipped models beside trainings of other seeds.

python -m scripts.pages.training_seeds ZOO/rbm.mnist.json ...    cards of trainings, into training_seeds.json
python -m scripts.pages.update_docs                              the table in docs/systems/index.md

The cards are those of `scripts/release_checkpoint.py RUN NAME --folder ZOO`, with the rows of an evaluation.
"""

import argparse
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from thermotorch.evaluation.estimate import mean_of
from thermotorch.evaluation.report.markdown import number, table
from thermotorch.zoo import load_card
from thermotorch.zoo.rows import Row, rows_of

RECORD = Path(__file__).with_suffix(".json")
DISTANCE, ONE_RUN = "Frechet distance (thermotorch-mnist-v1)", "test accuracy, one run"
ON_DEVICES = f"{ONE_RUN}, 5-bit couplings, 5% mismatch"
HEADLINES = {
    "classifier.end_to_end": ONE_RUN,
    "classifier.robust": ON_DEVICES,
    "classifier.teacher_student": ONE_RUN,
    "generator.digits8x8": "class-conditional accuracy",
    "generator.mnist_scheduled": DISTANCE,
    "generator.mnist_unlabelled": DISTANCE,
    "generator.three_digits": DISTANCE,
    "rbm.mnist": DISTANCE,
}
VARIED = {
    "classifier.end_to_end": "the second piece; all start from one first piece",
    "classifier.robust": "the training from the shipped `classifier.end_to_end`",
    "generator.mnist_scheduled": "the training from the shipped `generator.mnist_unlabelled`",
    "generator.mnist_unlabelled": "all, and the recipe: in one piece, the shipped one in two",
}


def entry(card: Mapping[str, Any]) -> tuple[str, int, dict[str, Any]]:
    """Return name, training seed and record of a trained model from its card.

    Raises:
        ValueError: a model without a headline number, or a card without it.
    """
    name = card["name"]
    if name not in HEADLINES:
        raise ValueError(f"card: expected one of {', '.join(HEADLINES)}, found {name}")
    return name, card["training"]["seed"], _fields(card)


def headline_row(card: Mapping[str, Any]) -> Row:
    """Return the row of a card that holds the model's headline number; a ValueError names a card without it."""
    for row in rows_of(card):
        if row.metric == HEADLINES[card["name"]] and row.value is not None:
            return row
    raise ValueError(f"card of {card['name']}: expected the row {HEADLINES[card['name']]!r}, found none")


def enter(cards: Iterable[Mapping[str, Any]], record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record with the trainings of some cards, which replace those of the same model and seed."""
    entered = {name: dict(trainings) for name, trainings in record.items()}
    for card in cards:
        name, seed, fields = entry(card)
        entered.setdefault(name, {})[str(seed)] = fields
    return {name: dict(sorted(entered[name].items(), key=lambda item: int(item[0]))) for name in sorted(entered)}


def seeds_table(record: Mapping[str, Any], shipped: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a Markdown table of the headline numbers over training seeds, and the commands of the trainings.

    Args:
        record: content of training_seeds.json. Where it has the seed of the shipped model, that model was measured anew
            with as many samples as the others, and the number of its card is not used.
        shipped: cards of the shipped models, by name.

    Raises:
        ValueError: numbers of one model that come from different numbers of samples.
    """
    lines, commands = [], []
    for name, trainings in record.items():
        card = shipped[name]
        seeds = {str(card["training"]["seed"]): _fields(card)} | trainings
        counts = {training["num_samples"] for training in seeds.values()}
        if len(counts) > 1:
            raise ValueError(f"{name}: expected as many samples for each training seed, found {sorted(counts)}")
        mean, deviation = _spread([training["value"] for training in seeds.values()])
        own, *others = (f"{seed}: {number(each['value'], each['stderr'])}" for seed, each in seeds.items())
        lines.append(
            [
                f"`{name}`", HEADLINES[name].replace("Frechet", "Fréchet"), f"{counts.pop():,}", own,
                "; ".join(others), f"{mean:.4g}", f"{deviation:.2g}", VARIED.get(name, "all"),
            ]
        )  # fmt: skip
        commands += [each["command"] for seed, each in trainings.items() if int(seed) != card["training"]["seed"]]
    columns = ["model", "number", "samples", "shipped", "other seeds", "mean", "standard deviation", "what varies"]
    ran = "\n".join(f"    {command}" for command in commands)
    return f"{table(columns, lines, right=(2, 5, 6))}\n\nTrained by\n\n{ran}"


def _fields(card: Mapping[str, Any]) -> dict[str, Any]:
    row, training = headline_row(card), card["training"]
    fields = {"value": row.known, "stderr": row.stderr, "num_samples": row.num_samples, "seed": row.seed}
    return fields | {"command": training["command"], "seconds": training["seconds"]}


def _spread(values: list[float]) -> tuple[float, float]:
    """Return mean and standard deviation."""
    mean, stderr = mean_of(torch.tensor(values, dtype=torch.float64))
    return mean, stderr * len(values) ** 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cards", type=Path, nargs="+", help="cards of trainings with other seeds")
    known = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.is_file() else {}
    cards = [load_card(str(path.with_suffix(".safetensors"))) for path in parser.parse_args().cards]
    RECORD.write_text(json.dumps(enter(cards, known), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
