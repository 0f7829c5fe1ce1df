"""Circuits need a simulator, which is no Python package."""

import shutil

import pytest
import torch

import thermotorch as tt


@pytest.fixture
def ngspice() -> None:
    """Skip a test where ngspice is not installed."""
    if shutil.which("ngspice") is None:
        pytest.skip("needs ngspice (apt-get install ngspice)")


@pytest.fixture
def three_units() -> tt.Potential:
    """Single and double wells, cubic terms, biases and couplings of both signs."""
    potential = tt.Potential(
        tt.DenseCouplings(3), torch.tensor([1.0, -1.0, 0.5]), 0.1, 1.0, bias=torch.tensor([0.3, -0.2, 0.1])
    ).double()
    potential.couplings.bonds.data.copy_(torch.tensor([0.5, -0.4, 0.3]))
    return potential.requires_grad_(False)
