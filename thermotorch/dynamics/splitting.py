"""The exact flows of `integrator="splitting"`: couplings C, quartic N, and quadratic with noise O.

    C  dx = mu (f - b - J x) dt                         x -> x e^G + (mu (f - b) t) phi(G),   G = -t J mu, x a row
    N  dx = -4 mu j4 y^3 dt,  y = x + a                 y -> y / sqrt(1 + 8 mu j4 t y^2)
    O  dx = -2 mu j2 x dt + sqrt(2 mu kT dt) xi       x -> e x + s xi,  e = exp(-2 mu j2 t), s^2 = kT (1 - e^2) / (2 j2)

with phi(G) = (e^G - 1) / G and t the time step h for O, half of it for C and N. A cubic term is absorbed by the shift
a = j3 / (4 j4): j4 x^4 + j3 x^3 = j4 y^4 - 6 j4 a^2 x^2 - 4 j4 a^3 x + constant. Wells with j2 < 0 are e > 1.
Clamped units have mobility 0, a zero column of G: they do not move, and their field on the others is exact.
"""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from math import ceil, log2
from typing import NamedTuple

import torch
from torch import Tensor

from thermotorch.couplings import Couplings
from thermotorch.dynamics.linear.modes import decayed
from thermotorch.potential import Potential
from thermotorch.transforms import transformed

_CACHED_EXPONENTIALS = 4  # machines with cached exponentials


class CouplingFlow(NamedTuple):
    """The coupling flow over half a step: x -> x + x @ half + (displacement without couplings) @ mean."""

    half: Tensor  # e^G - 1, [unit, unit]
    whole: Tensor  # the same for a whole step, e^2G - 1
    mean: Tensor  # phi(G)


@dataclass(frozen=True)
class OnSite:
    """The flows of the on-site terms over one time step; everything is [unit]."""

    rate: Tensor  # mobility x dt
    bias: Tensor
    decay: Tensor
    gain: Tensor  # displacement per unit of constant force during O
    spread: Tensor
    stiffness: Tensor
    shift: Tensor

    def relax(self, x: Tensor) -> Tensor:
        """Return N(h/2) x."""
        y = x + self.shift
        return y * torch.rsqrt(1 + self.stiffness * y * y) - self.shift

    def unrelax(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the state that N(h/2) maps to x, the log of its slope there, and a mask of existence (else 0, 0)."""
        y = x + self.shift
        inside = 1 - self.stiffness * y * y
        reachable = inside > 0
        inside = torch.where(reachable, inside, 1.0)
        z = torch.where(reachable, y * torch.rsqrt(inside) - self.shift, 0.0)
        return z, 1.5 * inside.log(), reachable

    def diffuse(self, x: Tensor, xi: Tensor) -> Tensor:
        """Return O(h) x with the normals xi."""
        return self.decay * x + self.spread * xi


@dataclass(frozen=True)
class Flows(OnSite):
    """One step of C(h/2) N(h/2) O(h) N(h/2) C(h/2)."""

    coupling: CouplingFlow | None  # None without couplings

    def push(self, force: Tensor | None) -> Tensor:
        """Return the displacement by external force and biases in half a step of C, [..., unit]."""
        displacement = 0.5 * self.rate * (-self.bias if force is None else force - self.bias)
        if self.coupling is None:
            return displacement
        # In float64, so that a sample's push does not depend on the batch size.
        return (displacement.double() @ self.coupling.mean.double()).to(displacement.dtype)

    def couple(self, x: Tensor, push: Tensor) -> Tensor:
        """Return C(h/2) x with the displacement `push`."""
        return x + push if self.coupling is None else x + x @ self.coupling.half.to(x.dtype) + push


def on_site(potential: Potential, *, dt: float, temperature: float, mobility: Tensor | float = 1.0) -> OnSite:
    """Return the on-site flows of `potential`, differentiable in its biases."""
    like = potential.bias
    j2, j3, j4, mobility = (
        torch.as_tensor(value, dtype=like.dtype, device=like.device).expand(potential.num_units)
        for value in (potential.j2, potential.j3, potential.j4, mobility)
    )
    return on_site_flows(potential.live_bias(), j2, j3, j4, mobility * dt, temperature)


def on_site_flows(bias: Tensor, j2: Tensor, j3: Tensor, j4: Tensor, rate: Tensor, temperature: float) -> OnSite:
    """Return the on-site flows for coefficients [unit]; `rate` is mobility x dt."""
    moves = (j4 > 0) & (rate > 0)  # adding and subtracting a shift would move a clamped unit by the rounding error
    shift = torch.where(moves, j3 / (4 * torch.where(moves, j4, 1.0)), 0.0)
    exponent = 2 * rate * (j2 - 6 * j4 * shift**2)
    return OnSite(
        rate=rate,
        bias=bias - 4 * j4 * shift**3,
        decay=torch.exp(-exponent),
        gain=rate * decayed(exponent),
        spread=(2 * temperature * rate * decayed(2 * exponent)).sqrt(),
        stiffness=4 * rate * j4,
        shift=shift,
    )


def flows(potential: Potential, *, dt: float, temperature: float, mobility: Tensor | float = 1.0) -> Flows:
    """Return the flows of `potential` over one step, differentiable in couplings and biases.

    Cost: the exponential of the coupling matrix, 6 products [unit, unit]^2 for weak couplings and 2 more for every
    factor of two in dt |J|; cached for the last few machines in the absence of gradients.
    """
    parts = on_site(potential, dt=dt, temperature=temperature, mobility=mobility)
    return Flows(**vars(parts), coupling=coupling_flow(potential.couplings, 0.5 * parts.rate))


def coupling_flow(couplings: Couplings, half_rate: Tensor) -> CouplingFlow | None:
    """Return C(h/2) for mobility x h / 2 of each unit, [unit]; the opposite sign gives its inverse."""
    if not couplings.coupled:
        return None
    if transformed():
        return _whole_exponential(-couplings.matrix() * half_rate)
    if torch.is_grad_enabled() and any(bonds.requires_grad for bonds in couplings.parameters()):
        return exponential(-couplings.matrix() * half_rate)
    digest = hashlib.blake2b(
        repr((type(couplings), couplings.extra_repr(), half_rate.device, half_rate.dtype)).encode()
    )
    numbers = [*couplings.parameters(), *(buffer for buffer in couplings.buffers() if buffer.is_floating_point())]
    for tensor in (half_rate, *(numbers or [couplings.matrix()])):
        digest.update(tensor.detach().contiguous().cpu().numpy().data)
    name = digest.digest()
    if name not in _remembered:
        with torch.no_grad():
            _remembered[name] = exponential(-couplings.matrix() * half_rate)
        while len(_remembered) > _CACHED_EXPONENTIALS:
            _remembered.popitem(last=False)
    _remembered.move_to_end(name)
    return _remembered[name]


def _whole_exponential(generator: Tensor) -> CouplingFlow:
    """Return `exponential` without reading values: e^[[G, 1], [0, 0]] = [[e^G, phi(G)], [0, 1]], in float64."""
    one = torch.eye(len(generator), dtype=torch.float64, device=generator.device)
    rows = torch.cat([generator.double(), one], 1), torch.zeros(len(one), 2 * len(one)).to(one)
    upper = torch.linalg.matrix_exp(torch.cat(rows))[: len(one)]
    half, mean = upper[:, : len(one)] - one, upper[:, len(one) :]
    return CouplingFlow(*(part.to(generator.dtype) for part in (half, 2 * half + half @ half, mean)))


_remembered: OrderedDict[bytes, CouplingFlow] = OrderedDict()


def exponential(generator: Tensor) -> CouplingFlow:
    """Return e^G - 1 and phi(G) = (e^G - 1) / G of a square matrix, without the cancellation in e^G - 1.

    Taylor series of phi (Paterson-Stockmeyer, degree 8 in float32, 15 in float64) for G / 2^n, then n doublings,
    e^2G - 1 = 2 D + D^2 and phi(2G) = phi + D phi / 2 with D = e^G - 1.
    """
    stride, groups, radius = (3, 3, 0.6) if generator.dtype == torch.float32 else (4, 4, 0.8)
    powers = [torch.eye(len(generator), dtype=generator.dtype, device=generator.device), generator]
    while len(powers) <= stride:
        powers.append(powers[-1] @ generator)
    # |G^s|_F^(1/s) bounds the spectral radius within a factor of about two.
    size = powers[stride].detach().norm().item() ** (1 / stride)
    doublings = max(0, ceil(log2(size / radius))) if size > 0 else 0
    coefficients, value = [], 1.0
    for k in range(stride * groups):
        value /= k + 1
        coefficients.append(value / 2.0 ** (doublings * k))
    mean = torch.zeros_like(generator)
    for group in reversed(range(groups)):
        if group < groups - 1:
            mean = mean @ powers[stride]
        for power in range(stride):
            mean = mean + coefficients[stride * group + power] * powers[power]
    half = generator @ mean / 2.0**doublings
    for _ in range(doublings):
        mean = mean + 0.5 * half @ mean
        half = 2 * half + half @ half
    return CouplingFlow(half, 2 * half + half @ half, mean)
