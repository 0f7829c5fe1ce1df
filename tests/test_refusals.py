"""Refusals of what fits no meaning: before any work, in a sentence that begins with what is wrong."""

import pytest
import torch
from torch import nn

import thermotorch as tt
from tests.evaluation.stand_ins import feature_space
from thermotorch.evaluation import Protocol, compare
from thermotorch.evaluation.energy.ledger import Ledger, LedgerLine
from thermotorch.evaluation.report.content import Table

UNKNOWN = LedgerLine("read-out", None, None, None, "unavailable", "nobody measured it")
READ = LedgerLine("read-out", 1.0, None, None, "modelled", "here")


def generator(**config) -> nn.Module:
    return tt.create_model("generator", **{"image_shape": (1, 2, 2), "hidden": 2, "t_final": 0.5, "dt": 0.25, **config})


def chain(**config) -> nn.Module:
    first = {"hidden": 2, "t_final": 0.5, "dt": 0.25}
    plain = {"image_shape": (1, 2, 2), "first": first, "angles": [60.0], "hidden": 2, "t_stage": 0.5, "dt": 0.125}
    return tt.create_model("chain", **{**plain, "readout_time": 0.125, **config})


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: compare([generator()], Protocol(), feature_space()), TypeError, "models: expected a dict"),
        (lambda: compare({"a": 3}, Protocol(), feature_space()), TypeError, "models: expected a dict"),
        (lambda: compare({}, Protocol(), feature_space()), ValueError, "models: expected at least one"),
        (lambda: UNKNOWN.known, ValueError, "ledger line 'read-out' is unavailable"),
        (lambda: UNKNOWN.least, ValueError, "ledger line 'read-out' is unavailable"),
        (lambda: Ledger("m", "d", (READ, READ)), ValueError, "ledger of 'm', 'd': read-out more than once"),
        (lambda: LedgerLine("x", 1.0, 1.1, 2.0, "modelled", "h"), ValueError, "ledger line 'x': expected low <= joule"),
        (lambda: LedgerLine("x", 1.0, 0.1, 0.9, "modelled", "h"), ValueError, "ledger line 'x': expected low <= joule"),
        (lambda: Table(["a", "b"], [["1"]]), ValueError, r"row \['1'\]: expected 2 cells"),
        (lambda: tt.create_model("feature_net", widths=[]), ValueError, "widths: expected at least one stage"),
        (lambda: tt.create_model("ddpm", channels=10**6), ValueError, "channels: expected at most"),
        (lambda: tt.create_model("ddpm", num_train_timesteps=10**6), ValueError, "num_train_timesteps: expected at mo"),
        (lambda: tt.create_model("ddpm", block_out_channels=8), TypeError, "block_out_channels: expected a sequence"),
        (lambda: tt.create_model("ddpm", beta_schedule=3), TypeError, "beta_schedule: expected a name"),
        (lambda: tt.create_model("layered", layers=[2, 2])(torch.ones(2, 2)), ValueError, "z: expected inputs"),
        (lambda: chain(readout_time=0.5), ValueError, "readout_time: expected more than 0 and less than"),
        (lambda: generator(schedule={"gain": [1.0], "heat": [1.0]}), ValueError, "schedule: unknown knobs"),
        (lambda: generator(schedule={"gain": [1.0], "temperature": [1.0, 2.0]}), ValueError, "schedule: expected equa"),
        (lambda: generator(t_final=0.75, schedule={"gain": [1.0, 0.5]}), ValueError, "schedule: 2 segments of 3 steps"),
    ],
)
def test_what_fits_no_meaning_is_refused(call, error, message):
    with pytest.raises(error, match=f"^{message}"):
        call()
