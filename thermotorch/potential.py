"""The potential energy of a network of quartic units with pairwise couplings.

    V(x) = sum_i (j2_i x_i^2 + j3_i x_i^3 + j4_i x_i^4) + b.x + sum over pairs J_ij x_i x_j
    dV/dx_i = 2 j2_i x_i + 3 j3_i x_i^2 + 4 j4_i x_i^3 + b_i + (J x)_i

| symbol | in the papers | name here | shape |
| --- | --- | --- | --- |
| x | S, x | `state`, `x` | [..., unit] |
| J2, J3, J4 | intrinsic couplings | `j2`, `j3`, `j4` | scalar or [unit] |
| b | biases (with a minus sign in Whitelam & Casert 2026) | `bias` | [unit] |
| J_ij | couplings, each pair once | `couplings` | see `couplings.py` |
| kT, mu | temperature, mobility | `temperature`, `mobility` | arguments of `simulate` |

`j2 = j4 = 1` is a single well; a double well needs `j2 < 0`. Source: Whitelam, PRL 136, 037101 (2026), Eqs. 1-3.
"""

import weakref
from collections.abc import Callable
from math import inf, isfinite, log, sqrt
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from thermotorch.arguments import flags, per_unit
from thermotorch.buffers import DerivedBuffers
from thermotorch.couplings import Couplings, depth_of
from thermotorch.transforms import transformed

_LAW = ("energy", "gradient", "bind", "on_site_gradient")


class Potential(DerivedBuffers):
    """The module of V(x) above: couplings and `bias` are trainable, the on-site `j2`, `j3`, `j4` are fixed buffers.

    Args:
        couplings: the bonds, which determine the number of units.
        j2, j3, j4: on-site coefficients, numbers or tensors [unit], in energy per x^2, x^3, x^4.
        bias: initial biases, number or tensor [unit]. `potential.bias` is a parameter.
        fixed_bias: bool [unit], True for units whose bias keeps its initial value without a gradient; None for no unit.

    Raises:
        ValueError: a shape that does not fit, or a potential without a lower bound (j4 < 0, or j4 = 0 with j3 != 0).
            Whether quadratic units (j4 = 0) are bound by the whole of 2 j2 + J is not checked: an unstable linear
            system is a system.
    """

    couplings: Couplings
    bias: Tensor  # a parameter, or its replacement in a transform
    j2: Tensor
    j3: Tensor
    j4: Tensor
    fixed_bias: Tensor | None
    own_law: tuple[str, ...] = ()  # of a class: the methods of `_LAW` that it overrides

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.own_law = tuple(name for name in _LAW if getattr(cls, name) is not getattr(Potential, name))
        if cls.own_law and depth_of(cls, "energy") > min(depth_of(cls, name) for name in cls.own_law):
            raise TypeError(
                f"{cls.__name__} overrides {', '.join(cls.own_law)} but not energy, so that forces and heat would "
                "belong to two potentials; override energy (forces follow by autograd)"
            )

    @property
    def quartic(self) -> bool:
        """True if j2, j3, j4, the biases and the blocks of the couplings are the whole potential.

        Fast backends and schemes of exact flows rely on it. A subclass with its own `energy`, or couplings with their
        own `bind` but an inherited `matrix`, are simulated by the reference with autograd forces.
        """
        if self.own_law or not self.couplings.blocks_are_the_field:
            return False
        if torch.compiler.is_compiling():
            return True
        return not any(name in vars(self) for name in _LAW) and not any(
            name in vars(self.couplings) for name in ("bind", "energy", "forward")
        )

    def __init__(
        self,
        couplings: Couplings,
        j2: float | Tensor = 1.0,
        j3: float | Tensor = 0.0,
        j4: float | Tensor = 1.0,
        bias: float | Tensor = 0.0,
        fixed_bias: Tensor | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(couplings, Couplings):
            raise TypeError(
                f"couplings must be a Couplings module, got {type(couplings).__name__}; "
                "for a matrix write DenseCouplings.from_matrix(matrix)"
            )
        self.couplings = couplings
        self.num_units = couplings.num_units
        like = next(couplings.parameters(), torch.empty(0))  # one dtype and device for the whole potential
        for name, value in {"j2": j2, "j3": j3, "j4": j4}.items():
            self.register_buffer(name, per_unit(name, value, self.num_units, like, signed=True).detach().clone())
        start = bias.detach() if isinstance(bias, Tensor) else bias
        start = per_unit("bias", start, self.num_units, like, signed=True)
        self.bias = nn.Parameter(start.expand(self.num_units).clone())
        self._fixed_bias: list[bool] | None = None
        if fixed_bias is not None:
            flags("fixed_bias", fixed_bias, (self.num_units,))
            self._fixed_bias = None if fixed_bias.is_meta else fixed_bias.tolist()
            fixed_bias = fixed_bias.to(like.device)
        self.register_buffer("fixed_bias", fixed_bias, persistent=False)
        if not like.is_meta and ((self.j4 < 0).any() or ((self.j4 == 0) & (self.j3 != 0)).any()):
            raise ValueError("the potential has no lower bound: j4 must be positive, or zero where j3 is zero too")

    def derived_buffers(self) -> dict[str, Tensor]:
        return {} if self._fixed_bias is None else {"fixed_bias": torch.tensor(self._fixed_bias)}

    def energy(self, x: Tensor) -> Tensor:
        """Return V(x), [..., unit] -> [...]. Cost: one coupling field."""
        self._check(x)
        on_site = x * (self.live_bias() + x * (self.j2 + x * (self.j3 + x * self.j4)))
        return on_site.sum(-1) + self.couplings.energy(x)

    def gradient(self, x: Tensor) -> Tensor:
        """Return dV/dx, [..., unit] -> [..., unit], in closed form. Cost: one coupling field."""
        self._check(x)
        return self.bind()(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.energy(x)

    def bind(self) -> Callable[[Tensor], Tensor]:
        """Return `gradient` with everything that does not depend on x computed once, for use in a loop.

        It uses autograd if the `energy` is not the quartic one.
        """
        if not self.quartic:
            return self._gradient_of_energy
        field, bias = self.couplings.bind(), self.live_bias()
        return lambda x: self.on_site_gradient(x) + bias + field(x)

    def _gradient_of_energy(self, x: Tensor) -> Tensor:
        if transformed():
            gradient: Tensor = torch.func.grad(lambda at: self.energy(at).sum())(x)
            return gradient
        differentiable = torch.is_grad_enabled()
        with torch.enable_grad():
            at = x if x.requires_grad else x.detach().requires_grad_()
            energy = self.energy(at).sum()
            return torch.autograd.grad(
                energy, at, create_graph=differentiable, allow_unused=True, materialize_grads=True
            )[0]

    def live_bias(self) -> Tensor:
        """Return the biases, [unit], detached where they are fixed."""
        return self.bias if self.fixed_bias is None else torch.where(self.fixed_bias, self.bias.detach(), self.bias)

    def on_site_gradient(self, x: Tensor) -> Tensor:
        """Return 2 j2 x + 3 j3 x^2 + 4 j4 x^3, [..., unit] -> [..., unit], dV/dx without couplings and biases."""
        return x * (2 * self.j2 + x * (3 * self.j3 + x * (4 * self.j4)))

    @torch.no_grad()
    def require_finite(self) -> None:
        """Raise a ValueError for the first parameter or buffer with a value that is not finite."""
        for name, tensor in (*self.named_parameters(), *self.named_buffers()):
            if not torch.isfinite(tensor).all():
                raise ValueError(f"potential.{name}: every value must be finite, found NaN or infinity")

    @torch.no_grad()
    def stable_dt(
        self, state: Tensor, drive: Tensor | None = None, temperature: float = 0.0, steps: int = 1_000_000
    ) -> float:
        """Return the longest Euler-Maruyama step, times mobility, with which a run can be expected to survive.

            dt < 2 / max V'',   V'' <= 2 |j2| + 6 |j3| x + 12 j4 x^2 + |J|

        x is the largest of |state|, three thermal deviations of the uncoupled unit, the amplitude at which the on-site
        force balances the field of bias, drive and couplings at `state`, and that at which it balances |J| x, where
        units align (without couplings, the bottom of a double well). A run diverges where chance throws a unit so far
        that a step of the quartic force leads further out: in `steps` steps that befalls one sample in 10^4 (`_tail`).
        An estimate, not a proof. Cost: about 20 coupling fields, for the spectral norm.
        """
        field = self.bias + self.couplings(state)
        if drive is not None:
            field = field - drive
        field = field.abs().reshape(-1, self.num_units).amax(0)
        quadratic, quartic = (2 * self.j2).clamp_min(1e-12), (4 * self.j4).clamp_min(1e-12)
        norm = self.couplings.spectral_norm()
        rest = torch.stack(
            [
                state.abs().reshape(-1, self.num_units).amax(0),
                torch.minimum(field / quadratic, (field / quartic) ** (1 / 3)),
                ((norm - 2 * self.j2) / quartic).clamp_min(0).sqrt().expand(self.num_units),
            ]
        ).amax(0)
        warm = 3 * torch.minimum((temperature / quadratic) ** 0.5, (temperature / quartic) ** 0.25)
        # A quadratic unit has the same curvature everywhere, so its reach does not matter (and may be infinite).
        rest = torch.where((self.j3 == 0) & (self.j4 == 0), torch.zeros_like(rest), rest)
        warm = torch.where((self.j3 == 0) & (self.j4 == 0), torch.zeros_like(warm), warm)

        def curvature(x: Tensor) -> Tensor:
            return 2 * self.j2.abs() + norm + 6 * self.j3.abs() * x + 12 * self.j4 * x**2

        soft = torch.where(self.j2 > 0, 2 * self.j2, 0.0) + 12 * self.j4 * rest**2
        energy = temperature * _rarity(steps, self.num_units)
        spread = torch.minimum(2 * energy / soft.clamp_min(1e-12), (4 * energy / quartic) ** 0.5)
        tail = _tail(self.j4, rest, spread, energy) if energy else torch.zeros_like(rest)
        stiffest = torch.maximum(curvature(torch.maximum(rest, warm)), curvature(rest) + tail)
        return 2.0 / max(float(stiffest.max()), 1e-30)

    @torch.no_grad()
    def stable_dt_bound(
        self, state: Tensor, drive: Tensor | None = None, temperature: float = 0.0, steps: int = 1_000_000
    ) -> float:
        """Return a lower bound of `stable_dt` from the largest numbers alone; ValueError if a parameter is not finite.

        The Frobenius norm bounds |J|, sqrt(n) max |x| bounds the length of a state, and the softest unit bounds the
        reach of all. Cost: a few passes over the parameters, no coupling field.
        """
        known, furthest = self._extremes(), _largest(state)
        if not isfinite(known.norm + known.bias):
            self.require_finite()
        field = known.bias + (0.0 if drive is None else _largest(drive)) + known.norm * sqrt(self.num_units) * furthest
        quadratic, quartic = max(2 * known.least_j2, 1e-12), max(4 * known.least_j4, 1e-12)
        rest = max(
            furthest,
            min(field / quadratic, (field / quartic) ** (1 / 3)),
            (max(known.norm - 2 * known.least_j2, 0.0) / quartic) ** 0.5,
        )
        reach = max(rest, 3 * min((temperature / quadratic) ** 0.5, (temperature / quartic) ** 0.25))
        flat = 2 * known.j2 + known.norm
        # The least coefficients let a unit go furthest, the largest throw it furthest.
        energy = temperature * _rarity(steps, self.num_units)
        spread = min(2 * energy / quadratic, (4 * energy / quartic) ** 0.5)
        tail = 1.02 * _tail(known.j4, rest, spread, energy) if energy else 0.0
        stiffest: float = flat + max(
            6 * known.j3 * reach + 12 * known.j4 * reach**2, 6 * known.j3 * rest + 12 * known.j4 * rest**2 + tail
        )
        return (2.0 - 1e-6) / max(stiffest, 1e-30)  # a rounding below

    def _extremes(self) -> "_Extremes":
        """Return the extreme values of the potential, cached until one of its tensors changes."""
        tensors: tuple[Tensor, ...] = (*self.parameters(), *self.buffers())
        changes = None if any(tensor.is_inference() for tensor in tensors) else [t._version for t in tensors]
        if changes is not None and (cached := _cache.get(self)):
            references, versions, extremes = cached
            if changes == versions and all(ref() is t for ref, t in zip(references, tensors, strict=True)):
                return extremes
        bias, j2, j3, j4 = map(_largest, (self.bias, self.j2, self.j3, self.j4))
        least_j2, least_j4 = self.j2.min().item(), self.j4.min().item()
        extremes = _Extremes(self.couplings.frobenius_norm(), bias, j2, j3, j4, least_j2, least_j4)
        _cache[self] = tuple(map(weakref.ref, tensors)), changes, extremes
        return extremes

    def extra_repr(self) -> str:
        shown = {name: getattr(self, name) for name in ("j2", "j3", "j4")}
        return ", ".join(
            f"{name}={value.item():g}" if value.dim() == 0 else f"{name}=per unit" for name, value in shown.items()
        )

    def _check(self, x: Tensor) -> None:
        if x.dim() == 0 or x.shape[-1] != self.num_units:
            raise ValueError(
                f"x: expected [..., {self.num_units}] for a potential of {self.num_units} units, got {tuple(x.shape)}"
            )


class _Extremes(NamedTuple):
    """Frobenius norm of the couplings, largest moduli of bias and coefficients, and least coefficients."""

    norm: float
    bias: float
    j2: float
    j3: float
    j4: float
    least_j2: float
    least_j4: float


_Cached = tuple[tuple["weakref.ref[Tensor]", ...], list[int] | None, _Extremes]
# Outside the module, because weak references cannot be copied with it.
_cache: weakref.WeakKeyDictionary[Potential, _Cached] = weakref.WeakKeyDictionary()


def require_quartic(potential: Potential, what: str) -> None:
    """Raise a ValueError for a potential with its own energy or field; `what` names the method that refuses it."""
    if not potential.quartic:
        raise ValueError(
            f"{what} needs the quartic well and couplings in blocks, but {type(potential).__name__} with "
            f"{type(potential.couplings).__name__} has an energy or field of its own"
        )


def _rarity(steps: int, units: int) -> float:
    """Return L, so that an energy of L kT in one of the units is met once in 10^4 runs of so many steps."""
    return log(1e4 * max(1, steps) * max(1, units))


def _tail(j4: Any, rest: Any, spread: Any, energy: float) -> Any:
    """Return the curvature c beyond that at rest, so that no step of a unit with `energy` = L kT leads further out.

    A step of dt = 2 / (a + c) takes a unit at rest + d further from there if the quartic force exceeds c d:

        c = 4 j4 d (3 rest + d),   d^2 = spread + 4 L kT / c

    `spread` is that of the stationary law. The other term is what Euler's scheme adds to it: an amplitude that changes
    sign with each step, dq = -(c q - 4 j4 q^3) dt + noise, leaves over a barrier of c d^2 / 4, which is L kT. Numbers
    or tensors; geometric means converge to 1 %.
    """
    j4, excess = j4 + 1e-30, 4 * energy
    c = (
        4 * j4 * spread
        + (4 * j4 * excess) ** 0.5
        + 12 * j4 * rest * spread**0.5
        + (12 * j4 * rest) ** (2 / 3) * (excess ** (1 / 3))
    )
    for _ in range(8):
        d = (spread + excess / c) ** 0.5
        c = (c * 4 * j4 * d * (3 * rest + d)) ** 0.5
    return c


def _largest(x: Tensor) -> float:
    return float(torch.linalg.vector_norm(x, inf))
