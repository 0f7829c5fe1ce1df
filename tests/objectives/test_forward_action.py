"""The forward-path objective against its literal formula, autograd, finite differences and known minima."""

import pytest
import torch

import thermotorch as tt
from thermotorch.objectives import forward_action, guide_path

DT, KT = 1e-3, 0.7
GROUPS, PAIRS = {"hidden": 4, "output": 3}, [("hidden", "hidden"), ("hidden", "output"), ("output", "output")]


@pytest.fixture
def machine() -> tt.Potential:
    torch.manual_seed(0)
    potential = tt.Potential(tt.BlockCouplings(GROUPS, PAIRS)).double()
    for parameter in potential.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return potential


@pytest.fixture
def drive() -> torch.Tensor:
    return torch.randn(2, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()


@pytest.fixture
def path(machine, drive) -> torch.Tensor:
    start = torch.zeros(2, 7, dtype=torch.float64)
    run = tt.simulate(machine, start, steps=30, dt=DT, temperature=KT, drive=drive.detach(), record=1, seed=5)
    return torch.cat([start[None], run.states]).detach()


def test_equals_the_sum_written_out(machine, path, drive):
    action = forward_action(machine, path, dt=DT, temperature=KT, drive=drive)
    coupling, bias = machine.couplings.matrix(), machine.bias
    step, sample, literal = 11, 1, 0.0
    before, after = path[step, sample], path[step + 1, sample]
    for i in range(7):
        gradient = 2 * before[i] + 4 * before[i] ** 3 + bias[i] + sum(coupling[i, j] * before[j] for j in range(7))
        literal += (after[i] - before[i] + DT * (gradient - drive[sample, i])) ** 2 / (4 * KT * DT)
    assert action.shape == (30, 2)
    torch.testing.assert_close(action[step, sample], literal)


def test_autograd_gives_the_published_rule(machine, path, drive):
    forward_action(machine, path, dt=DT, temperature=KT, drive=drive).sum().backward()
    before, moved = path[:-1], path[1:] - path[:-1]
    r = ((moved + DT * (machine.gradient(before) - drive)) / (2 * KT)).detach()
    torch.testing.assert_close(machine.bias.grad, r.sum((0, 1)))
    torch.testing.assert_close(drive.grad, -r.sum(0))
    r, before = r.flatten(0, 1), before.flatten(0, 1)
    outer = r.T @ before + before.T @ r
    torch.testing.assert_close(machine.couplings.blocks["hidden-output"].grad, outer[:4, 4:])
    row, column = torch.triu_indices(4, 4, 1)
    torch.testing.assert_close(machine.couplings.blocks["hidden-hidden"].grad, outer[:4, :4][row, column])


def test_gradient_equals_finite_differences(machine, path, drive):
    def total(*_: torch.Tensor) -> torch.Tensor:
        return forward_action(machine, path, dt=DT, temperature=KT, drive=drive).sum()

    assert torch.autograd.gradcheck(total, [*machine.parameters(), drive])


def test_equals_the_observer_of_the_run(machine, drive):
    start, observer = torch.zeros(2, 7, dtype=torch.float64), tt.PathAction(machine)
    run = tt.simulate(
        machine, start, steps=30, dt=DT, temperature=KT, drive=drive, record=1, observers={"action": observer}, seed=0
    )
    path = torch.cat([start[None], run.states])
    action = forward_action(machine, path, dt=DT, temperature=KT, drive=drive)
    torch.testing.assert_close(action.sum(0), run.observed["action"])


def test_the_machine_that_made_a_path_scores_the_noise_floor():
    """Half a chi-square of 6 degrees of freedom per step: mean 3, variance 3;
    a wrong sign of the drive scores far more.
    """
    potential, drive = tt.Potential(tt.DenseCouplings(6)), 30 * torch.ones(6)
    with torch.no_grad():
        run = tt.simulate(
            potential, torch.zeros(500, 6), steps=50, dt=DT, temperature=KT, seed=2, record=1, drive=drive
        )
        action = forward_action(potential, run.states, dt=DT, temperature=KT, drive=drive)
        assert abs(action.mean().item() - 3.0) < 4 * (3.0 / action.numel()) ** 0.5
        assert forward_action(potential, run.states, dt=DT, temperature=KT, drive=-drive).mean() > 6


def test_a_guide_is_followed_exactly_by_the_machine_with_its_own_force():
    """Zero action: uncoupled units with the bias that stands for the force, V has + b.x."""
    force = torch.tensor([[5.0, -2.0, 100.0]])
    path = guide_path(force, steps=200, dt=DT)
    potential = tt.Potential(tt.DenseCouplings(3), bias=-force[0])
    assert forward_action(potential, path, dt=DT, temperature=KT).max() < 1e-9
    assert path.shape == (201, 1, 3)
    at_rest = path[-1, 0, 2]  # 0.2 is long for a strong force: where 2 x + 4 x^3 = f
    assert (2 * at_rest + 4 * at_rest**3).item() == pytest.approx(100.0, rel=1e-3)


def test_a_guide_takes_euler_steps_in_wells_of_its_own():
    path = guide_path(torch.tensor([[3.0, -1.0]]).double(), steps=3, dt=0.1, j2=0.3, j4=2.0)
    for before, after in zip(path[:-1], path[1:], strict=True):
        push = torch.tensor([[3.0, -1.0]]).double() - 2 * 0.3 * before - 4 * 2.0 * before**3
        torch.testing.assert_close(after, before + 0.1 * push)
    assert len(path) == 4 and not path[0].any()


def test_a_path_without_steps_is_refused(machine):
    for shape in ((1, 2, 7), (3, 7), (3, 1, 2, 7)):
        with pytest.raises(ValueError, match=r"path: expected \[time, batch, unit\]"):
            forward_action(machine, torch.zeros(shape).double(), dt=DT, temperature=KT)
