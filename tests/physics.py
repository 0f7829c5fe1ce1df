"""Exact results for simulations: quadrature of exp(-V/kT), the Ornstein-Uhlenbeck process, the exact propagator."""

from collections.abc import Callable
from math import pi

import torch
from torch import Tensor

import thermotorch as tt

float64 = torch.float64


def random_matrix(n: int, scale: float = 0.3, seed: int = 0) -> Tensor:
    """Return a symmetric float64 matrix with zero diagonal and normal entries of standard deviation `scale`."""
    upper = (scale * torch.randn(n, n, dtype=float64, generator=torch.Generator().manual_seed(seed))).triu(1)
    return upper + upper.T


def random_potential(n: int, scale: float = 0.3, seed: int = 0, bipartite: bool = False, **on_site) -> tt.Potential:
    """Return a float64 potential with random dense couplings, or only those between two halves, and random biases."""
    bias = torch.randn(n, dtype=float64, generator=torch.Generator().manual_seed(seed + 1))
    matrix, half = random_matrix(n, scale, seed), n // 2
    if not bipartite:
        return tt.Potential(tt.DenseCouplings.from_matrix(matrix), bias=bias, **on_site)
    matrix[:half, :half], matrix[half:, half:] = 0.0, 0.0
    couplings = tt.BlockCouplings({"first": half, "second": n - half}, [("first", "second")]).double()
    return tt.Potential(couplings.load_matrix(matrix), bias=bias, **on_site)


def single_unit(j2: float = 1.0, j3: float = 0.0, j4: float = 1.0) -> tt.Potential:
    return tt.Potential(tt.DenseCouplings(1).double(), j2, j3, j4)


def assert_within(estimate: Tensor, truth: Tensor | float, standard_error: Tensor | float, sigmas: float) -> None:
    """Check that |estimate - truth| <= sigmas x standard error, everywhere."""
    deviation = ((estimate - truth).abs() / torch.as_tensor(standard_error)).max().item()
    assert deviation <= sigmas, f"{deviation:.1f} standard errors away, {sigmas} allowed"


def assert_mean(samples: Tensor, truth: Tensor | float, sigmas: float, bias: Tensor | float = 0.0) -> None:
    """Check that the mean over dim 0 is `truth` within `sigmas` standard errors and a known bias of the scheme."""
    samples = samples.double()
    standard_error = samples.std(0) / len(samples) ** 0.5
    assert_within(samples.mean(0), truth, standard_error + torch.as_tensor(bias).abs() / sigmas, sigmas)


class Boltzmann:
    """exp(-(V - f x)/kT) of one unit on a grid, by the trapezoidal rule (spectrally accurate here)."""

    def __init__(self, j2: float, j3: float, j4: float, force: float = 0.0, temperature: float = 1.0) -> None:
        reach = 12.0
        self.x = torch.linspace(-reach, reach, 40_001, dtype=float64)
        energy = self.x * (-force + self.x * (j2 + self.x * (j3 + self.x * j4)))
        weight = torch.exp(-(energy - energy.min()) / temperature)
        step = 2 * reach / 40_000
        self.free_energy = (energy.min() - temperature * torch.log(weight.sum() * step)).item()
        self.weight = weight / weight.sum()

    def mean(self, function: Callable[[Tensor], Tensor] = lambda x: x) -> float:
        return (function(self.x) * self.weight).sum().item()

    @property
    def variance(self) -> float:
        return self.mean(torch.square) - self.mean() ** 2

    def cumulative(self, x: Tensor) -> Tensor:
        """Return the probability below x."""
        return self.weight.cumsum(0)[torch.searchsorted(self.x, x).clamp_max(len(self.x) - 1)]

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """Return n independent samples, float64 [n, 1]."""
        uniform = torch.rand(n, dtype=float64, generator=torch.Generator().manual_seed(seed))
        return self.x[torch.searchsorted(self.weight.cumsum(0), uniform).clamp_max(len(self.x) - 1)].unsqueeze(1)


class OrnsteinUhlenbeck:
    """dx = -(A x - c) dt + sqrt(2 kT) dW, A symmetric positive: its moments, and those of Euler-Maruyama steps."""

    def __init__(self, stiffness: Tensor, force: Tensor, temperature: float) -> None:
        self.values, self.vectors = torch.linalg.eigh(stiffness)
        self.force, self.temperature = force, temperature

    def function(self, f: Callable[[Tensor], Tensor]) -> Tensor:
        """Return f(A), through the eigenvalues of A."""
        return self.vectors @ torch.diag(f(self.values)) @ self.vectors.T

    def decay(self, t: float) -> Tensor:
        return self.function(lambda a: torch.exp(-a * t))

    def mean(self, start: Tensor, t: float) -> Tensor:
        rest = self.function(lambda a: 1 / a) @ self.force
        return rest + self.decay(t) @ (start - rest)

    def covariance(self, t: float) -> Tensor:
        """Return that of x(t) from a fixed start; E[x(t + s) x(t)] is decay(s) @ covariance(t)."""
        return self.temperature * self.function(lambda a: (1 - torch.exp(-2 * a * t)) / a)

    def euler_mean(self, start: Tensor, dt: float, steps: int) -> Tensor:
        rest = self.function(lambda a: 1 / a) @ self.force
        return rest + self.function(lambda a: (1 - a * dt) ** steps) @ (start - rest)

    def euler_covariance(self, dt: float, steps: int) -> Tensor:
        """Return that of Euler-Maruyama: kT/a x 2/(2 - a dt) in each mode, approached by (1 - a dt)^2 per step."""
        return self.temperature * self.function(lambda a: 2 / (a * (2 - a * dt)) * (1 - (1 - a * dt) ** (2 * steps)))


def expectation_after(
    function: Callable[[Tensor], Tensor],
    start: float,
    time: float,
    *,
    j2: float,
    j4: float,
    temperature: float,
    force: float = 0.0,
) -> float:
    """E[function(x(time)) | x(0) = start] of dx = (f - V') dt + sqrt(2 kT) dW, to ten digits at forces of a few kT.

    The generator is similar to a Schroedinger operator, -kT d^2/dx^2 + V'^2/(4 kT) - V''/2, here on a sinc grid.
    """
    n, reach = 400, 5.0
    h = 2 * reach / n
    x = start + h * (torch.arange(n + 1, dtype=float64) - n // 2 - round(start / h))
    k = torch.arange(n + 1, dtype=float64)
    distance = k[:, None] - k
    kinetic = torch.where(distance == 0, pi**2 / 3, 2 * torch.cos(pi * distance) / distance**2) / h**2
    slope, curvature = 2 * j2 * x + 4 * j4 * x**3 - force, 2 * j2 + 12 * j4 * x**2
    operator = temperature * kinetic + torch.diag(slope**2 / (4 * temperature) - curvature / 2)
    half = (j2 * x**2 + j4 * x**4 - force * x) / (2 * temperature)
    half = half - half.min()
    at_start = int((x - start).abs().argmin())
    values, vectors = torch.linalg.eigh(operator)
    propagated = vectors[at_start] @ (torch.exp(-values * time) * (vectors.T @ (torch.exp(-half) * function(x))))
    return (torch.exp(half[at_start]) * propagated).item()
