import pytest
import torch

from thermotorch.evaluation.estimate import mean_of


def test_numbers_that_cancel_keep_what_is_left():
    """In single precision the sum of these would be 0: heats are differences of large energies."""
    assert mean_of(torch.tensor([2.0**30, 1.0, -(2.0**30), 2.0])).value == 0.75


def test_the_error_is_that_of_independent_values():
    estimate = mean_of(torch.tensor([1.0, 2.0, 3.0, 6.0]))
    assert estimate == pytest.approx((3.0, ((4 + 1 + 0 + 9) / 3 / 4) ** 0.5))
