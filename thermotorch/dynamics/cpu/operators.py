"""The operators on the CPU: tensors as pointers into the library that `build.py` compiles."""

import ctypes
from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from thermotorch.dynamics.alternating import second_colour
from thermotorch.dynamics.cpu import build
from thermotorch.dynamics.cpu.forks import threads
from thermotorch.dynamics.operators import langevin as op
from thermotorch.dynamics.operators import path_weights as weights_op
from thermotorch.dynamics.operators import reverse_action as action_op
from thermotorch.dynamics.operators.arguments import (
    PRECISIONS,
    Langevin,
    LangevinBackward,
    Splitting,
    SplittingBackward,
    Timeline,
    taking,
)

INTEGRATORS = ("euler_maruyama", "heun", "leimkuhler_matthews", "alternating", "splitting")
SUMMED = ("euler_maruyama", "alternating")  # the run itself can add up path weights


@cache
def unavailable() -> str | None:
    """Return why the library cannot be had on this machine, or None; tried once in a process."""
    try:
        library()
    except build.CompilerUnavailable as error:
        return str(error)
    return None


def peak_flops() -> float | None:
    """Return float32 operations per second of all threads that only multiply and add; None without the library."""
    if unavailable() is not None:
        return None
    measure = library().thermotorch_peak_flops
    measure.restype = ctypes.c_double
    return float(measure()) * threads()


_Long, _Pointer = ctypes.c_int64, ctypes.c_void_p
_ORIGIN = torch.zeros(2, dtype=torch.int64)  # both matrices of the splitting scheme cover all units


class _Block(ctypes.Structure):
    _fields_ = [("data", _Pointer)] + [
        (name, _Long) for name in ("row", "column", "rows", "columns", "row_stride", "column_stride")
    ]


class _Run(ctypes.Structure):
    """`Run` of native/run.h."""

    _fields_ = [
        *((name, _Long) for name in ("batch", "units", "steps", "start_step", "stream", "record", "keep", "threads")),
        ("precision", _Long),
        ("block_count", _Long),
        ("seed", ctypes.c_uint64),
        ("blocks", _Pointer),
        *((name, _Pointer) for name in ("ids", "state", "end", "recorded", "kept")),
        *((name, _Pointer) for name in ("grad_end", "grad_recorded", "grad_state", "grad_blocks")),
    ]


class _Force(ctypes.Structure):
    _fields_ = [("data", _Pointer), ("steps", _Long), ("rows", _Long)]


class _Langevin(ctypes.Structure):
    """`Langevin` of native/langevin.h."""

    _fields_ = [
        ("run", _Run),
        ("integrator", _Long),
        ("dt", ctypes.c_double),
        ("temperature", ctypes.c_double),
        *((name, _Pointer) for name in ("bias", "j2", "j3", "j4", "mobility")),
        ("drive", _Force),
        ("grad_bias", _Pointer),
        ("grad_drive", _Pointer),
        ("colour", _Pointer),
    ]


class _Splitting(ctypes.Structure):
    """`Splitting` of native/splitting.h."""

    _fields_ = [
        ("run", _Run),
        *((name, _Pointer) for name in ("decay", "spread", "stiffness", "shift")),
        ("whole_push", _Force),
        ("half_push", _Force),
        ("grad_whole_push", _Pointer),
        ("grad_half_push", _Pointer),
    ]


class _PathWeights(ctypes.Structure):
    """`PathWeights` of native/weights.h."""

    _fields_ = [("langevin", _Langevin), ("sums", _Pointer)]


class _Action(ctypes.Structure):
    """`Action` of native/action.h."""

    _fields_ = [
        ("run", _Run),
        ("samples", _Long),
        ("dt", ctypes.c_double),
        ("temperature", ctypes.c_double),
        *((name, _Pointer) for name in ("bias", "j2", "j3", "j4", "action", "grad_bias")),
    ]


@cache
def library() -> ctypes.CDLL:
    """Return the compiled library, whose structures have the sizes of those above.

    Raises:
        CompilerUnavailable: there is no compiler, or it failed.
        ImportError: a structure here and its C++ source differ.
    """
    loaded = build.library()
    for structure in (_Block, _Run, _Force, _Langevin, _Splitting, _PathWeights, _Action):
        name = structure.__name__[1:]
        if (size := loaded.thermotorch_size(name.encode())) != ctypes.sizeof(structure):
            raise ImportError(f"{name}: {size} bytes in native/, {ctypes.sizeof(structure)} in {__name__}")
    return loaded


@cache
def _number_of(integrator: str) -> int:
    """Return the number that native/langevin.h gives to a scheme.

    Raises:
        ValueError: it has no such scheme.
    """
    number: int = library().thermotorch_integrator(integrator.encode())
    if number < 0:
        raise ValueError(f"integrator: the CPU backend does not have {integrator!r}")
    return number


def _zeros(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [torch.zeros_like(tensor, memory_format=torch.contiguous_format) for tensor in tensors]


class _Arguments:
    """Keeps alive what the pointers of one call point to."""

    def __init__(self) -> None:
        self.alive: list[object] = []

    def pointer(self, tensor: Tensor | None) -> int | None:
        if tensor is None:
            return None
        tensor = tensor.detach().contiguous()  # outputs are contiguous, so it is they that are written to
        self.alive.append(tensor)
        return tensor.data_ptr()

    def blocks(self, tensors: Sequence[Tensor], rows: Tensor, columns: Tensor) -> int:
        array = (_Block * max(1, len(tensors)))()
        for here, tensor, row, column in zip(array, tensors, rows.tolist(), columns.tolist(), strict=False):
            here.data, here.row, here.column = tensor.data_ptr(), row, column
            here.rows, here.columns = tensor.shape
            here.row_stride, here.column_stride = tensor.stride()
        self.alive += [array, *tensors]
        return ctypes.addressof(array)

    def force(self, drive: Tensor | None) -> _Force:
        return _Force(self.pointer(drive), *((0, 0) if drive is None else drive.shape[:2]))

    def run(
        self, a: Timeline, blocks: Sequence[Tensor], rows: Tensor, columns: Tensor, tensors: Sequence[Tensor | None],
        of_blocks: Sequence[Tensor] = (),
    ) -> _Run:  # fmt: skip
        """A run; `tensors` are those of `_Run` that follow `state`."""
        run = _Run(
            a.batch, a.units, a.steps, a.start_step, a.stream, a.record, a.keep, threads(),
            PRECISIONS.index(a.precision), len(blocks), int(a.seed) % (1 << 64), self.blocks(blocks, rows, columns),
            *map(self.pointer, (a.sample_ids, a.state, *tensors)),
        )  # fmt: skip
        if of_blocks:
            run.grad_blocks = self.blocks(of_blocks, rows, columns)
        return run

    def langevin(self, a: Langevin, tensors: Sequence[Tensor | None], of_blocks: Sequence[Tensor] = ()) -> _Langevin:
        run = self.run(a, a.blocks, a.rows, a.columns, tensors, of_blocks)
        units = map(self.pointer, (a.bias, a.j2, a.j3, a.j4, a.mobility))
        found = _Langevin(run, _number_of(a.integrator), a.dt, a.temperature, *units, self.force(a.drive))
        if a.integrator == "alternating":
            pieces = zip(a.rows.tolist(), a.columns.tolist(), a.blocks, strict=True)
            found.colour = self.pointer(second_colour(pieces, a.units))
        return found

    def splitting(
        self, a: Splitting, tensors: Sequence[Tensor | None], of_matrices: Sequence[Tensor] = ()
    ) -> _Splitting:
        run = self.run(a, a.matrices, _ORIGIN, _ORIGIN, tensors, of_matrices)
        units = map(self.pointer, (a.decay, a.spread, a.stiffness, a.shift))
        return _Splitting(run, *units, self.force(a.whole_push), self.force(a.half_push))


def _call(name: str, argument: ctypes.Structure) -> None:
    if getattr(library(), name)(ctypes.byref(argument)):
        raise MemoryError(f"{name} ran out of memory")


def products(pieces: Sequence[tuple[int, int, Tensor]], state: Tensor, times: int, precision: str = "ieee") -> Tensor:
    """The field of `state`, [batch, unit], computed `times` times over: the least time of a run of so many steps.

    With the packed blocks, tiles and threads of such a run. Needs the library.
    """
    a, end = _Arguments(), torch.empty_like(state)
    blocks, rows, columns = op.placed(pieces)
    run = _Run(batch=len(state), units=state.shape[1], steps=times, threads=threads(),
               precision=PRECISIONS.index(precision), block_count=len(pieces),
               blocks=a.blocks([block.detach() for block in blocks], rows, columns),
               state=a.pointer(state), end=a.pointer(end))  # fmt: skip
    _call("thermotorch_products", _Langevin(run))
    return end


@op.langevin.register_kernel("cpu")
@taking(Langevin)
def _langevin(a: Langevin) -> tuple[Tensor, Tensor, Tensor]:
    outputs = a.outputs()
    if a.state.numel():
        alive = _Arguments()
        _call("thermotorch_langevin", alive.langevin(a, outputs))
    return outputs


@op.langevin_backward.register_kernel("cpu")
@taking(LangevinBackward)
def _langevin_backward(a: LangevinBackward) -> list[Tensor]:
    of_state, of_bias = torch.empty_like(a.state, memory_format=torch.contiguous_format), *_zeros([a.bias])
    of_drive = None if a.drive is None or not a.needs_drive else _zeros([a.drive])[0]
    of_blocks = _zeros(a.blocks) if a.needs_blocks else []
    if a.state.numel():
        alive = _Arguments()
        run = alive.langevin(a, (None, None, a.kept, a.grad_state, a.grad_recorded, of_state), of_blocks)
        run.grad_bias, run.grad_drive = alive.pointer(of_bias), alive.pointer(of_drive)
        _call("thermotorch_langevin_backward", run)
    return [of_state, of_bias, a.state.new_empty(0) if of_drive is None else of_drive, *of_blocks]


@op.splitting.register_kernel("cpu")
@taking(Splitting)
def _splitting(a: Splitting) -> tuple[Tensor, Tensor, Tensor]:
    outputs = a.outputs()
    if a.state.numel():
        alive = _Arguments()
        _call("thermotorch_splitting", alive.splitting(a, outputs))
    return outputs


@op.splitting_backward.register_kernel("cpu")
@taking(SplittingBackward)
def _splitting_backward(a: SplittingBackward) -> list[Tensor]:
    gradients = _zeros([a.state, a.whole_push, a.half_push, *(a.matrices if a.needs_couplings else ())])
    of_state, of_whole, of_half, *of_matrices = gradients
    if a.state.numel():
        alive = _Arguments()
        run = alive.splitting(a, (None, None, a.kept, a.grad_state, a.grad_recorded, of_state), of_matrices)
        run.grad_whole_push, run.grad_half_push = alive.pointer(of_whole), alive.pointer(of_half)
        _call("thermotorch_splitting_backward", run)
    return gradients


@weights_op.path_weights.register_kernel("cpu")
@taking(Langevin)
def _path_weights(a: Langevin) -> tuple[Tensor, Tensor, Tensor]:
    end, recorded, _ = a.outputs()
    sums = a.state.new_zeros(a.batch, 3, dtype=torch.float64)
    if a.state.numel():
        alive = _Arguments()
        _call("thermotorch_path_weights", _PathWeights(alive.langevin(a, (end, recorded)), alive.pointer(sums)))
    return end, recorded, sums


@action_op.reverse_action.register_kernel("cpu")
def _reverse_action(
    path: Tensor, blocks: Sequence[Tensor], rows: Tensor, columns: Tensor, bias: Tensor, j2: Tensor, j3: Tensor,
    j4: Tensor, dt: float, temperature: float,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    action = path.new_empty(len(path) - 1, path.shape[1])
    residual = torch.empty_like(path[1:], memory_format=torch.contiguous_format)
    if not residual.numel():
        return action.zero_(), residual
    a = _Arguments()
    run = _Run(batch=action.numel(), units=path.shape[2], threads=threads(), block_count=len(blocks),
               blocks=a.blocks(blocks, rows, columns), state=a.pointer(path), end=a.pointer(residual))  # fmt: skip
    units = map(a.pointer, (bias, j2, j3, j4))
    _call("thermotorch_reverse_action", _Action(run, path.shape[1], dt, temperature, *units, a.pointer(action)))
    return action, residual


@action_op.reverse_action_backward.register_kernel("cpu")
def _reverse_action_backward(
    grad_action: Tensor, residual: Tensor, path: Tensor, blocks: Sequence[Tensor], rows: Tensor, columns: Tensor,
    bias: Tensor, temperature: float,
) -> list[Tensor]:  # fmt: skip
    of_bias, *of_blocks = _zeros([bias, *blocks])
    if residual.numel():
        a = _Arguments()
        run = _Run(batch=grad_action.numel(), units=path.shape[2], threads=threads(), block_count=len(blocks),
                   blocks=a.blocks(blocks, rows, columns), state=a.pointer(path), end=a.pointer(residual),
                   grad_end=a.pointer(grad_action), grad_blocks=a.blocks(of_blocks, rows, columns))  # fmt: skip
        action = _Action(run=run, samples=path.shape[1], temperature=temperature, grad_bias=a.pointer(of_bias))
        _call("thermotorch_reverse_action_backward", action)
    return [of_bias, *of_blocks]
