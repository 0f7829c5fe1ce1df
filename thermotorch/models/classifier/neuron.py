"""The thermodynamic neuron: a unit in a quartic well, pushed by its input, with its mean position as output.

    U(x; I) = j2 x^2 + j3 x^3 + j4 x^4 - I x
    <x>(I) = integral x exp(-U / kT) dx / integral exp(-U / kT) dx,   d<x>/dI = var(x) / kT

The activation is known exactly, so a digital network of these neurons can be trained and transferred to a device.
Limits for j3 = 0: <x> = I / (2 j2) for j4 = 0 at any temperature, and (I / (4 j4))^(1/3) for large I, unsaturated.
Source: Whitelam & Casert, Nat. Commun. 17, 1189 (2026), Eqs. 1-3.
"""

from dataclasses import dataclass
from math import ceil
from typing import Any

import torch
from torch import Tensor, nn

from thermotorch.arguments import number_of, real
from thermotorch.transforms import values_hidden

_REACH = {torch.float32: 18.0, torch.float64: 40.0}  # height above the minimum beyond which weights round to zero, kT
_SPACING = {torch.float32: 0.9, torch.float64: 0.5}  # distance of nodes, in thermal widths of the deepest well
_NEWTON_STEPS = 40  # most steps; convergence from above is monotone
_HIGHEST_ORDER = 3  # highest derivative of the mean


def neuron_activation(
    force: Tensor, j2: float = 1.0, j3: float = 0.0, j4: float = 1.0, temperature: float = 1.0
) -> Tensor:
    """Return the equilibrium mean <x>(I) of a neuron, like `force`, with exact derivatives up to the third.

    Args:
        force: I, any shape, float32 or float64.
        j2, j3, j4: on-site coefficients; j4 > 0, or j4 = 0 with j3 = 0 and j2 > 0. Double wells (j2 < 0) are covered.
        temperature: kT; 0 gives the position of the deepest minimum.

    Raises:
        ValueError: a potential without a lower bound, a negative temperature, or a force that is not floating point.

    Cost: the trapezoidal rule, which converges exponentially, on about 30 nodes for each element of a convex well
    (float32) and more for a double well. Memory for as many copies of `force`.
    """
    well = _Well(j2, j3, j4, temperature)
    if not isinstance(force, Tensor) or force.dtype not in _REACH:
        raise ValueError(f"force: expected a float32 or float64 tensor, got {getattr(force, 'dtype', type(force))}")
    if not values_hidden():
        real("force", force)
    return _Response.apply(force, well, 0)


class NeuronActivation(nn.Module):
    """`neuron_activation` as a module: force [...] -> mean position [...]."""

    def __init__(self, j2: float = 1.0, j3: float = 0.0, j4: float = 1.0, temperature: float = 1.0) -> None:
        super().__init__()
        _Well(j2, j3, j4, temperature)  # checks the values
        self.j2, self.j3, self.j4, self.temperature = j2, j3, j4, temperature

    def forward(self, force: Tensor) -> Tensor:
        return neuron_activation(force, self.j2, self.j3, self.j4, self.temperature)

    def extra_repr(self) -> str:
        return f"j2={self.j2}, j3={self.j3}, j4={self.j4}, temperature={self.temperature}"


@dataclass(frozen=True)
class _Well:
    """Potential of a neuron at I = 0, and its temperature."""

    j2: float
    j3: float
    j4: float
    temperature: float

    def __post_init__(self) -> None:
        j2, j3, j4 = (number_of(name, getattr(self, name), signed=True) for name in ("j2", "j3", "j4"))
        number_of("temperature", self.temperature)
        if j4 < 0 or (j4 == 0 and (j3 != 0 or j2 <= 0)):
            raise ValueError(f"the neuron has no lower bound: j4 > 0, or 0 with j3 = 0 < j2, got {self}")

    @property
    def shift(self) -> float:
        """Return the position about which the potential has no cubic term: x = shift + y."""
        return -self.j3 / (4 * self.j4) if self.j4 else 0.0

    @property
    def quadratic(self) -> float:
        """Return the coefficient of y^2 about `shift`."""
        return self.j2 - 3 * self.j3**2 / (8 * self.j4) if self.j4 else self.j2

    @property
    def shift_force(self) -> float:
        """Return dU/dx at `shift` and I = 0; the force on y is I minus this."""
        return self.shift * (2 * self.j2 + self.shift * (3 * self.j3 + self.shift * 4 * self.j4))


class _Response(torch.autograd.Function):
    """d^order <x> / dI^order, whose derivative is the next order."""

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, _Well, int], output: Tensor) -> None:
        force, ctx.well, ctx.order = inputs
        ctx.save_for_backward(force)

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], force: Tensor, well: _Well, order: int
    ) -> tuple[Tensor, int | None]:
        return _Response.apply(force, well, order), in_dims[0]  # element by element

    @staticmethod
    def forward(force: Tensor, well: _Well, order: int) -> Tensor:
        if well.j4 == 0:
            slope = 1 / (2 * well.j2)
            return force * slope if order == 0 else torch.full_like(force, slope if order == 1 else 0.0)
        inner = force - well.shift_force
        sign = torch.where(inner < 0, -1.0, 1.0).to(force)  # by symmetry in y, forces >= 0 are enough
        inner = inner.abs() if well.quadratic >= 0 else inner.abs().double()  # the weights of two wells need it
        value = (_coldest if well.temperature == 0 else _thermal)(inner, well, order).to(force)
        return well.shift + sign * value if order == 0 else value * sign ** (order + 1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None, None]:
        if ctx.order == _HIGHEST_ORDER:
            raise NotImplementedError(f"neuron_activation has {_HIGHEST_ORDER} derivatives, not more")
        (force,) = ctx.saved_tensors
        return grad * _Response.apply(force, ctx.well, ctx.order + 1), None, None


def _deepest_minimum(force: Tensor, well: _Well) -> Tensor:
    """Return the largest root of 4 j4 y^3 + 2 q y = force >= 0, by Newton's method from above."""
    j4, q = well.j4, well.quadratic
    y = (force / (4 * j4)) ** (1 / 3) + (max(-q, 0.0) / (2 * j4)) ** 0.5
    tiny = torch.finfo(force.dtype).tiny
    for _ in range(_NEWTON_STEPS):
        step = (y * (2 * q + 4 * j4 * y * y) - force) / (2 * q + 12 * j4 * y * y).clamp_min(tiny)
        y = y - step
        if not (step.abs() > 4 * torch.finfo(force.dtype).eps * y).any():
            break
    return y


def _coldest(force: Tensor, well: _Well, order: int) -> Tensor:
    """Return a derivative of the position of the minimum."""
    y = _deepest_minimum(force, well)
    second, third, fourth = 2 * well.quadratic + 12 * well.j4 * y * y, 24 * well.j4 * y, 24 * well.j4
    return (y, 1 / second, -third / second**3, (3 * third**2 - second * fourth) / second**5)[order]


def _thermal(force: Tensor, well: _Well, order: int) -> Tensor:
    """Return cumulant number order + 1 of exp(-U / kT), over kT^order.

    The window holds all y with U - min U <= reach kT. Above the minimum y0 this needs k d^2 + j4 d^4 >= reach kT with
    k = U''(y0) / 2; below it, in a convex well, d^2 (q + 2 j4 y0^2) and j4 d^4 / 3 are lower bounds, and in a double
    well U(-y) at no force is one.
    """
    kT, j4, q, reach = well.temperature, well.j4, well.quadratic, _REACH[force.dtype] * well.temperature
    low_temperature = (reach / j4) ** 0.25
    y0 = _deepest_minimum(force, well)
    half_curvature = (q + 6 * j4 * y0 * y0).clamp_min(1e-30)
    above = (reach / half_curvature).sqrt().clamp_max(low_temperature)
    if q >= 0:
        below = (reach / (q + 2 * j4 * y0 * y0).clamp_min(1e-30)).sqrt().clamp_max(3**0.25 * low_temperature)
    else:
        below = y0 + (-q / (2 * j4) + (reach / j4) ** 0.5) ** 0.5
    width = (kT / (2 * half_curvature)).sqrt().clamp_max(0.5 * (kT / j4) ** 0.25)
    longest = ((above + below) / width).max().item() if force.numel() else 1.0
    count = ceil(longest / _SPACING[force.dtype]) + 1
    place = torch.linspace(0, 1, count, dtype=force.dtype, device=force.device)
    d = (above + below).unsqueeze(-1) * place - below.unsqueeze(-1)  # distance from the minimum, [..., node]
    y0 = y0.unsqueeze(-1)
    # U(y0 + d) - U(y0) without cancellation: the terms linear in d vanish at the minimum.
    energy = d * d * (half_curvature.unsqueeze(-1) + d * (4 * j4 * y0 + d * j4))
    weight = torch.softmax(-energy / kT, -1)
    mean = (weight * d).sum(-1)
    if order == 0:
        return y0.squeeze(-1) + mean
    central = [(weight * (d - mean.unsqueeze(-1)) ** power).sum(-1) for power in range(2, order + 2)]
    return (central[-1] - 3 * central[0] ** 2 if order == 3 else central[-1]) / kT**order
