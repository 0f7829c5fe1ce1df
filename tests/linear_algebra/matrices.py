"""Matrices that the tests of thermodynamic linear algebra share."""

import torch
from torch import Tensor

float64 = torch.float64


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=float64, generator=torch.Generator().manual_seed(seed))


def positive(n: int = 5, seed: int = 0, ridge: float = 0.4) -> Tensor:
    """Return a symmetric positive definite matrix of condition number about ten, with an uneven diagonal."""
    root = normal(n, n, seed=seed)
    stretch = torch.linspace(0.7, 1.5, n, dtype=float64)
    return stretch[:, None] * (root @ root.T / n + ridge * torch.eye(n)) * stretch


def unit_diagonal(A: Tensor) -> tuple[Tensor, Tensor]:
    """Return S A S with unit diagonal, and S."""
    scale = A.diagonal().rsqrt()
    return scale[:, None] * A * scale, scale
