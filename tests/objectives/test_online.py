"""The online rule is the path gradient, applied step by step."""

import pytest
import torch

import thermotorch as tt
from thermotorch.models.generator.noising import Noising
from thermotorch.objectives import online_update, reverse_action

DT, KT, RATE = 1e-3, 0.1, 1e-3


def machine() -> tt.Potential:
    torch.manual_seed(0)
    couplings = tt.BlockCouplings({"visible": 4, "hidden": 3}, [("visible", "hidden"), ("hidden", "hidden")])
    potential = tt.Potential(couplings, fixed_bias=torch.arange(7) < 4).double()
    for parameter in couplings.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return potential


def path() -> torch.Tensor:
    start, decay = Noising(hidden=3, t_final=0.03).run(torch.randn(1, 4).double(), seed=5, record=1)
    return torch.cat([start[None], decay.states])


def test_equals_gradient_descent_step_by_step():
    online, stepwise, states = machine(), machine(), path()
    actions = online_update(online, states[:, 0], dt=DT, temperature=KT, rate=RATE)
    optimizer = torch.optim.SGD(stepwise.parameters(), lr=RATE)
    for k in range(len(states) - 1):
        optimizer.zero_grad()
        action = reverse_action(stepwise, states[k : k + 2], dt=DT, temperature=KT).sum()
        torch.testing.assert_close(actions[k], action.detach())
        action.backward()
        optimizer.step()
    for ours, theirs in zip(online.parameters(), stepwise.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert torch.equal(online.bias[:4], torch.zeros(4).double())
    assert not torch.equal(online.bias[4:], machine().bias[4:])


def test_a_small_rate_moves_along_the_gradient_of_the_whole_path():
    online, still, states, rate = machine(), machine(), path(), 1e-9
    online_update(online, states[:, 0], dt=DT, temperature=KT, rate=rate)
    reverse_action(still, states, dt=DT, temperature=KT).sum().backward()
    for moved, parameter in zip(online.parameters(), still.parameters(), strict=True):
        torch.testing.assert_close((parameter - moved) / rate, parameter.grad, rtol=1e-4, atol=1e-5)


def test_refuses_what_it_cannot_train():
    with pytest.raises(TypeError, match="BlockCouplings"):
        online_update(tt.Potential(tt.DenseCouplings(3)), torch.zeros(2, 3), dt=DT, temperature=KT, rate=RATE)
    for shape in ((1, 7), (3, 1, 7)):
        with pytest.raises(ValueError, match="at least two times"):
            online_update(machine(), torch.zeros(shape).double(), dt=DT, temperature=KT, rate=RATE)
