"""Rounded settings that average to what is wanted, and the order of the error that is left."""

import math

import pytest
import torch

from tests.linear_algebra.matrices import positive
from thermotorch.linear_algebra.board.mitigation import averaging, nearest

VALUES = torch.rand(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 4 - 2


def mean(settings) -> torch.Tensor:
    return torch.einsum("k,k...->...", settings.weights, settings.values)


@pytest.mark.parametrize("step", [0.3, 0.01])
def test_settings_are_steps_and_average_to_the_values(step):
    settings = averaging(VALUES, step)
    torch.testing.assert_close(settings.values / step, (settings.values / step).round())
    assert ((settings.values - VALUES).abs() < step).all()
    assert settings.weights.sum().item() == pytest.approx(1.0)
    assert len(settings.weights) <= VALUES.numel() + 1
    torch.testing.assert_close(mean(settings), VALUES)


def test_evenly_spaced_thresholds_miss_by_half_a_step_over_their_number():
    assert (mean(averaging(VALUES, 0.3, settings=8)) - VALUES).abs().max() <= 0.3 / 16 + 1e-12
    assert (nearest(VALUES, 0.3).values[0] - VALUES).abs().max() <= 0.15


def test_values_on_a_step_need_one_setting():
    assert len(averaging(torch.tensor([0.3, 0.6, -0.9], dtype=torch.float64), 0.1).weights) == 1


def inverse_error(step: float, rounding) -> float:
    """Return the root mean square over 40 matrices of |sum w (rounded A)^-1 - A^-1|, without noise of sampling."""
    total = 0.0
    for seed in range(40):
        A = positive(4, seed=seed)
        settings = rounding(A, step)
        found = torch.einsum("k,kij->ij", settings.weights, torch.linalg.inv(settings.values))
        total += ((found - torch.linalg.inv(A)).norm() / torch.linalg.inv(A).norm()).item() ** 2
    return (total / 40) ** 0.5


@pytest.mark.parametrize(("rounding", "slope"), [(nearest, 1.0), (averaging, 2.0)])
def test_the_error_of_an_inverse_has_slope_one_and_with_averaging_two(rounding, slope):
    steps = [2.0**-k for k in range(6, 13)]
    errors = torch.tensor([inverse_error(step, rounding) for step in steps]).log()
    x = torch.tensor(steps).log()
    fitted = ((x - x.mean()) @ (errors - errors.mean()) / ((x - x.mean()) ** 2).sum()).item()
    assert fitted == pytest.approx(slope, abs=0.1)
    assert math.exp(errors[0]) < 0.1


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="step must be finite and positive"):
        averaging(VALUES, 0.0)
