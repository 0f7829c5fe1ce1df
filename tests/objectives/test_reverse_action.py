"""The reverse-path objective against its literal formula, autograd, finite differences and known minima."""

import pytest
import torch

import thermotorch as tt
from thermotorch.models.generator.noising import Noising
from thermotorch.objectives import reverse_action

DT, KT = 1e-3, 0.1


@pytest.fixture
def machine() -> tt.Potential:
    torch.manual_seed(0)
    potential = tt.Potential(
        tt.BlockCouplings({"visible": 4, "hidden": 3}, [("visible", "hidden"), ("hidden", "hidden")])
    ).double()
    for parameter in potential.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return potential


@pytest.fixture
def path() -> torch.Tensor:
    start, decay = Noising(hidden=3, t_final=0.04).run(torch.randn(2, 4, dtype=torch.float64), seed=5, record=1)
    return torch.cat([start[None], decay.states])


def test_equals_the_sum_written_out(machine, path):
    action = reverse_action(machine, path, dt=DT, temperature=KT)
    coupling, bias = machine.couplings.matrix(), machine.bias
    step, sample, literal = 11, 1, 0.0
    before, after = path[step, sample], path[step + 1, sample]
    for i in range(7):
        gradient = 2 * after[i] + 4 * after[i] ** 3 + bias[i] + sum(coupling[i, j] * after[j] for j in range(7))
        literal += (-(after[i] - before[i]) + DT * gradient) ** 2 / (4 * KT * DT)
    assert action.shape == (40, 2)
    torch.testing.assert_close(action[step, sample], literal)


def test_autograd_gives_the_published_rule(machine, path):
    reverse_action(machine, path, dt=DT, temperature=KT).sum().backward()
    after, moved = path[1:].flatten(0, 1), (path[1:] - path[:-1]).flatten(0, 1)
    r = (-moved + DT * machine.gradient(after)) / (2 * KT)
    torch.testing.assert_close(machine.bias.grad, r.sum(0))
    outer = r.T @ after + after.T @ r
    torch.testing.assert_close(machine.couplings.blocks["visible-hidden"].grad, outer[:4, 4:])
    row, column = torch.triu_indices(3, 3, 1)
    torch.testing.assert_close(machine.couplings.blocks["hidden-hidden"].grad, outer[4:, 4:][row, column])


def test_gradient_equals_finite_differences(machine, path):
    parameters = list(machine.parameters())

    def total(*_: torch.Tensor) -> torch.Tensor:
        return reverse_action(machine, path, dt=DT, temperature=KT).sum()

    assert torch.autograd.gradcheck(total, parameters)


def test_equals_the_observer_of_the_run(machine):
    noising, pixels = Noising(hidden=3, t_final=0.04), torch.randn(2, 4, dtype=torch.float64)
    observer = tt.PathAction(machine, reverse=True, driven=False)
    start, decay = noising.run(pixels, seed=5, record=1, observers={"action": observer})
    path = torch.cat([start[None], decay.states])
    torch.testing.assert_close(reverse_action(machine, path, dt=DT, temperature=KT).sum(0), decay.observed["action"])


def test_the_true_reverse_of_an_equilibrium_run_scores_half_the_units():
    """A run in equilibrium is its own reverse in law, so the machine that made it scores the noise floor n / 2."""
    potential = tt.Potential(tt.DenseCouplings(6))
    with torch.no_grad():
        state = tt.simulate(potential, torch.zeros(500, 6), steps=400, dt=5e-3, temperature=KT, seed=1).state
        run = tt.simulate(potential, state, steps=50, dt=DT, temperature=KT, seed=2, record=1)
        action = reverse_action(potential, torch.cat([state[None], run.states]), dt=DT, temperature=KT)
    # Each step is half of a chi-square of 6 degrees of freedom: variance 3.
    assert abs(action.mean().item() - 3.0) < 5 * (3.0 / action.numel()) ** 0.5 + 0.01


def test_a_path_without_steps_is_refused(machine):
    for shape in ((1, 2, 7), (3, 7), (3, 1, 2, 7)):
        with pytest.raises(ValueError, match=r"path: expected \[time, batch, unit\]"):
            reverse_action(machine, torch.zeros(shape).double(), dt=DT, temperature=KT)


@pytest.mark.parametrize(
    "groups, pairs", [({"unit": 5}, []), ({"a": 1}, [("a", "a")]), ({"v": 50, "h": 31}, [("v", "h"), ("h", "h")])]
)
@pytest.mark.parametrize("batch", [1, 7])
def test_the_fast_core_gives_the_action_and_the_gradients_of_float64(groups, pairs, batch):
    """Sizes that fill no tile. Tolerance: float32 rounding of x' - x, a few 10^-7 of x against steps of 0.014."""
    torch.manual_seed(0)
    potential = tt.Potential(tt.BlockCouplings(groups, pairs), 0.7, 0.1, 0.5)
    for parameter in potential.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    path = (0.014 * torch.randn(23, batch, potential.num_units)).cumsum(0)
    found = []
    for dtype in (torch.float64, torch.float32):
        potential.to(dtype).zero_grad()
        action = reverse_action(potential, path.to(dtype), dt=DT, temperature=KT)
        (action * torch.linspace(-1, 1, action.numel()).view_as(action)).sum().backward()
        found.append([action.detach(), *(parameter.grad.clone() for parameter in potential.parameters())])
    for exact, fast in zip(*found, strict=True):
        assert (fast.double() - exact).norm() <= 1e-5 * exact.norm()


def test_a_path_that_wants_a_gradient_gets_one(machine, path):
    """By hand, of one step: x has r / dt, x' has (-r + dt H r) / dt with the curvature H there."""
    found = []
    for dtype in (torch.float32, torch.float64):
        steps = path[:2].to(dtype).requires_grad_()
        action = reverse_action(machine.to(dtype), steps, dt=DT, temperature=KT)
        found.append((action, *torch.autograd.grad(action.sum(), steps)))
    for fast, exact in zip(*found, strict=True):
        assert (fast.double() - exact).norm() < 1e-3 * exact.norm()
    (before, after), gradient = path[:2], found[1][1]
    r = (before - after + DT * machine.gradient(after)) / (2 * KT * DT)
    curved = (2 + 12 * after**2) * r + r @ machine.couplings.matrix()
    torch.testing.assert_close(gradient, torch.stack([r, DT * curved - r]).detach())
