"""The arguments of the operators, one record for each, from which schemas, fakes, gradients, FLOPs and kernels follow.

The records are not frozen, since each call creates one and a frozen record takes twenty times as long.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar, get_type_hints

import torch
from torch import Tensor

PRECISIONS = ("ieee", "tf32", "bf16")  # float32, 11 and 8 significant bits; state and sums are float32 always
_TORCH = {
    Tensor: "Tensor", Tensor | None: "Tensor?", Sequence[Tensor]: "Tensor[]",
    int: "SymInt", float: "float", bool: "bool", str: "str",
}  # fmt: skip


@dataclass(eq=False)
class Timeline:
    """A state, its samples, and steps with their noise, some of which are stored.

    Args:
        state: [batch, unit], float32.
        sample_ids: int64 [batch].
        steps, start_step: number of steps, and number of the first.
        seed: int64 scalar on the CPU, the bits of the 64-bit seed. A tensor, so that a graph can draw it.
        stream: see `noise.py`.
        record: interval between recorded states, those after each step k with (k + 1) % record == 0, k counted from
            step 0; 0 records none.
        keep: interval between states for the gradient, those after keep, 2 keep, ... < steps steps of this call; 0
            keeps none.
        precision: one of `PRECISIONS`, to which products with the couplings may round their operands.
    """

    state: Tensor
    sample_ids: Tensor
    steps: int
    seed: Tensor
    start_step: int
    stream: int
    record: int
    keep: int
    precision: str

    @property
    def batch(self) -> int:
        return self.state.shape[0]

    @property
    def units(self) -> int:
        return self.state.shape[1]

    @property
    def num_recorded(self) -> int:
        return (self.start_step + self.steps) // self.record - self.start_step // self.record if self.record else 0

    @property
    def kept_width(self) -> int:
        """Return the length of each kept state; on the CPU (native/run.h) it is odd and exceeds the number of units."""
        return self.units + 1 + self.units % 2 if self.state.device.type == "cpu" else self.units

    def outputs(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return tensors for the end state, the recorded states [record, batch, unit], and those for the gradient."""
        new, shape = self.state.new_empty, self.state.shape
        num_kept = max(0, (self.steps - 1) // self.keep) if self.keep else 0
        return new(shape), new(self.num_recorded, *shape), new(num_kept, self.batch, self.kept_width)


@dataclass(eq=False)
class Langevin(Timeline):
    """A run of a scheme that is based on forces.

        field(x)[:, c : c + m] = sum over blocks of x[:, r : r + n] @ block,   block [n, m] at (row r, column c)
        drift(x, k) = mobility * (drive[k] - bias - (2 j2 x + 3 j3 x^2 + 4 j4 x^3) - field(x))
        amplitude = sqrt(2 mobility temperature dt), noise as in `noise.py`, steps as in `integrators.py`

    Args:
        drive: [1 or steps, 1 or batch, unit], constant or one force for each step; None for none.
        blocks: couplings, see above, without overlaps; none for uncoupled units.
        rows, columns: first row and column of each block, int64 [block] on the CPU. Tensors, because versions of torch
            disagree about the gradient of a list of numbers.
        bias, j2, j3, j4, mobility: [unit]; mobility 0 holds a unit.
        dt, temperature: see `simulate`.
        integrator: name of the scheme.
    """

    drive: Tensor | None
    blocks: Sequence[Tensor]
    rows: Tensor
    columns: Tensor
    bias: Tensor
    j2: Tensor
    j3: Tensor
    j4: Tensor
    mobility: Tensor
    dt: float
    temperature: float
    integrator: str


@dataclass(eq=False)
class LangevinBackward(Langevin):
    """A run and the gradients of a scalar by its outputs. `keep == 0` is one segment that starts from `state`."""

    grad_state: Tensor
    grad_recorded: Tensor
    kept: Tensor
    needs_blocks: bool
    needs_drive: bool

    def drive_gradient(self) -> Tensor:
        """Return zeros in the shape of the drive, or an empty tensor if there is none or it is not needed."""
        return self.state.new_zeros((0,) if self.drive is None or not self.needs_drive else self.drive.shape)

    def gradients(self) -> list[Tensor]:
        """Return zeros for the gradients by state, bias, drive (see `drive_gradient`) and, if needed, blocks."""
        blocks = self.blocks if self.needs_blocks else ()
        return [*zeros(self.state, self.bias), self.drive_gradient(), *zeros(*blocks)]


@dataclass(eq=False)
class Splitting(Timeline):
    """A run of the splitting scheme, the couplings between two steps in one product.

        u = x + x @ half + half_push[0] at the start; then for each step
        z = decay N(u) + spread xi,   y = N(z),   N(x) = v / sqrt(1 + stiffness v^2) - shift,  v = x + shift
        x = y + y @ half + half_push[k]        where a state is recorded, and at the end
        u = y + y @ whole + whole_push[k]      otherwise; `keep` keeps these u

    Args:
        whole_push, half_push: [1 or steps, 1 or batch, unit], shapes alike.
        whole, half: [unit, unit], or both None without couplings.
        decay, spread, stiffness, shift: [unit].
    """

    whole_push: Tensor
    half_push: Tensor
    whole: Tensor | None
    half: Tensor | None
    decay: Tensor
    spread: Tensor
    stiffness: Tensor
    shift: Tensor

    @property
    def matrices(self) -> list[Tensor]:
        """Return [whole, half], or nothing without couplings."""
        return [] if self.whole is None or self.half is None else [self.whole, self.half]


@dataclass(eq=False)
class SplittingBackward(Splitting):
    """A run and the gradients of a scalar by its outputs."""

    grad_state: Tensor
    grad_recorded: Tensor
    kept: Tensor
    needs_couplings: bool

    def gradients(self) -> list[Tensor]:
        """Return zeros for the gradients by state, whole_push, half_push and, if needed, whole and half."""
        return zeros(self.state, self.whole_push, self.half_push, *(self.matrices if self.needs_couplings else ()))


@dataclass(eq=False)
class ReverseAction:
    """Noising paths and a potential, for the action of the time-reversed steps.

        residual = x - x' + dt (dV/dx)(x'),   action = |residual|^2 / (4 kT dt)

    Args:
        path: [time, batch, unit], float32; no gradient reaches it.
        blocks, rows, columns, bias, j2, j3, j4: the potential, as in `Langevin`.
        dt, temperature: time step and kT.
    """

    path: Tensor
    blocks: Sequence[Tensor]
    rows: Tensor
    columns: Tensor
    bias: Tensor
    j2: Tensor
    j3: Tensor
    j4: Tensor
    dt: float
    temperature: float

    def outputs(self) -> tuple[Tensor, Tensor]:
        """Return tensors for action [time - 1, batch] and residual [time - 1, batch, unit] of every step."""
        time, batch, units = self.path.shape
        return self.path.new_empty(time - 1, batch), self.path.new_empty(time - 1, batch, units)


@dataclass(eq=False)
class ReverseActionBackward:
    """Gradient of a scalar by the actions, with the residuals and the arguments that its backward pass needs."""

    grad_action: Tensor
    residual: Tensor
    path: Tensor
    blocks: Sequence[Tensor]
    rows: Tensor
    columns: Tensor
    bias: Tensor
    temperature: float

    def gradients(self) -> list[Tensor]:
        """Return zeros for the gradients by bias and blocks: residual / (2 kT), and its outer products with x'."""
        return zeros(self.bias, *self.blocks)


A = TypeVar("A")
R = TypeVar("R")


def define(name: str, arguments: Any, returns: str, fake: Callable[[Any], Any]) -> torch.library.CustomOpDef:
    """Return the operator `thermotorch::<name>`, whose arguments are the fields of a record and outputs like `fake`."""

    def missing(first: Tensor, *others: Any) -> None:
        raise NotImplementedError(f"thermotorch::{name} has no implementation for {first.device.type}")

    hints = get_type_hints(arguments)
    named = ", ".join(f"{_TORCH[hints[field.name]]} {field.name}" for field in fields(arguments))
    schema = f"({named}) -> {returns}"
    operator = torch.library.custom_op(f"thermotorch::{name}", missing, mutates_args=(), schema=schema)
    operator.register_fake(taking(arguments)(fake))
    return operator


def taking(arguments: type[A]) -> Callable[[Callable[[A], R]], Callable[..., R]]:
    """Return a decorator that turns a function of a record into one of its fields, as torch calls kernels and fakes."""

    def decorate(function: Callable[[A], R]) -> Callable[..., R]:
        def flat(*values: Any, **_: Any) -> R:
            return function(arguments(*values))

        return flat

    return decorate


def zeros(*tensors: Tensor) -> list[Tensor]:
    """Return contiguous zeros in the shapes of tensors."""
    return [torch.zeros_like(tensor, memory_format=torch.contiguous_format) for tensor in tensors]


def by_field(arguments: Any, **gradients: Any) -> tuple[Any, ...]:
    """Return gradients in the order of a record's fields, None for the others."""
    return tuple(gradients.get(field.name) for field in fields(arguments))
