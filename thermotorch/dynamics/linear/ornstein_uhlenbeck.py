"""The Ornstein-Uhlenbeck process: exact samples at any times, without a time step.

    dx = -A (x - b) dt + N(0, D dt)        or, with a force f = A b,        dx = (f - A x) dt + N(0, D dt)

Over a stride h, however long, x(t + h) = F x(t) + s + N(0, S) with

    F = exp(-A h),    s = integral_0^h exp(-A u) f du,    S = integral_0^h exp(-A u) D exp(-A^T u) du.

In the eigenbasis A = V diag(a) V^-1 all three are elementwise functions of (a, h), so that one decomposition serves
every stride. Where the eigenvectors do not span the space (critical damping), or for gradients with respect to A (which
have poles at degenerate eigenvalues in that basis), the same three come from one matrix exponential (Van Loan, IEEE
Trans. Autom. Control 23, 395 (1978)) and doublings of the stride.

A may be asymmetric and D singular (as for a mass with noise on its momentum only). If A D is symmetric, the process
obeys detailed balance and its modes are independent.
"""

from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor

from thermotorch.arguments import count_of, real, sample_numbers
from thermotorch.dynamics.linear.modes import Modes, decayed, decompose, modal_path, pair_sums
from thermotorch.dynamics.linear.transition import LinearTransition, apply, block_matrix, normals_like, symmetric
from thermotorch.dynamics.noise import seed_or_fresh

_CHUNK = 256  # times advanced by one scan

# (x [..., unit], normals [time, ..., unit], numbers of the strides [time]) -> the path [time, ..., unit]
_Path = Callable[[Tensor, Tensor, Tensor], Tensor]


class OrnsteinUhlenbeck:
    """The process dx = -A (x - b) dt + N(0, D dt), with samples, likelihoods and stationary law.

    Args:
        A: drift, [unit, unit], or [..., unit, unit] for several systems.
        b: centre, [..., unit]; default zero.
        D: diffusion, [..., unit, unit], symmetric, positive semi-definite; default the identity.
        force: f [..., unit] instead of the centre: dx = (f - A x) dt. No linear system is then solved, so that a
            simulated device never contains its answer, and A may be singular.

    Raises:
        ValueError: a wrong shape, an asymmetric or indefinite D, or both b and force.

    Cost: one eigendecomposition, O(unit^3), at first use; O(unit^3) for each stride, O(unit^2) for each sample.
    """

    def __init__(
        self, A: Tensor, b: Tensor | None = None, D: Tensor | None = None, *, force: Tensor | None = None
    ) -> None:
        for name, tensor in (("A", A), ("b", b), ("D", D), ("force", force)):
            if tensor is not None or name == "A":
                real(name, tensor)
        if A.dim() < 2 or A.shape[-1] != A.shape[-2]:
            raise ValueError(f"A: expected a square matrix [..., unit, unit], got {tuple(A.shape)}")
        if b is not None and force is not None:
            raise ValueError("b and force: expected one of the two, f = A b, got both")
        unit = A.shape[-1]
        for name, vector in (("b", b), ("force", force)):
            if vector is not None and vector.shape[-1:] != (unit,):
                raise ValueError(f"{name}: expected shape (..., {unit}), got {tuple(vector.shape)}")
        D = torch.eye(unit, dtype=A.dtype, device=A.device) if D is None else D
        if D.shape[-2:] != (unit, unit):
            raise ValueError(f"D: expected shape (..., {unit}, {unit}), got {tuple(D.shape)}")
        scale = D.detach().abs().amax()
        if (D - D.mT).detach().abs().max() > 1e-6 * scale:
            raise ValueError("D is asymmetric: a diffusion matrix is symmetric; write (D + D.T) / 2")
        if torch.linalg.eigvalsh(D.detach().double()).min() < -1e-6 * scale:
            raise ValueError("D is indefinite: a diffusion matrix has no negative eigenvalue")
        self.num_units = unit
        self.A, self.D = A.double(), D.double()
        self.b = None if b is None else b.double()
        self.force = A.new_zeros(unit).double() if force is None else force.double()
        self._last: tuple[Tensor, _Path] | None = None

    def transition(self, h: float | Tensor) -> LinearTransition:
        """Return the law of a stride h > 0, or of several, h [stride]: fields [stride, ..., unit(, unit)], float64.

        Differentiable in A, b and D.
        """
        h = torch.as_tensor(h, dtype=torch.float64, device=self.A.device)
        h = h.view(*h.shape, *(1,) * self.A.dim())
        modes = self.modes
        decay, shift, covariance = self._by_exponential(h) if modes is None else self._by_modes(modes, h)
        if self.b is not None:
            shift = self.b - apply(decay, self.b)
        return LinearTransition(decay, shift, symmetric(covariance))

    def stationary(self) -> tuple[Tensor, Tensor]:
        """Return the stationary mean [..., unit] and covariance [..., unit, unit], A S + S A^T = D.

        Raises:
            ValueError: a mode that does not decay (an eigenvalue of A without positive real part).
        """
        if self.modes is None:
            return self.transition(1 / self.A.detach().abs().sum(-1).max().clamp_min(1e-300)).stationary()
        values, vectors, inverse, noise = self.modes
        if (values.real <= 0).any():
            raise ValueError(
                f"no stationary law: A has an eigenvalue with real part {values.real.min():.3g}, expected all positive"
            )
        if noise is None:
            covariance = (vectors / (2 * values).unsqueeze(-2)) @ vectors.mT
        else:
            covariance = (vectors @ (noise / pair_sums(values)) @ vectors.mT).real
        if self.b is not None:
            return self.b, symmetric(covariance)
        mean = apply(vectors, apply(inverse, self.force.to(vectors.dtype)) / values).real
        return mean, symmetric(covariance)

    def autocovariance(self, lag: float) -> Tensor:
        """Return the stationary E[(x(t + lag) - b) (x(t) - b)^T] = exp(-A lag) S, [..., unit, unit]."""
        covariance = self.stationary()[1]
        return self.transition(lag).decay @ covariance if lag else covariance

    def sample(
        self, ts: Tensor, x0: Tensor, *, seed: int | None = None, sample_ids: Tensor | None = None, start_step: int = 0
    ) -> Tensor:
        """Return exact samples at the times `ts`, [time, ..., unit], x0 included.

        Args:
            ts: increasing times [time], the first one that of x0.
            x0: [..., unit], state at ts[0]; its dtype is that of the result, its leading dimensions broadcast with A's.
            seed, sample_ids: identity of the noise; that of sample i in the k-th stride is a pure function of (seed,
                sample_ids[i], start_step + k).
            start_step: number of the first stride; a run continues with the last state, `start_step=len(ts) - 1`.

        Cost: O(unit^2) for each time and sample; 256 strides are computed in parallel.
        """
        strides, which = self._strides(ts)
        self._check_states("x0", x0)
        bits, start_step = seed_or_fresh(seed), count_of("start_step", start_step, 0)
        ids = sample_numbers(sample_ids, x0.shape[:-1], x0.device).reshape(-1)
        x0 = x0.expand(torch.broadcast_shapes(x0.shape, (*self.A.shape[:-2], self.num_units)))
        if len(ids) != x0.shape[:-1].numel():
            raise ValueError(f"x0: expected one start for each system, shape {tuple(x0.shape)}, and expand it yourself")
        differentiable = self._wants_gradient(x0, self.A, self.b, self.D, self.force)
        pieces = [x0.unsqueeze(0)]
        last: tuple[Tensor, _Path] | None = None
        for first in range(0, len(which), _CHUNK):
            distinct, index = which[first : first + _CHUNK].unique(return_inverse=True)
            if last is None or not torch.equal(last[0], distinct):
                last = distinct, self._path(strides[distinct], differentiable)
            noise = normals_like(x0, ids, bits, start_step + first, len(index))
            pieces.append(last[1](pieces[-1][-1].double(), noise.double(), index).to(x0.dtype))
        return torch.cat(pieces)

    def log_prob(self, ts: Tensor, xs: Tensor) -> Tensor:
        """Return the log density of a path given its first point, sum over strides of ln N(x_k; F x_{k-1} + s, S).

        Float64 [...], differentiable in A, b, D and xs, for increasing times `ts` [time] and states `xs`
        [time, ..., unit].

        Raises:
            ValueError: a stride with a singular covariance, which has no density.

        Cost: O(unit^3) for each distinct stride and O(unit^2) for each time and sample.
        """
        strides, which = self._strides(ts)
        self._check_states("xs", xs)
        if len(xs) != len(ts):
            raise ValueError(f"xs: expected one state for each of the {len(ts)} times, got {len(xs)}")
        laws, xs = self.transition(strides), xs.double()
        total = xs.new_zeros(())
        for k in range(len(strides)):
            at = (which == k).nonzero().squeeze(-1)
            law = LinearTransition(laws.decay[k], laws.shift[k], laws.covariance[k])
            total = total + law.log_prob(xs[at], xs[at + 1]).sum(0)
        return total

    def euler_maruyama(self, dt: float) -> LinearTransition:
        """Return the law of one Euler-Maruyama step x + (f - A x) dt + N(0, D dt).

        A mode of relaxation rate a has the stationary variance of the process times 2 / (2 - a dt).
        """
        shift = (self.force if self.b is None else apply(self.A, self.b)) * dt
        return LinearTransition(torch.eye(self.num_units).to(self.A) - self.A * dt, shift, self.D * dt)

    @property
    def modes(self) -> Modes | None:
        """Return the eigendecomposition; None if A or D needs a gradient or the eigenvectors form no basis."""
        return None if self._wants_gradient(self.A, self.D) else self._modes

    @cached_property
    def _modes(self) -> Modes | None:
        return decompose(self.A.detach(), self.D.detach())

    def _wants_gradient(self, *tensors: Tensor | None) -> bool:
        return torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in tensors)

    def _path(self, strides: Tensor, differentiable: bool) -> _Path:
        modes = self.modes
        if modes is None or differentiable:
            return _plain_path(self.transition(strides))
        if self._last is None or not torch.equal(self._last[0], strides):  # a run in pieces repeats its strides
            self._last = strides, modal_path(modes, self.transition(strides), strides)
        return self._last[1]

    def _by_modes(self, modes: Modes, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        values, vectors, inverse, noise = modes
        h_mode = h.squeeze(-1)
        decay = (vectors * torch.exp(-values * h_mode).unsqueeze(-2)) @ inverse
        force = apply(inverse, self.force.to(inverse.dtype))
        shift = apply(vectors, h_mode * decayed(values * h_mode) * force)
        if noise is None:
            spread = (h_mode * decayed(2 * values * h_mode)).unsqueeze(-2)
            return decay, shift, (vectors * spread) @ vectors.mT
        pairs = pair_sums(values)
        covariance = vectors @ (noise * h * decayed(pairs * h)) @ vectors.mT
        return decay.real, shift.real, covariance.real

    def _by_exponential(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return decay, shift and covariance by Van Loan's block exponential over h / 2^n and n doublings."""
        unit, A = self.num_units, self.A
        norm = (A.detach().abs().sum(-1).amax() * h.amax()).item()
        doublings = max(0, int(torch.tensor(max(norm, 1e-300)).log2().ceil().item()))
        h = h / 2.0**doublings
        D, force = torch.broadcast_tensors(self.D, A)[0], torch.broadcast_to(self.force, A.shape[:-1])
        exponential = torch.linalg.matrix_exp(block_matrix((-A, D), (torch.zeros_like(A), A.mT)) * h)
        decay = exponential[..., :unit, :unit]
        covariance = exponential[..., :unit, unit:] @ decay.mT
        column = block_matrix((-A, force.unsqueeze(-1)), (A.new_zeros(*A.shape[:-2], 1, unit + 1),))
        shift = torch.linalg.matrix_exp(column * h)[..., :unit, unit]
        step = LinearTransition(decay, shift, covariance)
        for _ in range(doublings):
            step = step.then(step)
        return step.decay, step.shift, step.covariance

    def _strides(self, ts: Tensor) -> tuple[Tensor, Tensor]:
        """Return the distinct strides of increasing times, up to rounding, and the number of each time's stride."""
        ts = torch.as_tensor(ts, device=self.A.device).detach()
        if ts.dim() != 1 or len(ts) < 2:
            raise ValueError(f"ts: expected at least two times in one dimension, got shape {tuple(ts.shape)}")
        rounding = 8 * torch.finfo(ts.dtype if ts.is_floating_point() else torch.float64).eps * ts.abs().max().item()
        strides = ts.double().diff()
        if not (strides > 0).all():
            raise ValueError("ts: expected increasing times")
        ordered, order = strides.sort()
        group = (ordered.diff(prepend=ordered[:1]) > rounding).cumsum(0)
        which = torch.empty_like(order).scatter_(0, order, group)
        count = torch.bincount(group)
        return ordered.new_zeros(len(count)).scatter_add_(0, group, ordered) / count, which

    def _check_states(self, name: str, x: Tensor) -> None:
        if x.dim() == 0 or x.shape[-1] != self.num_units:
            raise ValueError(f"{name}: expected shape (..., {self.num_units}), got {tuple(x.shape)}")
        if x.dtype not in (torch.float32, torch.float64):
            raise ValueError(f"{name}: expected float32 or float64, got {x.dtype}; write {name}.float()")


def _plain_path(laws: LinearTransition) -> _Path:
    """Return a function that computes the path stride by stride with matrices, differentiably."""
    root = laws.root()

    def path(x: Tensor, noise: Tensor, which: Tensor) -> Tensor:
        states = []
        for xi, k in zip(noise, which.tolist(), strict=True):
            x = apply(laws.decay[k], x) + laws.shift[k] + apply(root[k], xi)
            states.append(x)
        return torch.stack(states)

    return path
