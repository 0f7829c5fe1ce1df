"""The stochastic processing unit: a board of noisy RLC cells that inverts matrices and samples Gaussians.

A matrix is loaded as the Maxwell matrix of switched capacitors, C = c S A S, with S = diag(A)^-1/2 so that every cell
has the same capacitance c. Voltages then have the covariance kappa0 R0 / c (S A S)^-1, and reading them gives A^-1.

Capacitances are not negative, so the loaded matrix must be diagonally dominant; entries of either sign are couplings
with straight or reversed windings. Other matrices are rescaled once more, or refused: `linalg.inverse` runs them on an
ideal device. Arguments add the deviations of a board from its circuit diagram (tolerances of components, steps of
capacitor banks, band-limited noise, converters), all off by default.

Source: Melanson et al., Nature Communications 16, 3757 (2025). That board's component values are not published; the
defaults are catalogue parts that make cells of 50 kHz with quality factor 1.04 and 0.1 V of noise.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from thermotorch.arguments import count_of, number_of, real, seed_of
from thermotorch.dynamics.noise import Stream, normals, seed_or_fresh
from thermotorch.linear_algebra.board.circuit import Circuit, maxwell
from thermotorch.linear_algebra.board.mitigation import Settings, averaging, nearest
from thermotorch.linear_algebra.solve import prepare, scaled, second_moment

_BLOCKS = 20
_SWEEPS = 2000  # of the power iteration that looks for a diagonally dominant scaling


class BoardEstimate(NamedTuple):
    """Result of each of several boards, and the cost of one of them."""

    value: Tensor  # [board, unit, unit]
    stderr: Tensor  # standard error of sampling, the same shape
    seconds: float
    reads: int
    loads: int


class StochasticProcessingUnit(nn.Module):
    """A board of RLC cells.

    Args:
        cells: number of RLC cells.
        inductance: L, henry; a number, or one for each cell.
        resistance: R, ohm; a number, or one for each cell. Their mean calibrates the inverse.
        capacitance: c, farad, which represents a diagonal entry of one.
        noise: kappa0 of the injected current noise, ampere^2 second. At 330 ohm the default is a temperature of 7e12 K;
            the thermal noise of the resistors themselves is 0.6 microvolt.
        bandwidth: corner frequency of the noise, hertz; None for white noise.
        tolerance: standard deviation of the logarithm of each component, drawn once for each board.
        capacitor_step: resolution of the switched capacitors, farad; None for continuous ones.
        adc_bits: bits of the converter that reads a voltage; None for exact reads.
        adc_range: largest voltage that the converter reads, of either sign, volt; it clips beyond.
        sampling_interval: time between reads, second.
        warmup: time from switching on, or from loading, to the first read, second.
    """

    task = "invert"
    inductance: Tensor
    resistance: Tensor

    def __init__(
        self,
        cells: int = 8,
        inductance: float | Sequence[float] = 1e-3,
        resistance: float | Sequence[float] = 330.0,
        capacitance: float = 1e-8,
        noise: float = 3e-13,
        bandwidth: float | None = None,
        tolerance: float = 0.0,
        capacitor_step: float | None = None,
        adc_bits: int | None = None,
        adc_range: float = 0.5,
        sampling_interval: float = 2e-5,
        warmup: float = 5e-4,
    ) -> None:
        super().__init__()
        cells, adc_bits = count_of("cells", cells), None if adc_bits is None else count_of("adc_bits", adc_bits)
        self.capacitance = number_of("capacitance", capacitance, positive=True)
        self.noise = number_of("noise", noise, positive=True)
        self.bandwidth = None if bandwidth is None else number_of("bandwidth", bandwidth, positive=True)
        self.capacitor_step = (
            None if capacitor_step is None else number_of("capacitor_step", capacitor_step, positive=True)
        )
        self.adc_range = number_of("adc_range", adc_range, positive=True)
        self.sampling_interval = number_of("sampling_interval", sampling_interval, positive=True)
        self.warmup = number_of("warmup", warmup, positive=True)
        inductances, resistances = _plain("inductance", inductance), _plain("resistance", resistance)
        tolerance = number_of("tolerance", tolerance)
        if tolerance >= 0.5:
            raise ValueError(f"tolerance: expected 0 ... 0.5, a fraction of a component's value, got {tolerance}")
        self.cells, self.tolerance, self.adc_bits = cells, tolerance, adc_bits
        self.config = {
            "cells": cells, "inductance": inductances, "resistance": resistances, "tolerance": tolerance,
            "adc_bits": adc_bits, "capacitance": self.capacitance, "noise": self.noise, "bandwidth": self.bandwidth,
            "capacitor_step": self.capacitor_step, "adc_range": self.adc_range,
            "sampling_interval": self.sampling_interval, "warmup": self.warmup,
        }  # fmt: skip
        self.register_buffer("inductance", _per_cell("inductance", inductances, cells))
        self.register_buffer("resistance", _per_cell("resistance", resistances, cells))

    @property
    def joule(self) -> float:
        """Return kappa0 R0 with the mean resistance: twice the mean energy of a capacitor or an inductor."""
        return self.noise * self.resistance.mean().item()

    def scale(self, matrix: Tensor) -> Tensor:
        """Return S [unit] such that S A S can be built of capacitors, with the largest cell at c.

        Raises:
            ValueError: the matrix is asymmetric, indefinite or singular, larger than the board, or cannot be built.
        """
        if real("matrix", matrix).dim() != 2 or len(matrix) > self.cells:
            raise ValueError(f"matrix: expected at most {self.cells} x {self.cells} cells, got {tuple(matrix.shape)}")
        matrix = matrix.to(self.inductance)
        scale = prepare(matrix, None, "diagonal", True)
        off = (scaled(matrix, scale) - torch.eye(len(matrix)).to(matrix)).abs()
        if (off.sum(1) <= 1).all():
            return scale
        # The positive vector p of the largest eigenvalue r of the moduli makes every row of p A p equally dominant.
        p = torch.ones_like(scale)
        for _ in range(_SWEEPS):
            p = p + off @ p
            p = p / p.max()
        ratio = (off @ p / p).max().item()
        if ratio > 1:
            raise ValueError(
                f"matrix: no scaling makes it diagonally dominant (the moduli of its couplings have the eigenvalue "
                f"{ratio:.3g}, expected at most 1), so it cannot be built of capacitors; an ideal device takes it: "
                f"thermotorch.linear_algebra.solve.inverse(matrix)"
            )
        return scale * p

    def circuits(
        self, matrix: Tensor, *, boards: int = 1, first_board: int = 0, hardware_seed: int = 0, mitigate: bool = False
    ) -> tuple[list[Circuit], Tensor]:
        """Return the loaded boards, one `Circuit` of [board, ...] for each setting, and the weights of the settings.

        Args:
            matrix: A, [unit, unit]; it occupies the first cells, and the others stay unconnected.
            boards, first_board: number of boards, and number of the first in the production run.
            hardware_seed: seed of the production run; board k has the same component errors for every matrix.
            mitigate: True for the roundings that average to the matrix (see `mitigation.py`) instead of the nearest.
        """
        boards, first_board = count_of("boards", boards), count_of("first_board", first_board, 0)
        hardware_seed = seed_of(hardware_seed, "hardware_seed")
        scale = self.scale(matrix)
        target = self.capacitance * scaled(matrix.to(scale), scale)
        coupling = target.abs() - torch.diag(target.diagonal())
        own = (target.diagonal() - coupling.sum(1)).clamp_min(0.0)
        units, upper = len(matrix), torch.triu_indices(len(matrix), len(matrix), offset=1)
        values = torch.cat([own, coupling[upper[0], upper[1]]])
        if self.capacitor_step is None:
            settings = Settings(values.unsqueeze(0), torch.ones(1).to(values))
        else:
            settings = (averaging if mitigate else nearest)(values, self.capacitor_step)
        inductance, resistance, ground, between = self._component_errors(boards, first_board, hardware_seed, units)
        circuits = []
        for setting in settings.values:
            pairs = setting.new_zeros(units, units)
            pairs[upper[0], upper[1]] = setting[units:]
            if (setting[:units] + (pairs + pairs.mT).sum(1) == 0).any():
                raise ValueError(
                    f"capacitor_step: {self.capacitor_step:.2g} F leaves a cell without capacitance, since the "
                    f"smallest has {target.diagonal().min():.2g} F; use finer capacitors"
                )
            capacitance = maxwell(setting[:units] * ground, (pairs + pairs.mT) * between, target > 0)
            henry, ohm = self.inductance[:units] * inductance, self.resistance[:units] * resistance
            circuits.append(Circuit(henry, ohm, capacitance, self.noise, self.bandwidth))
        return circuits, settings.weights

    def _component_errors(self, boards: int, first: int, seed: int, units: int) -> tuple[Tensor, ...]:
        """Return factors of L, R, own [board, unit] and coupling capacitors [board, unit, unit]."""
        cells, ids = self.cells, first + torch.arange(boards, device=self.inductance.device)
        draws = normals(seed, ids, 0, 1, 3 * cells + cells * cells, Stream.HARDWARE, torch.float64)[0]
        single, pairs = draws[:, : 3 * cells].view(boards, 3, cells), draws[:, 3 * cells :].view(boards, cells, cells)
        pairs = pairs.triu(1) + pairs.triu(1).mT
        errors = torch.exp(self.tolerance * single[..., :units])
        return *errors.unbind(1), torch.exp(self.tolerance * pairs[:, :units, :units])

    def read(self, circuit: Circuit, reads: int, *, seed: int | None = None, start_step: int = 0) -> Iterator[Tensor]:
        """Yield converted voltages in pieces [read, board, cell], volt; see `Circuit.stream`."""
        yield from map(
            self.convert,
            circuit.stream(reads, self.sampling_interval, warmup=self.warmup, seed=seed, start_step=start_step),
        )

    def moments(
        self, circuit: Circuit, counts: Sequence[int], *, seed: int | None = None, start_step: int = 0
    ) -> Tensor:
        """Return sums of v v^T over the first counts[0] < counts[1] < ... reads: [count, board, cell, cell], volt^2."""
        total, done = torch.zeros_like(circuit.capacitance), 0
        sums: list[Tensor] = []
        for piece in self.read(circuit, counts[-1], seed=seed, start_step=start_step):
            edges = [count - done for count in counts if done < count < done + len(piece)]
            for part in piece.tensor_split(edges):
                total, done = total + second_moment(part) * len(part), done + len(part)
                if done == counts[len(sums)]:
                    sums.append(total)
        return torch.stack(sums)

    def convert(self, volts: Tensor) -> Tensor:
        """Return voltages rounded and clipped by the converter; its step q adds q^2 / 12 to a variance."""
        if self.adc_bits is None:
            return volts
        half = 2 ** (self.adc_bits - 1)
        step = self.adc_range / half
        return step * (volts / step).round().clamp(-half, half - 1)

    def calibration(self, matrix: Tensor) -> Tensor:
        """Return c S S^T / (kappa0 R0) [cell, cell], 1 / volt^2, which turns a covariance of voltages into A^-1."""
        scale = self.scale(matrix)
        return torch.outer(scale, scale) * (self.capacitance / self.joule)

    @torch.no_grad()
    def inverse(
        self,
        matrix: Tensor,
        *,
        reads: int = 20_000,
        boards: int = 1,
        first_board: int = 0,
        seed: int | None = None,
        hardware_seed: int = 0,
        mitigate: bool = False,
    ) -> BoardEstimate:
        """Return A^-1 from the covariance of the voltages. Further arguments as in `circuits`.

        Args:
            reads: number of reads of each board, divided among the settings; each takes at least two for each of its 20
                blocks.
            seed: seed of the noise; None draws one from torch's global generator.

        The standard error is that of sampling alone, without the errors of components.
        """
        reads, seed = count_of("reads", reads), int(seed_or_fresh(seed))
        circuits, weights = self.circuits(
            matrix, boards=boards, first_board=first_board, hardware_seed=hardware_seed, mitigate=mitigate
        )
        calibration, seconds, count = self.calibration(matrix), 0.0, 0
        total = variance = torch.zeros_like(calibration)
        for circuit, weight in zip(circuits, weights.tolist(), strict=True):
            size = max(2, round(weight * reads / _BLOCKS))
            ends = range(size, size * _BLOCKS + 1, size)
            sums = self.moments(circuit, ends, seed=seed, start_step=count)  # one setting after the other
            blocks = sums.diff(dim=0, prepend=torch.zeros_like(sums[:1])) / size
            total = total + weight * blocks.mean(0)
            variance = variance + weight**2 * blocks.var(0) / _BLOCKS
            seconds += self.warmup + size * _BLOCKS * self.sampling_interval
            count += size * _BLOCKS
        return BoardEstimate(calibration * total, calibration * variance.sqrt(), seconds, count, len(circuits))

    @torch.no_grad()
    def gaussian(
        self,
        num_samples: int,
        *,
        precision: Tensor | None = None,
        covariance: Tensor | None = None,
        seed: int | None = None,
        board: int = 0,
        hardware_seed: int = 0,
    ) -> Tensor:
        """Return successive reads as samples of a Gaussian around zero, [sample, unit].

        Args:
            num_samples: number of reads, `sampling_interval` apart.
            precision: precision matrix, [unit, unit].
            covariance: covariance matrix instead, inverted digitally in O(unit^3).
            seed: seed of the noise; None draws one from torch's global generator.
            board, hardware_seed: number of the board and seed of its production run.
        """
        num_samples = count_of("num_samples", num_samples)
        if precision is not None and covariance is not None:
            raise ValueError("precision, covariance: expected one of the two")
        if covariance is not None:
            prepare(covariance, None, None, True)
            precision = torch.linalg.inv(covariance.to(self.inductance))
            precision = 0.5 * (precision + precision.mT)
        if precision is None:
            raise ValueError("precision, covariance: expected one of the two")
        (circuit,), _ = self.circuits(precision, first_board=board, hardware_seed=hardware_seed)
        scale = self.scale(precision) * (self.capacitance / self.joule) ** 0.5
        return torch.cat(list(self.read(circuit, num_samples, seed=seed)))[:, 0] * scale

    def forward(self, matrix: Tensor) -> Tensor:
        """Return `inverse` from 20,000 reads of one board, [cell, cell]."""
        return self.inverse(matrix).value[0]


def _plain(name: str, value: float | Sequence[float]) -> float | list[float]:
    """Return a positive number, or one for each cell, as plain floats."""
    if isinstance(value, str) or not hasattr(value, "__iter__") or getattr(value, "ndim", 1) == 0:
        return number_of(name, value, positive=True)
    return [number_of(f"{name}[{cell}]", entry, positive=True) for cell, entry in enumerate(value)]


def _per_cell(name: str, value: float | list[float], cells: int) -> Tensor:
    tensor = torch.as_tensor(value, dtype=torch.float64)
    if tensor.shape not in ((), (cells,)):
        raise ValueError(f"{name}: expected a positive number, or one for each of {cells} cells, got {value}")
    return tensor.expand(cells).clone()
