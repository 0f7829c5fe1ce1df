"""One call of the operator as the kernels want it: contiguous tensors, 32-bit words, and what it will return."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from torch import Tensor

from thermotorch.dynamics.operators.langevin import INTEGRATORS, PRECISIONS

_WORD = 0xFFFFFFFF


class Timeline:
    """What the operators have in common: a state, samples, and steps with their noise, some of them stored.

    `precision` is that of the products' operands: "ieee" is float32, "tf32" keeps 11 significant bits of state and
    couplings, "bf16" 8; the state, the sums and everything pointwise are float32 always. Rounded operands also bring
    the noise from the special-function units, whose normals are equal to 1e-6 in the mean square.
    """

    state: Tensor
    sample_ids: Tensor
    steps: int
    seed: int
    start_step: int
    stream: int
    record: int
    keep: int
    precision: str

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision: expected one of {', '.join(map(repr, PRECISIONS))}, got {self.precision!r}")
        if self.steps >= 1 << 31:
            raise ValueError(f"steps must be below 2^31 in one CUDA run, got {self.steps}; continue it with start_step")

    @property
    def batch(self) -> int:
        return self.state.shape[0]

    @property
    def units(self) -> int:
        return self.state.shape[1]

    @property
    def fast_noise(self) -> bool:
        return self.precision != "ieee" and self.state.is_cuda

    @property
    def key(self) -> tuple[int, int]:
        """The seed's words, low first, as signed 32-bit numbers, so that their type never depends on their value."""
        return _signed(self.seed & _WORD), _signed((self.seed >> 32) & _WORD)

    @property
    def start(self) -> tuple[int, int]:
        return _signed(self.start_step & _WORD), _signed(self.start_step >> 32)

    @property
    def num_recorded(self) -> int:
        return (self.start_step + self.steps) // self.record - self.start_step // self.record if self.record else 0

    @property
    def num_kept(self) -> int:
        return max(0, (self.steps - 1) // self.keep) if self.keep else 0

    @property
    def recording(self) -> tuple[int, int]:
        """Steps until the first recorded state and between two; as many as there are when they are never reached."""
        if not self.num_recorded:
            return self.steps + 1, self.steps + 1
        return self.record - self.start_step % self.record, min(self.record, self.steps)

    def outputs(self) -> tuple[Tensor, Tensor, Tensor]:
        shape = self.state.shape
        new = self.state.new_empty
        return new(shape), new(self.num_recorded, *shape), new(self.num_kept, *shape)


@dataclass(frozen=True)
class Run(Timeline):
    """The arguments of `thermotorch::langevin`, see `dynamics/op.py`."""

    state: Tensor
    blocks: Sequence[Tensor]
    rows: Sequence[int]
    columns: Sequence[int]
    bias: Tensor
    j2: Tensor
    j3: Tensor
    j4: Tensor
    mobility: Tensor
    drive: Tensor | None
    sample_ids: Tensor
    steps: int
    dt: float
    temperature: float
    seed: int
    start_step: int
    stream: int
    integrator: str
    record: int
    keep: int
    precision: str

    @classmethod
    def of(cls, state: Tensor, blocks: Sequence[Tensor], rows, columns, *others) -> "Run":
        """From the operator's arguments, in whatever memory layout they come."""
        dense = (other.contiguous() if isinstance(other, Tensor) else other for other in others)
        run = cls(state.contiguous(), list(blocks), rows.tolist(), columns.tolist(), *dense)
        return replace(run, seed=int(run.seed))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.integrator not in INTEGRATORS:
            expected = ", ".join(map(repr, INTEGRATORS))
            raise ValueError(f"integrator: expected one of {expected} got {self.integrator!r}")

    @property
    def constants(self) -> tuple:
        """What is compiled into a captured graph."""
        return self.integrator, self.precision, self.dt, self.temperature, self.stream

    @cached_property
    def matrix(self) -> Tensor:
        """The couplings as one dense matrix [unit, unit]."""
        return dense(self.blocks, self.rows, self.columns, self.state)

    @property
    def drive_strides(self) -> tuple[int, int]:
        return (0, 0) if self.drive is None else strides(self.drive)


@dataclass(frozen=True)
class SplittingRun(Timeline):
    """The arguments of `thermotorch::splitting`, see `dynamics/op.py`."""

    state: Tensor
    whole: Tensor | None
    half: Tensor | None
    whole_push: Tensor
    half_push: Tensor
    decay: Tensor
    spread: Tensor
    stiffness: Tensor
    shift: Tensor
    sample_ids: Tensor
    steps: int
    seed: int
    start_step: int
    stream: int
    record: int
    keep: int
    precision: str

    @classmethod
    def of(cls, *arguments) -> "SplittingRun":
        run = cls(*(value.contiguous() if isinstance(value, Tensor) else value for value in arguments))
        return replace(run, seed=int(run.seed))


def dense(blocks: Sequence[Tensor], rows: Sequence[int], columns: Sequence[int], state: Tensor) -> Tensor:
    """Blocks as one matrix [unit, unit], zero elsewhere."""
    units = state.shape[-1]
    if len(blocks) == 1 and blocks[0].shape == (units, units):
        return blocks[0].contiguous()
    matrix = state.new_zeros(units, units)
    for block, row, column in zip(blocks, rows, columns, strict=True):
        matrix[row : row + block.shape[0], column : column + block.shape[1]] = block
    return matrix


def pieces(matrix: Tensor, blocks: Sequence[Tensor], rows: Sequence[int], columns: Sequence[int]) -> list[Tensor]:
    """What a matrix [unit, unit] has in the place of each block."""
    places = zip(blocks, rows, columns, strict=True)
    return [matrix[r : r + block.shape[0], c : c + block.shape[1]].clone() for block, r, c in places]


def strides(force: Tensor) -> tuple[int, int]:
    """Elements from one step's and one sample's force [1 or steps, 1 or batch, unit] to the next,
    0 where it is the same.
    """
    times, samples, units = force.shape
    return samples * units if times > 1 else 0, units if samples > 1 else 0


def _signed(word: int) -> int:
    return word - (1 << 32) if word >= 1 << 31 else word
