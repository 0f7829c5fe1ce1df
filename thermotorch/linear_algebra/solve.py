"""Linear algebra by thermal noise: linear systems, inverses, Lyapunov equations and exponentials on a noisy device.

| problem | load | read-out |
| --- | --- | --- |
| A x = b | A, force b | the mean |
| A^-1 | A | covariance / kT |
| A X + X A^T = Q | A, noise matrix Q | covariance / kT x 1/2 |
| exp(A) | a - A, noise matrix of its symmetric part | correlation one time unit apart, times exp(a) |
| ln det A | a path from the identity to A | energies: `determinant.py` |

Each answer consists of reads of the device and O(unit^2) arithmetic on them, never of the digital answer. The check of
the matrix costs one digital eigendecomposition, which does not count as the device's; with `check=False` a matrix that
cannot relax fails during the run. Answers have standard errors, device time, reads and matrix loads.

Sources: Aifer et al., npj Unconventional Computing 1, 13 (2024); for the exponential, the thermox library.
"""

from dataclasses import replace
from math import exp

import torch
from torch import Tensor

from thermotorch.arguments import real
from thermotorch.linear_algebra.device import Device, Estimate, Readout, RelaxationWarning, check_square, combine

__all__ = ["Device", "Estimate", "Readout", "RelaxationWarning", "expm", "inverse", "lyapunov", "solve"]

_BLOCK_RELAXATIONS = 3.0  # shortest block of reads, in slowest relaxation times
_ROUNDING = 100  # asymmetry and eigenvalues that count as zero, in machine epsilons


def solve(
    A: Tensor,
    b: Tensor,
    *,
    device: Device | None = None,
    readout: Readout | None = None,
    seed: int | None = None,
    precondition: str | None = "diagonal",
    check: bool = True,
) -> Estimate:
    """Return x [unit] with A x = b, the mean of the device under the force b.

    Args:
        A: symmetric positive definite, [unit, unit].
        b: [unit].
        device: simulated device.
        readout: read-out of the device.
        seed: seed of the thermal noise; None draws one from torch's global generator.
        precondition: "diagonal" loads S A S with unit diagonal, S = diag(A)^-1/2, and scales the answer back in O(unit)
            digital operations, so that the spread of the diagonal does not add to the condition number. None loads A.
        check: True to refuse a bad matrix before the run.

    Raises:
        ValueError: A is asymmetric, indefinite or singular, or so ill-conditioned that its slowest mode does not relax
            within a block of this read-out.

    The standard error of a mode of rate a after N independent reads is sqrt(kT / (a N)), whatever |b|.
    """
    device, readout = device or Device(), readout or Readout()
    scale = prepare(A, readout, precondition, check)
    if real("b", b).shape != (len(A),):
        raise ValueError(f"b: expected shape ({len(A)},), got {tuple(b.shape)}")
    loaded = scaled(A, scale)
    blocks, time = device.average(loaded, lambda x: x.mean(0), readout, force=b * scale, seed=seed)
    value, stderr = combine(blocks, scale)
    return Estimate(value, stderr, time, readout.reads * readout.replicas, 1)


def inverse(
    A: Tensor,
    *,
    device: Device | None = None,
    readout: Readout | None = None,
    seed: int | None = None,
    precondition: str | None = "diagonal",
    check: bool = True,
) -> Estimate:
    """Return A^-1 [unit, unit], the covariance of the device over kT. Arguments and errors as in `solve`.

    The relative Frobenius error after N independent reads is about sqrt(unit / N) x |A^-1|_tr / (sqrt(unit) |A^-1|_F),
    whatever the temperature. Cost: O(unit^2) digital operations for each read.
    """
    device, readout = device or Device(), readout or Readout()
    scale = prepare(A, readout, precondition, check)
    blocks, time = device.average(scaled(A, scale), second_moment, readout, seed=seed)
    value, stderr = combine(blocks / device.temperature, torch.outer(scale, scale))
    return Estimate(value, stderr, time, readout.reads * readout.replicas, 1)


def lyapunov(
    A: Tensor,
    Q: Tensor,
    *,
    device: Device | None = None,
    readout: Readout | None = None,
    seed: int | None = None,
    check: bool = True,
) -> Estimate:
    """Return X [unit, unit] with A X + X A^T = Q, the covariance of the device under noise of covariance Q.

    Args:
        A: drift whose modes all relax; an asymmetric one needs a device with one-way couplings.
        Q: symmetric positive semi-definite, [unit, unit].
        device, readout, seed, check: as in `solve`.
    """
    device, readout = device or Device(), readout or Readout()
    check_square("A", A)
    check_symmetric("Q", Q, "a noise covariance")
    if torch.linalg.eigvalsh(Q.double()).min() < -_tiny(Q):
        raise ValueError(
            "Q is indefinite: no noise has it as its covariance; write it as a difference of two that are not"
        )
    if check:
        rates = torch.linalg.eigvals(A.double()).real
        _check_rates(rates.min().item(), rates.max().item(), A, readout, "does not relax: it has an eigenvalue of")
    blocks, time = device.average(A, second_moment, readout, noise=Q, seed=seed)
    value, stderr = combine(blocks / (2 * device.temperature))
    return Estimate(value, stderr, time, readout.reads * readout.replicas, 1)


def expm(
    A: Tensor, *, device: Device | None = None, readout: Readout | None = None, seed: int | None = None
) -> Estimate:
    """Return exp(A) [unit, unit], the correlation of the device with itself one unit of time later.

    The load is B = a - A with the noise matrix of B's symmetric part, so that the stationary covariance is kT and the
    correlation over a time 1 is kT exp(-B). The shift a, from Gershgorin's circles in O(unit^2), makes the noise matrix
    positive. It multiplies answer and error by exp(a), which rules out matrices of large norm.

    Args:
        A: any square matrix, [unit, unit].
        device, seed: as in `solve`.
        readout: read-out of the device; its interval is always one unit of time.
    """
    device, readout = device or Device(), readout or Readout()
    check_square("A", A)
    part = 0.5 * (A + A.mT)
    reach = part.diagonal() + part.abs().sum(-1) - part.diagonal().abs()
    shift = reach.max().item() + 0.5
    drift = shift * torch.eye(len(A)).to(A) - A
    rate = drift.diagonal().mean().item()
    readout = replace(readout, interval=rate)
    blocks, time = device.average(drift, _next_moment, readout, noise=0.5 * (drift + drift.mT), seed=seed)
    value, stderr = combine(blocks / device.temperature, exp(shift))
    return Estimate(value, stderr, time, readout.reads * readout.replicas, 1)


def second_moment(x: Tensor) -> Tensor:
    """Return the average of x x^T over reads [read, replica, unit] of a process around zero, [replica, unit, unit]."""
    x = x.transpose(0, 1)
    return x.mT @ x / x.shape[1]


def _next_moment(x: Tensor) -> Tensor:
    """Return the average of x(k+1) x(k)^T over reads [read, replica, unit], [replica, unit, unit]."""
    x = x.transpose(0, 1)
    return x[:, 1:].mT @ x[:, :-1] / (x.shape[1] - 1)


def scaled(A: Tensor, scale: Tensor) -> Tensor:
    """Return S A S for S = diag(scale)."""
    return scale[:, None] * A * scale


def prepare(A: Tensor, readout: Readout | None, precondition: str | None, check: bool) -> Tensor:
    """Return the scale S [unit] of `precondition`; refuse a matrix that does not fit a device and its read-out."""
    if precondition not in ("diagonal", None):
        raise ValueError(f"precondition: expected 'diagonal' or None, got {precondition!r}")
    check_square("A", A)
    instead = "; write (A.T @ A, A.T @ b), whose condition number is the square"
    check_symmetric("A", A, "a device of springs or capacitors", instead)
    if not (A.diagonal() > 0).all():
        raise ValueError(
            f"A is indefinite: entry {int(A.diagonal().argmin())} of its diagonal is {A.diagonal().min():.3g}, "
            "expected all positive"
        )
    scale = A.diagonal().rsqrt() if precondition else torch.ones_like(A.diagonal())
    if check:
        loaded = scaled(A, scale)
        rates = torch.linalg.eigvalsh(loaded.double())
        _check_rates(rates[0].item(), rates[-1].item(), loaded, readout, "is indefinite: it has an eigenvalue of")
    return scale


def _check_rates(slowest: float, fastest: float, loaded: Tensor, readout: Readout | None, indefinite: str) -> None:
    """Refuse a matrix whose slowest mode never relaxes, or not within a block of reads."""
    if slowest < -_tiny(loaded):
        raise ValueError(f"A {indefinite} {slowest:.3g}, so the device would run away; expected all positive")
    if slowest <= _tiny(loaded):
        raise ValueError(
            f"A is singular: its smallest eigenvalue {slowest:.1e} is rounding beside {fastest:.3g}, so one mode never "
            f"settles; add a ridge, A + r I"
        )
    if readout is None:
        return
    block = readout.reads // readout.blocks * readout.interval / loaded.diagonal().mean().item()
    if block * slowest < _BLOCK_RELAXATIONS:
        needed = int(readout.reads * _BLOCK_RELAXATIONS / (block * slowest)) + 1
        raise ValueError(
            f"A is ill-conditioned for this read-out: condition number {fastest / slowest:.2g} as loaded, and its "
            f"slowest mode relaxes in {1 / slowest:.2g} units of time while a block of reads lasts {block:.2g}; write "
            f"readout=Readout(reads={needed}) or a longer interval, or a better-conditioned matrix"
        )


def _tiny(A: Tensor) -> float:
    return _ROUNDING * torch.finfo(A.dtype).eps * A.abs().max().item()


def check_symmetric(name: str, A: Tensor, what: str, instead: str = "") -> None:
    """Refuse an asymmetric matrix, since `what` is symmetric; the message ends with `instead`."""
    check_square(name, A)
    difference = (A - A.mT).abs().max().item()
    if difference > _tiny(A):
        raise ValueError(
            f"{name} is asymmetric: its entries differ from those of {name}.T by up to {difference:.2g}, "
            f"and {what} is symmetric{instead}"
        )
