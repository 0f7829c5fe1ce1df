"""The eigenbasis of a linear process, and the recursions that run in it."""

from math import factorial

import pytest
import torch

from tests.physics import random_matrix
from thermotorch.dynamics.linear.modes import decayed, decompose, pair_sums, scan

float64 = torch.float64


def test_detailed_balance_has_real_independent_modes():
    D = torch.eye(4, dtype=float64) + 0.2 * random_matrix(4)
    A = (3 * torch.eye(4) + random_matrix(4, seed=1)) @ torch.linalg.inv(D)  # A D is symmetric
    modes = decompose(A, D)
    assert not modes.values.is_complex()
    assert modes.noise is None
    torch.testing.assert_close(modes.vectors @ torch.diag(modes.values) @ modes.inverse, A)
    torch.testing.assert_close(modes.inverse @ D @ modes.inverse.T, torch.eye(4, dtype=float64))


def test_a_rotation_has_complex_modes_with_common_noise():
    A = torch.tensor([[1.0, 2.0], [-2.0, 1.0]], dtype=float64)
    modes = decompose(A, torch.eye(2, dtype=float64))
    assert modes.values.imag.abs().tolist() == pytest.approx([2.0, 2.0])
    torch.testing.assert_close((modes.vectors @ modes.noise @ modes.vectors.mT).real, torch.eye(2, dtype=float64))


def test_coinciding_eigenvectors_are_no_basis():
    assert decompose(torch.tensor([[1.0, 1.0], [0.0, 1.0]], dtype=float64), torch.eye(2, dtype=float64)) is None
    for apart, basis in ((1e-2, True), (1e-4, False)):  # a condition number of about 2 / apart, where 1,000 is too much
        A = torch.tensor([[1.0, 1.0], [0.0, 1.0 + apart]], dtype=float64)
        assert (decompose(A, torch.eye(2, dtype=float64)) is not None) == basis


@pytest.mark.parametrize("z", [0.0, 1e-12, 1e-3, 2.0, 800.0, -1.0, 1e-9j, 1 + 2j])
def test_decayed(z):
    """(1 - exp(-z))/z to all digits, small z included, where the direct formula has none left."""
    found = decayed(torch.tensor(z, dtype=torch.complex128 if isinstance(z, complex) else float64)).item()
    series = sum((-z) ** k / factorial(k + 1) for k in range(12)) if abs(z) < 0.1 else None
    expected = series if series is not None else (1 - torch.exp(-torch.tensor(z, dtype=torch.complex128)).item()) / z
    assert found == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("time", [1, 2, 7, 64, 100])
@pytest.mark.parametrize("even", [True, False])
def test_the_scan_is_the_recursion(time, even):
    generator = torch.Generator().manual_seed(0)
    decay = torch.rand(1 if even else time, 3, dtype=float64, generator=generator)
    forcing, z = torch.randn(time, 5, 3, dtype=float64, generator=generator), torch.ones(5, 3, dtype=float64)
    path = scan(decay.unsqueeze(1), forcing, z)
    for k in range(time):
        z = decay[0 if even else k] * z + forcing[k]
        torch.testing.assert_close(path[k], z, rtol=1e-12, atol=1e-12)


def test_pair_sums():
    assert pair_sums(torch.tensor([1.0, 10.0])).tolist() == [[2.0, 11.0], [11.0, 20.0]]
