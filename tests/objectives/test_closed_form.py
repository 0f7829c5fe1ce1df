"""The linear solve against the objective it minimises."""

import pytest
import torch

import thermotorch as tt
from thermotorch.models.generator.noising import Noising
from thermotorch.objectives import ReverseMoments, fit_closed_form, reverse_action
from thermotorch.objectives.closed_form import empty_statistics, mean_action

DT, KT = 1e-3, 0.1
NOISING = Noising(hidden=3, t_final=0.2)
PIXELS = torch.tensor([[2.0, -1.0, 0.5, 1.0], [-1.0, 2.0, 1.0, -0.5]]).double()


def test_sums_of_many_steps_lose_none():
    """2^24 and one more, which float32 cannot tell apart; the states of a fit are float32."""
    for total in empty_statistics(torch.zeros(3)):
        total += 2**24
        total += 1
        assert (total.double() == 2**24 + 1).all()


def machine() -> tt.Potential:
    couplings = tt.BlockCouplings({"visible": 4, "hidden": 3}, [("visible", "hidden"), ("hidden", "hidden")])
    return tt.Potential(couplings, fixed_bias=torch.arange(7) < 4).double()


def noised(seed: int, samples: int = 8) -> tuple:
    """Return the statistics of noising runs, and their paths."""
    observers = {"moments": ReverseMoments(machine())}
    start, decay = NOISING.run(PIXELS[torch.arange(samples) % 2], seed=seed, record=1, observers=observers)
    return decay.observed["moments"], torch.cat([start[None], decay.states])


def fit(ridges=(1e-2, 1e-3, 0.0)):
    potential = machine()
    return potential, fit_closed_form(
        noised(0)[0],
        noised(1)[0],
        potential.couplings.mask(),
        ~potential.fixed_bias,
        dt=DT,
        temperature=KT,
        ridges=ridges,
        tolerance=1e-12,
    )


def test_action_from_moments_equals_action_of_the_paths():
    potential = machine()
    torch.manual_seed(0)
    for parameter in potential.parameters():
        torch.nn.init.normal_(parameter)
    statistics, path = noised(0)
    literal = reverse_action(potential, path, dt=DT, temperature=KT).mean().item()
    couplings, bias = potential.couplings.matrix().detach(), potential.bias.detach()
    assert mean_action(statistics, couplings, bias, dt=DT, temperature=KT) == pytest.approx(literal)


def test_solution_is_a_stationary_point_of_the_action():
    """With ridge 0, autograd finds no slope on the fitted paths; the slope at zero couplings gives the scale."""
    potential, solution = fit(ridges=(0.0,))
    _, path = noised(0)

    def slope() -> torch.Tensor:
        potential.zero_grad()
        reverse_action(potential, path, dt=DT, temperature=KT).mean().backward()
        return torch.cat([p.grad.flatten() for p in potential.parameters()])

    at_zero = slope().norm()
    potential.couplings.load_matrix(solution.couplings)
    with torch.no_grad():
        potential.bias.copy_(solution.bias)
    assert slope().norm() < 1e-8 * at_zero
    assert solution.action < reverse_action(machine(), path, dt=DT, temperature=KT).mean().item()


def test_equals_gradient_descent():
    """The same minimum by an optimiser that knows nothing of the closed form."""
    potential, solution = fit(ridges=(0.0,))
    _, path = noised(0)
    optimizer = torch.optim.LBFGS(
        potential.parameters(), max_iter=500, tolerance_grad=1e-12, tolerance_change=0.0, line_search_fn="strong_wolfe"
    )

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        action = reverse_action(potential, path, dt=DT, temperature=KT).mean()
        action.backward()
        return action

    optimizer.step(closure)
    torch.testing.assert_close(potential.couplings.matrix().detach(), solution.couplings, rtol=1e-3, atol=1e-2)
    torch.testing.assert_close(potential.bias.detach(), solution.bias, rtol=1e-3, atol=1e-2)


def test_solution_keeps_the_mask_and_the_symmetry():
    potential, solution = fit()
    assert torch.equal(solution.couplings, solution.couplings.T)
    assert not solution.couplings[~potential.couplings.mask()].any()
    assert not solution.bias[:4].any() and solution.bias[4:].all()


def test_ridge_is_the_one_that_held_out_paths_prefer():
    _, chosen = fit()
    each = [fit(ridges=(ridge,))[1] for ridge in (1e-2, 1e-3, 0.0)]
    best = min(each, key=lambda one: one.validation_action)
    assert chosen.ridge == best.ridge
    assert chosen.validation_action == pytest.approx(best.validation_action, abs=1e-9)


def test_statistics_add_up():
    first, second = noised(0)[0], noised(1)[0]
    merged = first.merge(second)
    assert merged.steps == 2 * 8 * 200
    torch.testing.assert_close(merged.xx, first.xx + second.xx)
