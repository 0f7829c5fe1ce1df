"""ln det A from free energies: thermodynamic integration and Jarzynski's equality.

The device at energy x.A x / 2 has F = -kT ln integral exp(-x.A x / 2 kT) dx = kT/2 ln det A + const. With unit diagonal
A_1 = S A S and the path A_s = 1 + s (A_1 - 1) from uncoupled units,

    ln det A_1 = integral_0^1 <x.(A_1 - 1) x>_s / kT ds           thermodynamic integration, at rest at each s
               = -2 ln <exp(-W / kT)>                             Jarzynski (1997), switching at any speed

and ln det A = ln det A_1 - 2 sum ln S. Source: Aifer et al., npj Unconventional Computing 1, 13 (2024).
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from thermotorch.arguments import count_of, number_of
from thermotorch.dynamics.noise import seed_or_fresh
from thermotorch.linear_algebra.device import Device, Estimate, Readout, combine
from thermotorch.linear_algebra.solve import prepare, scaled


class Switching(NamedTuple):
    """An `Estimate` of ln det A, with the work of each switching and its dissipated part."""

    value: Tensor
    stderr: Tensor
    time: float
    reads: int
    loads: int
    work: Tensor  # [replica], in kT
    dissipated: float  # mean work beyond the free-energy difference, in kT; not negative but for sampling


def logdet_by_integration(
    A: Tensor,
    *,
    device: Device | None = None,
    readout: Readout | None = None,
    nodes: int = 16,
    seed: int | None = None,
    check: bool = True,
) -> Estimate:
    """Return ln det A by Gauss-Legendre quadrature of the mean coupling energy along the path.

    Args:
        A: symmetric positive definite, [unit, unit].
        device: simulated device.
        readout: read-out, whose reads are divided among the nodes.
        nodes: number of nodes of the quadrature. Its error falls as rho^(-2 nodes) with rho = z + sqrt(z^2 - 1),
            z = (1 + a) / (1 - a), a the smallest eigenvalue of S A S: 16 nodes give 1e-5 down to a = 0.02.
        seed, check: as in `linalg.solve`, with the same errors.
    """
    device, readout, seed = device or Device(), readout or Readout(), int(seed_or_fresh(seed))
    nodes = count_of("nodes", nodes)
    scale = prepare(A, readout, "diagonal", check)
    coupling = scaled(A, scale) - torch.eye(len(A)).to(A)
    share = replace(readout, reads=max(2 * readout.blocks, readout.reads // nodes))
    points, weights = np.polynomial.legendre.leggauss(nodes)
    total, time = A.new_zeros(share.blocks, share.replicas), 0.0
    for k, (point, weight) in enumerate(zip(points, weights, strict=True)):
        loaded = torch.eye(len(A)).to(A) + 0.5 * (1 + point) * coupling
        # Each node has its own replica numbers, so that no two nodes share noise.
        blocks, duration = device.average(
            loaded, lambda x: coupling_energy(x, coupling), share, seed=seed, first_sample=k * share.replicas
        )
        total, time = total + 0.5 * weight * blocks / device.temperature, time + duration
    value, stderr = combine(total)
    return Estimate(value - 2 * scale.log().sum(), stderr, time, nodes * share.reads * share.replicas, nodes)


def logdet_by_switching(
    A: Tensor,
    *,
    device: Device | None = None,
    replicas: int = 2000,
    stages: int = 32,
    duration: float = 10.0,
    seed: int | None = None,
    check: bool = True,
) -> Switching:
    """Return ln det A from the work of switching the couplings on, by Jarzynski's equality, at any speed.

    The couplings rise in `stages` jumps; work is done in a jump, x.(A_1 - 1) x / 2 per unit of s, and none between.

    Args:
        A: symmetric positive definite, [unit, unit].
        replicas: number of independent switchings.
        stages: number of jumps.
        duration: duration of one switching, in relaxation times of an uncoupled unit. Faster switching dissipates more,
            and rare switchings then dominate the average of exp(-W/kT): an estimate that dissipates more than a few kT
            is unreliable.
        device, seed, check: as in `linalg.solve`.

    The standard error and the first-order bias (removed) come from the spread of exp(-W/kT).
    """
    device = device or Device()
    replicas, stages = count_of("replicas", replicas, 2), count_of("stages", stages)
    duration, seed = number_of("duration", duration, positive=True), int(seed_or_fresh(seed))
    scale = prepare(A, None, "diagonal", check)
    coupling = scaled(A, scale) - torch.eye(len(A)).to(A)
    work, rest = A.new_zeros(replicas), 20.0  # relaxation times after which the uncoupled units have forgotten x = 0
    process, x = device.process(torch.eye(len(A)).to(A)), A.new_zeros(replicas, len(A) * (2 if device.inertia else 1))
    x = process(x, 1, rest, seed, 0)[-1]
    for stage in range(stages):
        position = x[:, : len(A)]
        work = work + 0.5 / stages * coupling_energy(position.unsqueeze(0), coupling) / device.temperature
        loaded = torch.eye(len(A)).to(A) + (stage + 1) / stages * coupling
        if stage + 1 < stages:
            x = device.process(loaded)(x, 1, duration / stages, seed, stage + 1)[-1]
    least = work.min()
    weight = torch.exp(least - work)
    relative = weight.var() / weight.mean() ** 2 / replicas
    free_energy = least - weight.mean().log() - 0.5 * relative  # kT; the logarithm of a noisy mean is low by half of it
    return Switching(
        2 * free_energy - 2 * scale.log().sum(),
        2 * relative.sqrt(),
        replicas * (rest + duration * (stages - 1) / stages),
        replicas * stages,
        stages,
        work,
        (work.mean() - free_energy).item(),
    )


def coupling_energy(x: Tensor, coupling: Tensor) -> Tensor:
    """Return the average of x.B x over reads x [read, replica, unit], [replica]."""
    return ((x @ coupling) * x).sum(-1).mean(0)
