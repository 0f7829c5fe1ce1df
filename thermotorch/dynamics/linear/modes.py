"""The eigenbasis of a linear process, in which a stride of any length is an elementwise function.

A = V diag(a) V^-1 turns dx = (f - A x) dt + N(0, D dt) into one equation for each mode, coupled by their noise alone.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from thermotorch.dynamics.linear.transition import LinearTransition, apply, symmetric

_CONDITION = 1e3  # largest condition number of the eigenvectors; covariances then keep about ten digits


class Modes(NamedTuple):
    """A = V diag(values) V^-1; `noise` is V^-1 D V^-T, or None when that is the identity (independent modes)."""

    values: Tensor  # [..., mode]
    vectors: Tensor  # [..., unit, mode]
    inverse: Tensor  # [..., mode, unit]
    noise: Tensor | None  # [..., mode, mode]


def decompose(A: Tensor, D: Tensor) -> Modes | None:
    """Return the modes of the drift A under the diffusion D, or None if the eigenvectors form no basis.

    If A D is symmetric (detailed balance) and D positive, A is symmetric in the frame where D is the identity, and its
    modes are real and independent.
    """
    product = A @ D
    if (product - product.mT).abs().max() <= 1e-13 * product.abs().max():  # detailed balance
        root, info = torch.linalg.cholesky_ex(D)
        if not info.any():
            whitened = torch.linalg.solve_triangular(root, A @ root, upper=False)
            values, rotation = torch.linalg.eigh(symmetric(whitened))
            inverse = torch.linalg.solve_triangular(root.mT, rotation, upper=True).mT
            return Modes(values, root @ rotation, inverse, None)
    values, vectors = torch.linalg.eig(A)
    if not (torch.linalg.cond(vectors) < _CONDITION).all():
        return None
    inverse = torch.linalg.inv(vectors)
    return Modes(values, vectors, inverse, inverse @ D.to(inverse.dtype) @ inverse.mT)


def decayed(z: Tensor) -> Tensor:
    """Return (1 - exp(-z)) / z elementwise, real or complex, and 1 at z = 0."""
    safe = torch.where(z == 0, torch.ones_like(z), z)
    return torch.where(z == 0, torch.ones_like(z), -torch.expm1(-safe) / safe)


def pair_sums(values: Tensor) -> Tensor:
    """Return a_i + a_j, [..., mode] -> [..., mode, mode]."""
    return values.unsqueeze(-1) + values.unsqueeze(-2)


def modal_path(modes: Modes, laws: LinearTransition, strides: Tensor) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Return a function that computes the path at all times in parallel, mode by mode, up to rounding."""
    values, vectors, inverse, _ = modes
    decay = torch.exp(-values * strides.view(-1, *(1,) * values.dim()))  # [stride, ..., mode]
    shift, root = apply(inverse, laws.shift.to(inverse.dtype)), inverse @ laws.root().to(inverse.dtype)

    def path(x: Tensor, noise: Tensor, which: Tensor) -> Tensor:
        missing = (1,) * (x.dim() - values.dim())  # sample dimensions that the system lacks
        if len(strides) == 1:
            forcing, factor = apply(root[0], noise.to(root.dtype)) + shift[0], decay.view(1, *missing, *values.shape)
        else:
            spread = root[which].view(len(which), *missing, *root.shape[1:])
            drift = shift[which].view(len(which), *missing, *shift.shape[1:])
            factor = decay[which].view(len(which), *missing, *values.shape)
            forcing = apply(spread, noise.to(root.dtype)) + drift
        return apply(vectors, scan(factor, forcing, apply(inverse, x.to(inverse.dtype)))).real

    return path


def scan(decay: Tensor, forcing: Tensor, start: Tensor) -> Tensor:
    """Return z_k = decay_k z_{k-1} + forcing_k for all k, in log2(time) passes.

    Args:
        decay: [time or 1, ...].
        forcing: [time, ...].
        start: z_{-1}, [...].
    """
    first = (forcing[:1] + decay[:1] * start).expand(1, *forcing.shape[1:])
    path, offset = torch.cat([first, forcing[1:]]), 1
    while offset < len(path):
        factor = decay if len(decay) == 1 else decay[offset:]
        path = torch.cat([path[:offset], path[offset:] + factor * path[:-offset]])
        decay = decay * decay if len(decay) == 1 else torch.cat([decay[:offset], factor * decay[:-offset]])
        offset *= 2
    return path
