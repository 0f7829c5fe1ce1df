import pytest

from scripts.pages.model_table import model_table

CARD = {
    "name": "generator.x",
    "parameters": 532736,
    "data": {"name": "MNIST", "digits": [0, 1], "images_per_digit": 1},
    "training": {"command": "thermotorch-train experiment=x", "steps": 1200, "seconds": 5400.0, "note": "in two parts"},
    "metrics": [
        {"metric": "recognised fraction", "value": 0.5, "unit": "", "stderr": 0.01, "num_samples": 10000, "seed": 3,
         "kind": "measured", "command": "thermotorch-evaluate model=generator.x"},
        {"metric": "time", "value": 1.0, "unit": "s", "num_samples": 1, "seed": 0, "kind": "measured", "command": ""},
    ],
    "energy": [
        {"metric": "generation heat", "value": 1300.0, "unit": "kT per sample", "num_samples": 200, "seed": 0,
         "kind": "modelled", "command": "thermotorch-evaluate model=generator.x"},
        {"metric": "energy drawn", "value": None, "unit": "J", "num_samples": 0, "seed": 0, "kind": "unavailable",
         "command": ""},
    ],
}  # fmt: skip


def test_every_number_has_its_count_seed_and_kind():
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in model_table([CARD]).splitlines()]
    assert ["`generator.x`", "recognised fraction", "0.500 ± 0.010", "10,000", "3", "measured"] in cells
    assert ["`generator.x`", "generation heat", "1,300 kT per sample", "200", "0", "modelled"] in cells
    assert ["`generator.x`", "532,736", "MNIST; digits 0, 1; 1 image of each", "`thermotorch-train experiment=x`",
            "1,200 steps, 1.5 h"] in cells  # fmt: skip


def test_what_a_card_notes_about_its_training_is_said():
    assert "\n- training of `generator.x`: in two parts\n" in model_table([CARD])


def test_numbers_that_are_missing_or_of_one_machine_stay_out_and_commands_are_listed_once():
    text = model_table([CARD])
    assert "energy drawn" not in text
    assert "| time" not in text
    assert text.count("thermotorch-evaluate model=generator.x") == 1


def rows_of(text):
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(59.0, "59 s"), (60.0, "1 min"), (3599.0, "60 min"), (3600.0, "1 h"), (5400.0, "1.5 h"), (0.5, "0.5 s")],
)
def test_a_training_took_so_many_hours_minutes_or_seconds(seconds, words):
    card = {**CARD, "training": {**CARD["training"], "seconds": seconds}}
    assert f"1,200 steps, {words}" in [row[4] for row in rows_of(model_table([card])) if len(row) == 5]


def test_what_was_not_trained_and_data_that_are_not_told_are_said():
    card = {**CARD, "data": {}, "training": {"command": "make it", "steps": 0, "seconds": 0.0}, "metrics": []}
    text = model_table([card, {**CARD, "name": "generator.y", "data": {"name": "MNIST"}}])
    assert ["`generator.x`", "532,736", "nothing", "`make it`", "nothing to train"] in rows_of(text)
    assert ["`generator.y`", "532,736", "MNIST", "`thermotorch-train experiment=x`", "1,200 steps, 1.5 h"] in rows_of(
        text
    )
    assert "training of `generator.x`" not in text and "training of `generator.y`: in two parts" in text
    assert rows_of(text)[0] == ["model", "parameters", "trained on", "with", "which took"]
    assert ["model", "number", "value", "samples", "seed", "kind"] in rows_of(text)
    assert text.endswith("Commands that give these numbers:\n\n    thermotorch-evaluate model=generator.x")


def test_a_number_of_the_model_alone_has_no_count():
    size = {"metric": "cells", "value": 8.0, "unit": "", "num_samples": 0, "seed": 0, "kind": "measured", "command": ""}
    text = model_table([{**CARD, "metrics": [size], "energy": []}])
    assert ["`generator.x`", "cells", "8", "", "0", "measured"] in rows_of(text)
