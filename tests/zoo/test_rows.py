import json
import math

import numpy as np
import pytest
import torch

from thermotorch.zoo.rows import Row, by_kind, joined, rows_of, unavailable

ROW = Row("time", 0.25, "s per sample", 256, 0, "measured", stderr=0.01, command="thermotorch-compare", note="one core",
          low=0.23, high=0.28)  # fmt: skip


def test_a_row_survives_being_written_and_read():
    assert Row.from_dict(ROW.to_dict()) == ROW
    bare = Row("time", 0.25, "s", 1, 0, "measured")
    assert "stderr" not in bare.to_dict() and "note" not in bare.to_dict()
    assert Row.from_dict(bare.to_dict()) == bare


def test_a_value_of_zero_is_kept():
    assert Row("x", 0.0, "", 1, 0, "measured", stderr=0.0).to_dict()["stderr"] == 0.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "guessed"}, "expected one of measured, modelled, unavailable, found 'guessed'"),
        ({"value": None}, "value is None exactly when the kind is 'unavailable'"),
        ({"kind": "unavailable"}, "value is None exactly when the kind is 'unavailable'"),
        ({"value": math.nan}, "value of row 'time': expected a finite number, found nan"),
        ({"stderr": math.inf}, "stderr of row 'time': expected a finite number, found inf"),
        ({"high": None}, "low and high are given together"),
        ({"high": math.inf}, "high of row 'time': expected a finite number"),
        ({"sample": 3}, "unknown field of a row 'sample'"),
        ({"value": "0.25"}, "value of row 'time': expected a finite number, found '0.25'"),
        ({"num_samples": 2.5}, "num_samples of row 'time': expected an integer, found 2.5"),
        ({"seed": "0"}, "seed of row 'time': expected an integer, found '0'"),
        ({"note": None}, "note of row 'time': expected a string, found None"),
    ],
)
def test_a_row_that_cannot_be_trusted_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Row.from_dict({**ROW.to_dict(), **change})


def test_missing_fields_are_named():
    with pytest.raises(ValueError, match="row 'time': missing num_samples, seed, kind"):
        Row.from_dict({"metric": "time", "value": 1.0, "unit": "s"})


def test_unavailable_says_why():
    row = unavailable("energy", "J", 3, "no counter")
    assert (row.value, row.kind, row.seed, row.note) == (None, "unavailable", 3, "no counter")


def test_what_is_no_mapping_is_refused():
    with pytest.raises(ValueError, match=r"row: expected a mapping, found \[1, 2\]"):
        Row.from_dict([1, 2])


def test_numbers_of_numpy_and_torch_become_plain_ones():
    row = Row("time", np.float32(0.25), "s", np.int64(3), torch.tensor(7), "measured", stderr=torch.tensor(0.5))
    assert json.dumps(row.to_dict()) == json.dumps(Row("time", 0.25, "s", 3, 7, "measured", stderr=0.5).to_dict())


def test_a_value_that_is_not_there_is_not_read():
    assert ROW.known == 0.25
    with pytest.raises(ValueError, match="row 'energy' is unavailable"):
        unavailable("energy", "J", 3, "no counter").known  # noqa: B018


def test_a_record_is_split_by_the_first_word_of_the_unit_and_read_in_that_order():
    units = ["J per sample", "s per sample", "kT", "", "FLOP per sample", "Joule"]
    rows = [Row(f"row {k}", 1.0, unit, 1, 0, "measured") for k, unit in enumerate(units)]
    parts = by_kind(rows)
    assert [row["unit"] for row in parts["energy"]] == ["J per sample", "kT", "FLOP per sample"]
    assert [row["unit"] for row in parts["metrics"]] == ["s per sample", "", "Joule"]
    assert [row.unit for row in rows_of(parts)] == [
        "s per sample",
        "",
        "Joule",
        "J per sample",
        "kT",
        "FLOP per sample",
    ]
    assert rows_of({}) == [] and [row.unit for row in rows_of({"energy": parts["energy"]})] == [
        units[0],
        "kT",
        units[4],
    ]


def test_parts_of_a_note_that_are_empty_leave_no_comma():
    assert (joined("a", "", "b"), joined("", ""), joined("a")) == ("a, b", "", "a")


def test_ends_without_a_value_are_refused():
    with pytest.raises(ValueError, match="low and high are given together, and only with value"):
        Row("x", None, "", 0, 0, "unavailable", low=0.0, high=1.0)
