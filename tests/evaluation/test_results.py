import json

import pytest
import torch

from thermotorch.evaluation import CurvePoint, ModelResult, Row
from thermotorch.evaluation.energy.digital_count import DigitalCount
from thermotorch.evaluation.energy.ledger import Ledger, LedgerLine
from thermotorch.evaluation.results import OBSERVATION_TIME


def result() -> ModelResult:
    line = LedgerLine("read-out", 1e-9, 1e-10, 1e-8, "modelled", "a data sheet")
    return ModelResult(
        name="generator.mnist",
        thermodynamic=True,
        sampling="",
        rows=[Row("recognised fraction", 0.25, "", 40, 3, "measured", stderr=0.01),
              Row("heat", None, "J", 0, 3, "unavailable")],
        images=torch.rand(3, 1, 2, 2),
        class_counts=[1, 2],
        label="the machine",
        ledgers=(Ledger("the machine", "ideal", (line,)),),
        work=DigitalCount(12, {"layer": 12}, 3, 4, 5, 6),
        strip=torch.rand(4, 3, 1, 2, 2),
        curve=(CurvePoint(OBSERVATION_TIME, 2.5, 10.0, 0.5, 0.25),),
        hardware="an abacus",
        date="2026-01-02T03:04:05Z",
    )  # fmt: skip


def test_a_result_is_read_back_as_it_was_written():
    before = result()
    after = ModelResult.from_dict(json.loads(json.dumps(before.to_dict())), before.tensors())
    for name in vars(before):
        if name in ("images", "strip"):
            assert torch.equal(getattr(after, name), getattr(before, name))
        else:
            assert getattr(after, name) == getattr(before, name), name


def test_a_result_without_a_strip_has_none_when_read_back():
    before = ModelResult("m", False, "", [], torch.zeros(1, 1, 2, 2), [1])
    after = ModelResult.from_dict(before.to_dict(), before.tensors())
    assert (after.strip, after.label) == (None, "m")


def test_an_unknown_field_is_refused():
    with pytest.raises(TypeError, match="colour"):
        ModelResult.from_dict({**result().to_dict(), "colour": "red"}, result().tensors())
