"""Linear steps composed: many steps as one, infinitely many, and a run of them."""

import pytest
import torch

from tests.physics import assert_within
from thermotorch.dynamics.linear.transition import LinearTransition

float64 = torch.float64


def step() -> LinearTransition:
    return LinearTransition(
        torch.tensor([[0.8, 0.3], [-0.2, 0.7]], dtype=float64),
        torch.tensor([0.5, -1.0], dtype=float64),
        torch.tensor([[0.5, 0.2], [0.2, 0.4]], dtype=float64),
    )


@pytest.mark.parametrize("steps", [1, 2, 7, 12])
def test_a_power_is_step_after_step(steps):
    expected = step()
    for _ in range(steps - 1):
        expected = expected.then(step())
    for field in ("decay", "shift", "covariance"):
        torch.testing.assert_close(getattr(step().power(steps), field), getattr(expected, field))


def test_the_stationary_law_reproduces_itself():
    law = step()
    mean, covariance = law.stationary()
    torch.testing.assert_close(law.mean(mean), mean)
    torch.testing.assert_close(law.decay @ covariance @ law.decay.T + law.covariance, covariance)


@pytest.mark.parametrize("rate", [1.0, 1.01])
def test_what_does_not_forget_has_no_stationary_law(rate):
    with pytest.raises(ValueError, match="no stationary law"):
        LinearTransition(rate * torch.eye(2), torch.zeros(2), torch.eye(2)).stationary()


def test_a_run_has_the_law_of_its_power():
    law, count = step(), 20_000
    end = law.run(torch.zeros(count, 2, dtype=float64), 6)[-1]
    expected = law.power(6)
    spread = expected.covariance.diagonal()
    assert_within(end.mean(0), expected.shift, (spread / count).sqrt(), 4.5)
    centred = end - expected.shift
    error = ((expected.covariance**2 + torch.outer(spread, spread)) / count).sqrt()
    assert_within(centred.T @ centred / count, expected.covariance, error, 4.5)


def test_a_run_in_two_parts_is_the_same_run(monkeypatch):
    start = torch.zeros(3, 2, dtype=float64)
    whole = step().run(start, 10, seed=2)
    monkeypatch.setattr("thermotorch.dynamics.linear.transition._CHUNK", 3 * 6)  # the noise of three steps at a time
    assert torch.equal(step().run(start, 10, seed=2), whole)
    rest = step().run(whole[3], 6, seed=2, start_step=4)
    assert torch.equal(rest, whole[4:])


def test_a_singular_step_has_noise_but_no_density():
    law = LinearTransition(0.5 * torch.eye(2), torch.zeros(2), torch.diag(torch.tensor([1.0, 0.0])))
    path = law.run(torch.zeros(5, 2), 4)
    assert not path[..., 1].any()
    assert path[..., 0].any()
    with pytest.raises(ValueError, match="add diffusion"):
        law.log_prob(torch.zeros(2), torch.zeros(2))


def test_two_different_steps_are_composed_in_their_order():
    """Their matrices do not commute."""
    first = step()
    second = LinearTransition(
        torch.tensor([[0.1, -0.6], [0.4, 0.9]], dtype=float64),
        torch.tensor([-0.3, 0.2], dtype=float64),
        torch.tensor([[0.3, -0.1], [-0.1, 0.2]], dtype=float64),
    )
    both, x = first.then(second), torch.tensor([[1.0, 2.0], [-3.0, 0.5]], dtype=float64)
    torch.testing.assert_close(both.mean(x), second.mean(first.mean(x)))
    carried = second.decay @ first.covariance @ second.decay.T
    torch.testing.assert_close(both.covariance, carried + second.covariance)
