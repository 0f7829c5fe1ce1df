"""Tables of rows side by side: which rows share one, and what they say of those that could not be read."""

from dataclasses import replace

import pytest

from tests.evaluation.report.comparisons import comparison, row
from thermotorch.evaluation.report.content import Bullets
from thermotorch.evaluation.report.energy_tables import energy_row_tables
from thermotorch.evaluation.report.markdown import number
from thermotorch.evaluation.report.provenance import commands, notes, protocol_table
from thermotorch.evaluation.report.quality_tables import models_table, recorded_tables, side_by_side
from thermotorch.evaluation.report.sections import report_of
from thermotorch.evaluation.report.sides import sides_of
from thermotorch.zoo.rows import Row


def test_unit_samples_seed_and_kind_are_those_of_the_values_that_are_known():
    read, missing = row("time", 0.5, "s"), row("time", None, num_samples=7, seed=1)
    (table,) = side_by_side("rows", {"a": [read], "b": [missing]})
    assert table.header[:3] == ["quantity", "a", "b"]
    (cells,) = table.rows
    assert cells[1:7] == ["0.5", "unavailable", "s", "40", "3", "measured"]
    (table,) = side_by_side("rows", {"b": [missing]})  # of none known, those of all
    assert table.rows[0][1:6] == ["unavailable", "-", "7", "1", "unavailable"]


@pytest.mark.parametrize(("models", "captions"), [(4, ["rows"]), (5, ["rows (1)", "rows (2)"])])
def test_tables_are_numbered_where_models_need_more_than_one(models, captions):
    tables = list(side_by_side("rows", {f"model {k}": [row("time", float(k))] for k in range(models)}))
    assert [table.caption for table in tables] == captions
    assert [cell for table in tables for cell in table.rows[0][1:-5]] == [str(k) for k in range(models)]


def test_two_seeds_of_a_line_are_both_named():
    (table,) = side_by_side("rows", {"a": [row("time", 0.5)], "b": [row("time", 0.5, seed=4, num_samples=1000)]})
    assert table.rows[0][1:6] == ["0.5", "0.5", "-", "40, 1,000", "3, 4"]


def test_heat_and_arithmetic_of_a_run_are_apart_from_joules_that_were_read():
    found = comparison(2)
    (device, machine), (digital, model) = found.results.items()
    rows = {
        device: [row("heat", 12.0, "kT", kind="modelled"), row("time", 0.5, "s"), row("energy drawn", 3.0, "J")],
        digital: [row("arithmetic", 2e9, "FLOP", kind="modelled"), row("energy drawn by the CPU", None, "J")],
    }
    results = {device: replace(machine, rows=rows[device]), digital: replace(model, rows=rows[digital])}
    tables = {table.caption: table for table in energy_row_tables(sides_of(replace(found, results=results), {}))}
    assert list(tables) == [
        "Heat, work and arithmetic, modelled in this run",
        "Heat, work and arithmetic, measured in this run",
    ]
    modelled, measured = ([line[:3] for line in table.rows] for table in tables.values())
    assert modelled == [["heat", "12", "-"], ["arithmetic", "-", "2e+09"]]
    assert measured == [["energy drawn", "3", "-"], ["energy drawn by the CPU", "-", "unavailable"]]


def test_energies_of_a_card_are_listed_once_for_a_model_sampled_in_several_ways():
    heat = Row("heat", 5.0, "kT", 10, 0, "modelled")
    card = {"metrics": [], "energy": [heat.to_dict()]}
    found = sides_of(comparison(4), {"digital.mnist": card})
    tables = [table for table in energy_row_tables(found) if "card" in table.caption]
    assert [table.header[:2] for table in tables] == [["quantity", "digital.mnist"]]
    assert list(energy_row_tables(found))[-1].caption == "Heat, work and arithmetic, modelled in the model cards"
    assert tables[0].rows[0][:2] == ["heat", "5"]


def test_a_model_is_as_large_as_its_card_says_or_else_its_row():
    """The second device has a card, the first only its row of 407,834 parameters, and the last was not reached."""
    found = comparison(3, reached=2)
    trained_on = {"name": "MNIST", "digits": [0, 1, 2], "images_per_digit": 1}
    cards = {"digital.mnist": {"parameters": 1_089_609, "data": trained_on}}
    table = models_table(sides_of(found, cards))
    assert (table.header[3], table.right, table.words) == ("parameters", [3], True)
    rows = table.rows
    assert [line[1:] for line in rows] == [
        ["thermodynamic device, simulated", "-", number(407_834), "-"],
        ["digital", "sampler ddim, steps 10", number(1_089_609), "MNIST, digits 0 1 2, 1 image of each"],
        ["not reached", "-", "-", "-"],
    ]
    several = {"data": {"name": "MNIST", "images_per_digit": 20}}
    (line,) = models_table(sides_of(comparison(1), {"machine.number_0": several})).rows
    assert line[4] == "MNIST, 20 images of each"


def test_rows_of_cards_stand_beside_those_of_real_images():
    card = {"metrics": [row("recognised fraction", 0.9).to_dict(), row("heat", 3.0, "kT").to_dict()], "energy": []}
    found = comparison(1)
    space = replace(found.space, recorded=[row("recognised fraction of real test images", 0.99), row("other", 1.0)])
    found = replace(found, space=space)
    (table,) = recorded_tables(found, sides_of(found, {"machine.number_0": card}))
    assert table.header[1:3] == ["machine.number_0", "real images"]
    assert [line[1:3] for line in table.rows] == [["0.9", "0.99"]]
    assert list(recorded_tables(found, sides_of(found, {}))) == []


@pytest.mark.parametrize(
    ("entries", "title"),
    [
        ({"a": "a"}, "a measured"),
        ({"a, 1": "a", "a, 2": "a"}, "a in 2 ways"),
        ({"a": "a", "b, 1": "b", "b, 2": "b"}, "a and b compared"),
        ({"a": "a", "b": "b", "c": "c"}, "a, b and c compared"),
        ({"a": "a", "b": "b", "c": "c", "d": "d"}, "4 models compared"),
    ],
)
def test_the_title_names_up_to_three_models(entries, title):
    found = replace(comparison(1), entries=entries, results={})
    report = report_of(found, {})
    assert report.title == title
    warning, protocol = report.lead
    assert warning.warning and warning.text.startswith(f"Not finished: {', '.join(entries)}.")
    assert protocol.text == "Protocol `test`: 40 samples from each model, seed 3, on an abacus, 10 beads."


def test_a_note_stands_once_for_the_metrics_and_models_that_share_it_and_without_their_sampling():
    found = comparison(2)
    results = {
        label: replace(
            each, rows=[row("a", 1.0, note=f"of it, {each.sampling}" if each.sampling else "of it"), row("b", 1.0)]
        )
        for label, each in found.results.items()
    }
    found = replace(found, results=results, real=[row("c", 1.0, note="of it"), row("d", 1.0, note="other")])
    device, digital = results
    assert notes(found, sides_of(found, {})).items == [
        f"a; c of {device} and {digital} and real images: of it.",
        "d of real images: other.",
    ]


def test_commands_are_those_of_the_report_the_training_and_the_rows_of_each_card():
    several = [row("a", 1.0, command=command).to_dict() for command in ("x", "y", "x")]
    cards = {"digital.mnist": {"training": {"command": "train"}, "metrics": several},
             "machine.number_0": {"metrics": several[:1]}}  # fmt: skip
    found = comparison(4)
    assert commands(found, sides_of(found, cards)).items == [
        "this report: `thermotorch-compare a=machine b=digital`", "rows in the card of machine.number_0: `x`",
        "training of digital.mnist: `train`", "rows in the card of digital.mnist (1): `x`",
        "rows in the card of digital.mnist (2): `y`",
    ]  # fmt: skip
    settings = dict(protocol_table(found).rows)
    assert (settings["num samples"], settings["batch size"], settings["judge"]) == (
        "40",
        "default",
        "thermotorch-test-v1",
    )
    assert settings["hardware"] == "an abacus, 10 beads"


def test_a_value_is_shown_with_its_error_its_interval_and_its_count():
    """A property of the model alone has no samples, and what a table says of a row stands outside of it."""
    spread = row("recognised fraction", 0.5, stderr=0.02, low=0.45, high=0.56)
    (table,) = side_by_side(
        "rows", {"a": [spread, row("parameters", 7.0, num_samples=0)], "b": [row("time", 2.0, "s")]}
    )
    assert [line[1:] for line in table.rows] == [
        ["0.500 ± 0.020 [0.45 to 0.56]", "-", "-", "40", "3", "measured", "-"],
        ["7", "-", "-", "-", "3", "measured", "-"],
        ["-", "2", "s", "40", "3", "measured", "-"],
    ]
    assert table.rows[0][0] == "recognised fraction ↑"
    assert list(table.header) == ["quantity", "a", "b", "unit", "samples", "seed", "kind", "in"]
    assert (tuple(table.right), tuple(table.fine)) == ((1, 2), (3, 4, 5, 6, 7))


def test_notes_of_cards_name_their_models_and_a_card_of_two_ways_of_sampling_counts_once():
    found = comparison(4, reached=0)
    report = report_of(found, {"digital.mnist": {"notes": "knows squares only"}})
    (quality,) = [section for section in report.sections if section.key == "quality"]
    assert [block.items for block in quality.blocks if isinstance(block, Bullets)] == [
        ["digital.mnist: knows squares only"]
    ]


def test_a_note_without_a_way_of_sampling_is_told_as_it_is():
    found = comparison(2)
    (label, device), (other, digital) = found.results.items()
    assert device.sampling == "" and digital.sampling
    note = f"slow, {digital.sampling}, and, so, on"
    results = {name: replace(result, rows=[row("time", 1.0, note=note)]) for name, result in found.results.items()}
    assert notes(replace(found, results=results, real=[]), sides_of(replace(found, results=results), {})).items == [
        f"time of {label}: {note}.", f"time of {other}: slow, and, so, on.",
    ]  # fmt: skip
