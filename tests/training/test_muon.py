import copy

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from thermotorch.training.optimizers import MuonAndAdam


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
