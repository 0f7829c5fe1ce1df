import math

import pytest
import torch
from torch import nn

from tests.evaluation.energy.joules import close
from thermotorch.evaluation.energy.card_rows import (
    HARDWARE,
    arithmetic_rows,
    heat_rows,
    landauer_row,
    overhead_row,
    work_row,
)
from thermotorch.evaluation.energy.digital_count import count_flops
from thermotorch.evaluation.energy.ledger import Ledger, LedgerLine


def by_metric(rows):
    return {row.metric: row for row in rows}


def test_heat_in_kT_and_in_joule():
    rows = by_metric(heat_rows(torch.tensor([1200.0, 1400.0, 1300.0, 1300.0]), seed=5))
    mean, joule = rows["generation heat"], rows["generation heat at 300 K"]
    assert mean.value == 1300.0
    deviation = math.sqrt(20000 / 3)
    assert rows["generation heat, standard deviation"].value == pytest.approx(deviation)
    assert mean.stderr == pytest.approx(deviation / 2)
    assert joule.value == pytest.approx(1300 * 1.380649e-23 * 300, rel=1e-6, abs=0)
    assert joule.stderr / joule.value == pytest.approx(mean.stderr / mean.value)
    assert {row.kind for row in rows.values()} == {"modelled"}
    assert {(row.num_samples, row.seed) for row in rows.values()} == {(4, 5)}


def test_the_heat_quoted_for_the_paper_is_what_the_sheet_says():
    """2.9e3 kT at 300 K is 1.20e-17 J."""
    row = by_metric(heat_rows(torch.full((2,), 2.9e3), seed=0))["generation heat at 300 K"]
    assert row.value == pytest.approx(1.20e-17, rel=5e-3, abs=0)


def test_landauer_bound_of_one_bit():
    row = landauer_row(1, seed=0)
    assert row.value == pytest.approx(2.871e-21, rel=1e-4, abs=0)
    assert landauer_row(784, seed=0).value == close(784 * row.value)


def test_what_is_not_modelled_has_no_number():
    assert (overhead_row(0).value, overhead_row(0).kind) == (None, "unavailable")


@pytest.mark.parametrize(
    ("module", "shape", "multiply_adds"),
    [
        (nn.Linear(30, 20), (1, 30), 30 * 20),
        (nn.Conv2d(3, 5, 3, padding=1), (1, 3, 8, 10), 8 * 10 * 5 * 3 * 9),
        (nn.Conv2d(4, 4, 3, stride=2, groups=2), (2, 4, 9, 9), 2 * 4 * 4 * 4 * 2 * 9),
    ],
)
def test_operations_are_those_counted_by_hand(module, shape, multiply_adds):
    assert count_flops(lambda: module(torch.zeros(shape))) == 2 * multiply_adds


def test_arithmetic_energy_is_operations_times_the_joules_of_one():
    rows = by_metric(arithmetic_rows(2000, seed=0, note="steps 20"))
    count = rows["arithmetic, operations"]
    assert (count.value, count.unit, count.kind) == (2000, "FLOP per sample", "measured")
    assert count.note.endswith("steps 20")
    horowitz = rows["arithmetic, 45 nm fp32"]
    assert horowitz.value == close(1000 * (0.9e-12 + 3.7e-12))  # a thousand multiply-adds
    assert (horowitz.unit, horowitz.kind) == ("J per sample", "modelled")
    assert all(row.note for row in rows.values())
    assert len(rows) == 1 + len(HARDWARE)


def test_arithmetic_that_nobody_counted_has_no_number():
    rows = arithmetic_rows(0, seed=0)
    assert [row.metric for row in rows] == [row.metric for row in arithmetic_rows(2, seed=0)]
    assert all(row.value is None and "no matrix product" in row.note for row in rows)


def priced(*lines):
    return Ledger(
        "machine",
        "rc_analog",
        tuple(LedgerLine(name, joule, joule, 2 * joule, "modelled", "here") for name, joule in lines),
    )


def test_overhead_is_every_contribution_but_the_heat():
    ledger = priced(("heat of the trajectory", 1e-16), ("read-out", 3e-9), ("static bias current", 1e-9))
    row = overhead_row(7, ledger, command="here", num_samples=64)
    assert (row.value, row.kind, row.num_samples, row.seed, row.command) == (close(4e-9), "modelled", 64, 7, "here")
    assert "device model rc_analog, 4.0e-09 to 8.0e-09 J" in row.note and "most of it read-out" in row.note


def test_overhead_of_heat_alone_is_not_zero_but_unavailable():
    row = overhead_row(7, priced(("heat of the trajectory", 1e-16)))
    assert (row.value, row.kind) == (None, "unavailable")


@pytest.mark.parametrize("heat", [torch.tensor([5.0]), torch.ones(4, 2), torch.tensor(3.0)])
def test_a_mean_without_an_error_is_refused(heat):
    with pytest.raises(ValueError, match=r"heat: expected at least two numbers \[n\], found shape"):
        heat_rows(heat, seed=0)


def test_every_field_of_a_row_says_what_its_number_rests_on():
    heat, known = torch.tensor([10.0, 30.0]), priced(("heat of the trajectory", 1e-16), ("read-out", 3e-9))
    rows = [*heat_rows(heat, 5, 100.0, "here", "inference"), work_row(heat, 5, "here"), landauer_row(3, 5),
            overhead_row(5, known, "here", 2), overhead_row(5), *arithmetic_rows(8, 5, "here", "steps 20"),
            *arithmetic_rows(0, 5)]  # fmt: skip
    joule, flop = "J per sample", "FLOP per sample"
    assert [(row.metric, row.unit, row.num_samples, row.kind, row.command) for row in rows] == [
        ("inference heat", "kT per sample", 2, "modelled", "here"),
        ("inference heat, standard deviation", "kT", 2, "modelled", "here"),
        ("inference heat at 100 K", joule, 2, "modelled", "here"),
        ("work of switching on", "kT per sample", 2, "modelled", "here"),
        ("Landauer bound, 3 bits", joule, 0, "modelled", ""),
        ("device overhead", joule, 2, "modelled", "here"),
        ("device overhead", joule, 0, "unavailable", ""),
        ("arithmetic, operations", flop, 1, "measured", "here"),
        *((f"arithmetic, {hardware.name}", joule, 1, "modelled", "here") for hardware in HARDWARE),
        ("arithmetic, operations", flop, 0, "unavailable", ""),
        *((f"arithmetic, {hardware.name}", joule, 0, "unavailable", "") for hardware in HARDWARE),
    ]
    assert {row.seed for row in rows} == {5} and all(row.note for row in rows)
    assert (rows[2].value, rows[2].stderr) == (close(20 * 1.380649e-23 * 100), close(10 * 1.380649e-23 * 100))
    assert (rows[1].stderr, rows[3].value, rows[3].stderr) == (None, 20.0, pytest.approx(10.0))
    for kelvin in (0.0, -1.0):
        with pytest.raises(ValueError, match="^kelvin must be finite and positive"):
            heat_rows(heat, 5, kelvin)


def test_notes_say_what_is_in_a_number_and_what_is_not():
    heat = torch.tensor([10.0, 30.0])
    assert {row.note for row in heat_rows(heat, 0)} == {
        "ideal device: heat of the run alone, not of the way back to where it began"
    }
    assert work_row(heat, 0).note.startswith("couplings and biases switched on at the noise a sample starts from")
    assert landauer_row(7, 0).note.startswith("least heat of erasing 7 bits, one per pixel, at 300 K")
    count, *classes = arithmetic_rows(8, 0, note="steps 20")
    assert count.note == "counted in one run on one image, matrix products and convolutions, steps 20"
    assert arithmetic_rows(8, 0)[0].note == "counted in one run on one image, matrix products and convolutions"
    assert [row.note for row in classes] == [hardware.source for hardware in HARDWARE]
    assert overhead_row(0).note == "no device model prices this kind of machine"
    alone = overhead_row(0, priced(("heat of the trajectory", 1e-16)))
    assert alone.note == "rc_analog: no other contribution is known"
