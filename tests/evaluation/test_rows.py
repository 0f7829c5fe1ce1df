import math

import pytest

from thermotorch.evaluation.rows import Row, unavailable
from thermotorch.zoo.cards import OPTIONAL_ROW_FIELDS, ROW_FIELDS, ROW_KINDS

ROW = Row("time", 0.25, "s per sample", 256, 0, "measured", stderr=0.01, command="thermotorch-compare", note="one core",
          low=0.23, high=0.28)  # fmt: skip


def test_a_row_survives_being_written_and_read():
    assert Row.from_dict(ROW.to_dict()) == ROW
    bare = Row("time", 0.25, "s", 1, 0, "measured")
    assert "stderr" not in bare.to_dict() and "note" not in bare.to_dict()
    assert Row.from_dict(bare.to_dict()) == bare


def test_rows_have_the_fields_that_cards_ask_for():
    assert set(ROW.to_dict()) == ROW_FIELDS | OPTIONAL_ROW_FIELDS
    for kind in ROW_KINDS:
        Row("x", None if kind == "unavailable" else 1.0, "", 1, 0, kind)


def test_a_value_of_zero_is_kept():
    assert Row("x", 0.0, "", 1, 0, "measured", stderr=0.0).to_dict()["stderr"] == 0.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "guessed"}, "expected one of measured, modelled, unavailable, found 'guessed'"),
        ({"value": None}, "the value is None exactly when the kind is 'unavailable'"),
        ({"kind": "unavailable"}, "the value is None exactly when the kind is 'unavailable'"),
        ({"value": math.nan}, "value of row 'time': expected a finite number, found nan"),
        ({"stderr": math.inf}, "stderr of row 'time': expected a finite number, found inf"),
        ({"high": None}, "low and high are given together"),
        ({"high": math.inf}, "high of row 'time': expected a finite number"),
        ({"sample": 3}, "unknown field of a row 'sample'"),
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
