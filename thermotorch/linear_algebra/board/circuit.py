"""Coupled RLC cells driven by current noise, in SI units: the physics of a stochastic processing unit.

    di = L^-1 v dt
    dv = -C^-1 (R^-1 v + i) dt + C^-1 sqrt(2 kappa0) N(0, dt)

i are the inductor currents, v the cell voltages, C the Maxwell matrix of the capacitors. In the charges q = C v the
friction is 1/R and the noise 2 kappa0, so that for equal resistances R0 the cells rest at the temperature kappa0 R0:

    v ~ N(0, kappa0 R0 C^-1),    i ~ N(0, kappa0 R0 L^-1),    independent.

For unequal ones the law is no Gibbs law, but solves a Lyapunov equation. Noise of finite bandwidth, low-pass filtered
at the angular frequency w, is one more linear unit per cell: d eta = -w eta dt + w sqrt(2 kappa0) N(0, dt).
C is the mass matrix of this dynamics. Algorithms on the board see voltages only.

Source: Melanson et al., Nature Communications 16, 3757 (2025), Eqs. 4-5.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from thermotorch.arguments import count_of, number_of
from thermotorch.dynamics.linear.ornstein_uhlenbeck import OrnsteinUhlenbeck
from thermotorch.dynamics.linear.transition import block_matrix
from thermotorch.dynamics.noise import seed_or_fresh
from thermotorch.units import CircuitUnits

_STATE_NUMBERS = 1 << 20  # numbers in a piece of a stream


@dataclass(frozen=True)
class Circuit:
    """Component values of one board or of several.

    Args:
        inductance: L, henry, [..., cell].
        resistance: R, ohm, [..., cell].
        capacitance: Maxwell matrix C, farad, [..., cell, cell], positive definite.
        noise: kappa0, ampere^2 second; the two-sided power spectral density of the current noise is 2 kappa0.
        bandwidth: corner frequency of the noise, hertz; None for white noise.
    """

    inductance: Tensor
    resistance: Tensor
    capacitance: Tensor
    noise: float
    bandwidth: float | None = None

    @property
    def cells(self) -> int:
        return self.capacitance.shape[-1]

    @cached_property
    def units(self) -> CircuitUnits:
        """Return the units of the average cell, at the temperature kappa0 x the mean resistance."""
        return CircuitUnits(
            self.inductance.mean().item(),
            self.capacitance.diagonal(dim1=-2, dim2=-1).mean().item(),
            self.noise * self.resistance.mean().item(),
        )

    @cached_property
    def process(self) -> OrnsteinUhlenbeck:
        """Return the process of the state (i, v), or (i, v, eta), in `units`: [..., 2 or 3 cells]."""
        units = self.units
        inverse = torch.linalg.inv(self.capacitance.double() / units.farad)
        zero, eye = torch.zeros_like(inverse), torch.eye(self.cells).to(inverse).expand_as(inverse)
        henry, ohm = self.inductance.double() / units.henry, self.resistance.double() / units.ohm
        noise = self.noise / (units.ampere**2 * units.second)
        drift = [[zero, -eye / henry.unsqueeze(-1)], [inverse, inverse / ohm.unsqueeze(-2)]]
        if self.bandwidth is None:
            shake = [[zero, zero], [zero, 2 * noise * inverse @ inverse.mT]]
            return OrnsteinUhlenbeck(block_matrix(*drift), D=block_matrix(*shake))
        rate = 2 * torch.pi * self.bandwidth * units.second
        drift = [[*drift[0], zero], [*drift[1], -inverse], [zero, zero, rate * eye]]
        shake = [[zero] * 3, [zero] * 3, [zero, zero, 2 * noise * rate**2 * eye]]
        return OrnsteinUhlenbeck(block_matrix(*drift), D=block_matrix(*shake))

    def stationary(self) -> tuple[Tensor, Tensor]:
        """Return the covariances [..., cell, cell] of the currents, ampere^2, and of the voltages, volt^2."""
        covariance, n = self.process.stationary()[1], self.cells
        return (
            covariance[..., :n, :n] * self.units.ampere**2,
            covariance[..., n : 2 * n, n : 2 * n] * self.units.volt**2,
        )

    def relaxation_time(self) -> float:
        """Return the relaxation time of the slowest mode, in seconds."""
        rates = torch.linalg.eigvals(self.process.A).real
        return self.units.second / rates.min().item()

    def stream(
        self, reads: int, interval: float, *, warmup: float | None = None, seed: int | None = None, start_step: int = 0
    ) -> Iterator[Tensor]:
        """Yield the exact voltages of every board, started at rest, in pieces [read, ..., cell], volt.

        Args:
            reads: number of reads.
            interval: time between reads, second.
            warmup: time before the first read, second; by default 20 relaxation times.
            seed: seed of the noise; None draws one from torch's global generator. Board b, counted over the leading
                dimensions, has the noise of sample b.
            start_step: number of the first noise step; there is one for each read.
        """
        reads, start_step = count_of("reads", reads), count_of("start_step", start_step, 0)
        interval, seed = number_of("interval", interval, positive=True), int(seed_or_fresh(seed))
        warmup = 20 * self.relaxation_time() if warmup is None else number_of("warmup", warmup, positive=True)
        x = self.process.A.new_zeros(*self.capacitance.shape[:-2], self.process.num_units)
        step, second = start_step, self.units.second
        times = torch.tensor([0.0, warmup / second], dtype=torch.float64)
        while step < start_step + reads:
            path = self.process.sample(times, x, seed=seed, start_step=step)[1:]
            yield path[..., self.cells : 2 * self.cells] * self.units.volt
            x, step = path[-1], step + len(path)
            count = min(start_step + reads - step, max(1, _STATE_NUMBERS // x.numel()))
            times = torch.arange(count + 1, dtype=torch.float64) * (interval / second)

    def voltages(
        self, reads: int, interval: float, *, warmup: float | None = None, seed: int | None = None, start_step: int = 0
    ) -> Tensor:
        """Return the pieces of `stream` together: [read, ..., cell], volt."""
        return torch.cat(list(self.stream(reads, interval, warmup=warmup, seed=seed, start_step=start_step)))


def maxwell(own: Tensor, coupling: Tensor, reversed_winding: Tensor | None = None) -> Tensor:
    """Return the Maxwell matrix of capacitors: own plus coupling ones on the diagonal, minus coupling ones beside it.

    Args:
        own: capacitance of each cell to ground, farad, [..., cell], not negative.
        coupling: capacitances between cells, farad, symmetric [..., cell, cell], not negative; its diagonal is ignored.
        reversed_winding: pairs coupled through a transformer of reversed winding, bool [..., cell, cell]: their energy
            is c (v_a + v_b)^2 / 2 instead of c (v_a - v_b)^2 / 2, and their entry positive. None: no pair.
    """
    off = coupling * (1 - torch.eye(coupling.shape[-1]).to(coupling))
    sign = -1.0 if reversed_winding is None else torch.where(reversed_winding, 1.0, -1.0).to(coupling)
    return torch.diag_embed(own + off.sum(-1)) + sign * off
