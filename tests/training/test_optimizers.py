import copy
import math

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from thermotorch.training.optimizers import MuonAndAdam, build_optimizer


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


def test_adamw_is_meant_where_no_optimizer_is_named_and_a_factor_replaces_the_schedule():
    spec = {"lr": 0.5, "warmup_steps": 9, "decay_steps": 2}
    built = build_optimizer([nn.Parameter(torch.zeros(1))], spec, factor=lambda step: 0.25 / (step + 1))
    optimizer, schedule = built["optimizer"], built["lr_scheduler"]["scheduler"]
    assert type(optimizer) is torch.optim.AdamW and spec == {"lr": 0.5, "warmup_steps": 9, "decay_steps": 2}
    rates = [optimizer.param_groups[0]["lr"]]
    optimizer.step()
    schedule.step()
    assert [*rates, optimizer.param_groups[0]["lr"]] == [0.125, 0.0625]


def test_mistakes_are_named():
    with pytest.raises(ValueError, match=r"optimizer.name: expected one of \['adam', 'adamw'\], found 'adamm'"):
        build_optimizer([nn.Parameter(torch.zeros(1))], {"name": "adamm"})
    with pytest.raises(TypeError, match="learning_rate"):
        build_optimizer([nn.Parameter(torch.zeros(1))], {"name": "adam", "learning_rate": 0.1})


def parameters() -> list[nn.Parameter]:
    torch.manual_seed(0)
    return [nn.Parameter(torch.randn(shape)) for shape in [(3, 5), (7,), (4, 2), ()]]


def set_gradients(trained: list[nn.Parameter], number: int) -> None:
    generator = torch.Generator().manual_seed(number)
    for parameter in trained:
        parameter.grad = torch.randn(parameter.shape, generator=generator)


def test_matrices_move_by_muon_and_the_others_by_adam_at_the_scheduled_rate():
    ours, theirs = parameters(), parameters()
    together = MuonAndAdam(ours, lr=0.1, momentum=0.9, weight_decay=0.2, betas=[0.8, 0.9])
    apart = (
        torch.optim.Muon(
            [theirs[0], theirs[2]], lr=0.1, momentum=0.9, weight_decay=0.2, adjust_lr_fn="match_rms_adamw"
        ),
        torch.optim.Adam([theirs[1], theirs[3]], lr=0.1, betas=(0.8, 0.9)),
    )
    schedules = [LambdaLR(optimizer, lambda step: 0.5**step) for optimizer in (together, *apart)]
    for number in range(4):
        for trained in (ours, theirs):
            set_gradients(trained, number)
        together.step()
        for optimizer in apart:
            optimizer.step()
        for schedule in schedules:
            schedule.step()
    for found, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_steps_after_loading_equal_uninterrupted_ones():
    whole = parameters()
    optimizer = MuonAndAdam(whole, lr=0.1)
    for number in range(3):
        set_gradients(whole, number)
        optimizer.step()
    resumed = copy.deepcopy(whole)
    again = MuonAndAdam(resumed, lr=0.7)
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for number in range(3, 6):
        for trained, each in ((whole, optimizer), (resumed, again)):
            set_gradients(trained, number)
            each.step()
    for found, expected in zip(resumed, whole, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize("shape", [(2, 3), (4,)])
def test_parameters_of_one_kind_only_and_a_closure(shape):
    trained = nn.Parameter(torch.ones(shape))
    optimizer = MuonAndAdam([trained], lr=0.1)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = trained.square().sum()
        loss.backward()
        return loss

    assert optimizer.step(closure) == trained.numel()
    assert (trained < 1).any()
    assert optimizer.step(closure) < trained.numel()
