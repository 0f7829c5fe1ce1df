import math

import pytest
import torch
from torch import nn

from thermotorch.training.optimizers import build_optimizer


def learning_rates(spec: dict, count: int) -> list[float]:
    built = build_optimizer([nn.Parameter(torch.zeros(1))], spec)
    optimizer, schedule = built["optimizer"], built["lr_scheduler"]["scheduler"]
    rates = []
    for _ in range(count):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


def test_warm_up_and_cosine_decay():
    rates = learning_rates({"name": "adamw", "lr": 0.5, "warmup_steps": 4, "decay_steps": 10}, 13)
    expected = [0.5 * min(1, (k + 1) / 4) * (1 + math.cos(math.pi * min(1, k / 10))) / 2 for k in range(13)]
    assert rates == pytest.approx(expected)
    assert rates[10:] == [0, 0, 0]


def test_the_rate_stays_unless_told():
    assert learning_rates({"name": "sgd", "lr": 0.5}, 3) == [0.5] * 3


def test_the_rest_goes_to_the_optimizer():
    built = build_optimizer([nn.Parameter(torch.zeros(1))], {"name": "adam", "lr": 0.1, "betas": [0.5, 0.6]})
    assert built["optimizer"].param_groups[0]["betas"] == (0.5, 0.6)
    assert isinstance(built["optimizer"], torch.optim.Adam)
    assert built["lr_scheduler"]["interval"] == "step"


def test_mistakes_are_named():
    with pytest.raises(ValueError, match=r"optimizer.name: expected one of \['adam', 'adamw'\], found 'adamm'"):
        build_optimizer([nn.Parameter(torch.zeros(1))], {"name": "adamm"})
    with pytest.raises(TypeError, match="learning_rate"):
        build_optimizer([nn.Parameter(torch.zeros(1))], {"name": "adam", "learning_rate": 0.1})
