"""The linear solve against the objective it minimises."""

import pytest
import torch

import thermotorch as tt
from thermotorch.dynamics import Transition
from thermotorch.models.generator.noising import Noising
from thermotorch.objectives import (
    ReverseMoments,
    fit_closed_form,
    mean_response,
    online_update,
    reverse_action,
    splitting_action,
)
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


def test_statistics_are_sums_over_steps_and_samples():
    """Of x', y = x - x' + dt (on-site gradient at x') and their products, in an order that tells y x' from x' y."""
    torch.manual_seed(0)
    potential = tt.Potential(machine().couplings, 0.3, 0.2, 0.7).double()
    observer, dt = ReverseMoments(potential), 0.1
    path = torch.randn(4, 3, 7).double()
    carry = observer.start(path[0])
    for step in range(3):
        carry = observer.update(carry, Transition(step, path[step], path[step + 1], None, dt, KT, 1.0))
    found, x, y = observer.result(carry), [], []
    for before, after in zip(path[:-1].flatten(0, 1), path[1:].flatten(0, 1), strict=True):
        x.append(after)
        y.append(before - after + dt * (0.6 * after + 0.6 * after**2 + 2.8 * after**3))
    assert found.steps == 9
    torch.testing.assert_close(found.x, sum(x))
    torch.testing.assert_close(found.y, sum(y))
    torch.testing.assert_close(found.xx, sum(torch.outer(a, a) for a in x))
    torch.testing.assert_close(found.yx, sum(torch.outer(a, b) for a, b in zip(y, x, strict=True)))
    torch.testing.assert_close(found.yy, sum(a @ a for a in y))


def test_statistics_add_up():
    first, second = noised(0)[0], noised(1)[0]
    merged = first.merge(second)
    assert merged.steps == 2 * 8 * 200
    torch.testing.assert_close(merged.xx, first.xx + second.xx)


def fit_one(ridge: float = 0.5, **settings):
    potential = machine()
    return fit_closed_form(
        noised(0)[0], noised(1)[0], potential.couplings.mask(), ~potential.fixed_bias, dt=DT, temperature=KT,
        **{"ridges": (ridge,), "tolerance": 1e-10, **settings},
    )  # fmt: skip


def unbalance(couplings: torch.Tensor, bias: torch.Tensor, ridge: float) -> float:
    """Return the norm of M * (R + R^T) + ridge dt <x^2> J, each bond once, and of <r>, as the module defines them."""
    sums, potential = noised(0)[0], machine()
    x, y, xx, yx = (total / sums.steps for total in (sums.x, sums.y, sums.xx, sums.yx))
    moment = yx + DT * (couplings @ xx + torch.outer(bias, x))
    matrix = potential.couplings.mask() * (moment + moment.T) + ridge * DT * xx.diagonal().mean() * couplings
    force = ~potential.fixed_bias * (y + DT * (couplings @ x + bias))
    return (0.5 * matrix.square().sum() + force.square().sum()).sqrt().item()


@pytest.mark.parametrize("tolerance", [0.3, 1e-3, 1e-9])
def test_iterations_end_with_the_first_residual_within_the_tolerance(tolerance):
    at_zero = unbalance(torch.zeros(7, 7).double(), torch.zeros(7).double(), 0.5)
    found = fit_one(tolerance=tolerance)
    assert unbalance(found.couplings, found.bias, 0.5) <= (1 + 1e-6) * tolerance * at_zero
    before = fit_one(tolerance=tolerance, max_iterations=found.iterations - 1)
    assert unbalance(before.couplings, before.bias, 0.5) > tolerance * at_zero
    assert found.iterations <= 60  # preconditioned


def test_iterations_of_all_ridges_are_counted_and_each_starts_from_the_last():
    once, again = fit_one(), fit_one(ridges=(0.5, 0.5))
    assert 0 < once.iterations == again.iterations
    for ridges in ((0.5, 1e-3, 0.1), (1e-3, 0.1, 0.5)):
        assert fit_one(ridges=ridges, tolerance=0.0, max_iterations=2).iterations == 6


def test_a_fit_without_a_ridge_is_refused():
    with pytest.raises(ValueError, match="ridges must hold at least one value"):
        fit_one(ridges=())


def test_each_action_is_that_of_its_own_paths():
    found = fit_one()
    for action, seed in ((found.action, 0), (found.validation_action, 1)):
        assert action == mean_action(noised(seed)[0], found.couplings, found.bias, dt=DT, temperature=KT)
    assert found.action < found.validation_action


def test_rows_are_summed_a_thousand_at_a_time():
    """And hold no more memory than that, however long the run."""
    observer, x = ReverseMoments(machine()), torch.ones(64, 7).double()
    carry = observer.start(x)
    for step in range(40):
        carry = observer.update(carry, Transition(step, x, x, None, DT, KT, 1.0))
        assert len(carry[1]) == len(carry[2]) == (step + 1) % 16
    assert observer.result(carry).steps == 40 * 64


class Tilted(tt.Potential):
    def energy(self, x):
        return super().energy(x) + x.cos().sum(-1)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (ReverseMoments, "ReverseMoments"),
        (lambda potential: mean_response(potential, torch.zeros(1, 7), slice(0, 2), 1.0), "mean_response"),
        (lambda potential: online_update(potential, torch.zeros(3, 7), dt=DT, temperature=KT, rate=1.0), "online_upd"),
        (lambda potential: splitting_action(potential, torch.zeros(3, 1, 7), dt=DT, temperature=KT), "splitting_act"),
    ],
)
def test_rules_of_the_quartic_well_refuse_another(call, name):
    with pytest.raises(ValueError, match=f"{name}.* needs the quartic well .* Tilted"):
        call(Tilted(machine().couplings.float()))
