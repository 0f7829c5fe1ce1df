"""One call of an operator in the form for kernels: contiguous tensors, 32-bit words, and room for the outputs."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Self

from torch import Tensor

from thermotorch.dynamics.operators.arguments import (
    PRECISIONS,
    Langevin,
    LangevinBackward,
    Splitting,
    SplittingBackward,
    Timeline,
)

SCHEMES = ("euler_maruyama", "heun", "leimkuhler_matthews", "alternating")  # of `thermotorch::langevin`
INTEGRATORS = (*SCHEMES, "splitting")
_WORD = 0xFFFFFFFF


class Launch(Timeline):
    """The common part of the runs of both operators.

    `precision` is that of the products' operands: "ieee" is float32, "tf32" keeps 11 significant bits of state and
    couplings, "bf16" 8; the state, the sums and all pointwise operations are always in float32. With rounded operands
    the noise comes from the special-function units, with normals equal to 1e-6 in the mean square.
    """

    @classmethod
    def of(cls, arguments: Timeline) -> Self:
        """Return the run with the operator's arguments, of any memory layout."""
        values: dict[str, Any] = {field.name: getattr(arguments, field.name) for field in fields(cls)}
        dense = {name: value.contiguous() for name, value in values.items() if isinstance(value, Tensor)}
        return cls(**values | dense)

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision: expected one of {', '.join(map(repr, PRECISIONS))}, got {self.precision!r}")
        if self.steps >= 1 << 31:
            raise ValueError(f"steps must be below 2^31 in one CUDA run, got {self.steps}; continue it with start_step")

    @property
    def kept_width(self) -> int:
        return self.units

    @property
    def fast_noise(self) -> bool:
        return self.precision != "ieee" and self.state.is_cuda

    @property
    def key(self) -> tuple[int, int]:
        """Return the seed's words, low first, as signed 32-bit numbers, whose type does not depend on their value."""
        seed = int(self.seed)
        return _signed(seed & _WORD), _signed((seed >> 32) & _WORD)

    @property
    def start(self) -> tuple[int, int]:
        return _signed(self.start_step & _WORD), _signed(self.start_step >> 32)

    @property
    def recording(self) -> tuple[int, int]:
        """Return the steps until the first recorded state and between two, both beyond the run if none is recorded."""
        if not self.num_recorded:
            return self.steps + 1, self.steps + 1
        return self.record - self.start_step % self.record, min(self.record, self.steps)


@dataclass(eq=False)
class Run(Launch, Langevin):
    """A call of `thermotorch::langevin`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.integrator not in SCHEMES:
            raise ValueError(f"integrator: expected one of {', '.join(map(repr, SCHEMES))}, got {self.integrator!r}")

    @cached_property
    def pieces(self) -> list[tuple[int, int, Tensor]]:
        """Return the couplings in the form of `Couplings.pieces`."""
        return list(zip(self.rows.tolist(), self.columns.tolist(), self.blocks, strict=True))

    @cached_property
    def matrix(self) -> Tensor:
        """Return the couplings as one dense matrix [unit, unit]."""
        return dense(self.pieces, self.state)


@dataclass(eq=False)
class BackwardRun(Run, LangevinBackward):
    """A call of `thermotorch::langevin_backward`."""


@dataclass(eq=False)
class SplittingRun(Launch, Splitting):
    """A call of `thermotorch::splitting`."""


@dataclass(eq=False)
class SplittingBackwardRun(SplittingRun, SplittingBackward):
    """A call of `thermotorch::splitting_backward`."""


def dense(pieces: Sequence[tuple[int, int, Tensor]], state: Tensor) -> Tensor:
    """Return the blocks as one matrix [unit, unit], zero elsewhere."""
    units = state.shape[-1]
    if len(pieces) == 1 and pieces[0][2].shape == (units, units):
        return pieces[0][2].contiguous()
    matrix = state.new_zeros(units, units)
    for row, column, block in pieces:
        matrix[row : row + block.shape[0], column : column + block.shape[1]] = block
    return matrix


def parts(matrix: Tensor, pieces: Sequence[tuple[int, int, Tensor]]) -> list[Tensor]:
    """Return the parts of a matrix [unit, unit] in the places of the blocks."""
    return [matrix[r : r + block.shape[0], c : c + block.shape[1]].clone() for r, c, block in pieces]


def strides(force: Tensor) -> tuple[int, int]:
    """Return the strides of a force [1 or steps, 1 or batch, unit] over steps and samples, 0 for a shared one."""
    times, samples, units = force.shape
    return samples * units if times > 1 else 0, units if samples > 1 else 0


def _signed(word: int) -> int:
    return word - (1 << 32) if word >= 1 << 31 else word
