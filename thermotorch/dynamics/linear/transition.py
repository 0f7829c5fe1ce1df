"""One step of a linear stochastic recursion, x' = F x + s + N(0, S), exact or of a numerical scheme.

Its compositions give the law of many steps and, in the limit, the stationary law, so that the error of a scheme of
finite dt on a linear system is known without sampling.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log, pi

import torch
from torch import Tensor

from thermotorch.arguments import count_of, sample_numbers
from thermotorch.dynamics.noise import normals, seed_or_fresh

_DOUBLINGS = 200  # a mode that remembers its start after 2^200 steps does not relax
_CHUNK = 1 << 18  # number of normals that `run` holds


@dataclass(frozen=True)
class LinearTransition:
    """The Gaussian law of one step, x' = F x + s + N(0, S).

    Args:
        decay: F, [..., unit, unit].
        shift: s, [..., unit].
        covariance: S, [..., unit, unit], symmetric, positive semi-definite.
    """

    decay: Tensor
    shift: Tensor
    covariance: Tensor

    def mean(self, x: Tensor) -> Tensor:
        """Return F x + s, [..., unit] -> [..., unit]."""
        return apply(self.decay, x) + self.shift

    def root(self) -> Tensor:
        """Return R with R R^T = S, [..., unit, unit]: Cholesky's factor, or an eigenvector factor of a singular S."""
        factor: Tensor
        factor, info = torch.linalg.cholesky_ex(self.covariance)
        if info.any():
            values, vectors = torch.linalg.eigh(self.covariance)
            factor = vectors * values.clamp_min(0).sqrt().unsqueeze(-2)
        return factor

    def then(self, other: "LinearTransition") -> "LinearTransition":
        """Return this step followed by another one. Cost: three matrix products."""
        covariance = other.decay @ self.covariance @ other.decay.mT + other.covariance
        return LinearTransition(other.decay @ self.decay, other.mean(self.shift), covariance)

    def power(self, steps: int) -> "LinearTransition":
        """Return `steps` >= 1 steps as one. Cost: about 2 log2(steps) compositions."""
        result: LinearTransition | None = None
        square, steps = self, count_of("steps", steps)
        while steps > 1:
            if steps & 1:
                result = square if result is None else result.then(square)
            square, steps = square.then(square), steps >> 1
        return square if result is None else result.then(square)

    def stationary(self) -> tuple[Tensor, Tensor]:
        """Return the stationary mean [..., unit] and covariance [..., unit, unit], by doubling the number of steps.

        A spectral radius of F of one or more is a ValueError.
        """
        step = self
        for _ in range(_DOUBLINGS):
            if not torch.isfinite(step.decay).all():
                break
            if step.decay.detach().abs().max() < torch.finfo(step.decay.dtype).tiny ** 0.5:
                return step.shift, symmetric(step.covariance)
            step = step.then(step)
        raise ValueError("no stationary law: a mode neither decays nor fluctuates around a fixed mean")

    def log_prob(self, before: Tensor, after: Tensor) -> Tensor:
        """Return the log density of the step from `before` to `after`, [..., unit] -> [...]; differentiable.

        A singular S, which has no density, is a ValueError.
        """
        factor: Tensor
        factor, info = torch.linalg.cholesky_ex(self.covariance)
        if info.any():
            raise ValueError("log_prob: the covariance of a step is singular, so a path has no density; add diffusion")
        residual = (after - self.mean(before)).unsqueeze(-1)
        white: Tensor = torch.linalg.solve_triangular(factor, residual, upper=False).squeeze(-1)
        log_det = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return -(0.5 * white.square().sum(-1) + log_det + 0.5 * white.shape[-1] * log(2 * pi))

    def run(
        self,
        start: Tensor,
        steps: int,
        *,
        seed: int | None = None,
        sample_ids: Tensor | None = None,
        start_step: int = 0,
    ) -> Tensor:
        """Return a path of `steps` steps from `start` [..., unit], without the start: [step, ..., unit].

        The noise of sample i at step k is a pure function of (seed, sample_ids[i], k).
        """
        bits, steps = seed_or_fresh(seed), count_of("steps", steps, 0)
        start_step = count_of("start_step", start_step, 0)
        ids = sample_numbers(sample_ids, start.shape[:-1], start.device).reshape(-1)
        root, decay, shift = (tensor.to(start.dtype) for tensor in (self.root(), self.decay, self.shift))
        x, path = start, []
        for first in range(0, steps, every := max(1, _CHUNK // max(1, start.numel()))):
            noise = normals_like(start, ids, bits, start_step + first, min(every, steps - first))
            for increment in apply(root, noise) + shift:
                x = apply(decay, x) + increment
                path.append(x)
        return torch.stack(path) if path else start.new_empty(0, *start.shape)


def apply(matrix: Tensor, x: Tensor) -> Tensor:
    """Return matrix times vector over broadcast leading dimensions: [..., row, unit], [..., unit] -> [..., row]."""
    if matrix.dim() == 2:
        return x @ matrix.mT
    systems = matrix.shape[:-2]
    if x.dim() > matrix.dim() - 1 and x.shape[-len(systems) - 1 : -1] == systems:
        # One product for each system with all of its vectors, rather than one for each vector.
        rows = x.reshape(-1, *systems, x.shape[-1]).movedim(0, -2) @ matrix.mT
        return rows.movedim(-2, 0).reshape(*x.shape[:-1], matrix.shape[-2])
    return (matrix @ x.unsqueeze(-1)).squeeze(-1)


def symmetric(matrix: Tensor) -> Tensor:
    """Return (M + M^T) / 2."""
    return 0.5 * (matrix + matrix.mT)


def block_matrix(*rows: Sequence[Tensor]) -> Tensor:
    """Return the matrix with these rows of blocks."""
    return torch.cat([torch.cat(tuple(row), -1) for row in rows], -2)


def normals_like(start: Tensor, ids: Tensor, seed: int | Tensor, first_step: int, steps: int) -> Tensor:
    """Return the normals of `noise.normals` in the shape [step, *start.shape]."""
    return normals(seed, ids, first_step, steps, start.shape[-1], dtype=start.dtype).view(steps, *start.shape)
