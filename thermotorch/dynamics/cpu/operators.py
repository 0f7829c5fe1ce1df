"""The operators of `op.py` on the CPU: tensors as pointers into the library that `build.py` compiles."""

import ctypes
from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from thermotorch.dynamics.alternating import second_colour
from thermotorch.dynamics.cpu.build import CompilerUnavailable, library
from thermotorch.dynamics.cpu.forks import threads
from thermotorch.dynamics.operators import langevin as op
from thermotorch.dynamics.operators import path_weights as weights_op
from thermotorch.dynamics.operators import reverse_action as action_op


@cache
def unavailable() -> str | None:
    """Why the library cannot be had on this machine, or None; tried once in a process."""
    try:
        library()
    except CompilerUnavailable as error:
        return str(error)
    return None


def peak_flops() -> float | None:
    """Float32 operations per second of all threads, if each only multiplies and adds; None without the library."""
    if unavailable() is not None:
        return None
    measure = library().thermotorch_peak_flops
    measure.restype = ctypes.c_double
    return measure() * threads()


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
        ("bfloat16", _Long),
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


class _Arguments:
    """Keeps alive what the pointers of one call point to."""

    def __init__(self) -> None:
        self.alive: list = []

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

    def colour(self, integrator: str, blocks: Sequence[Tensor], rows: Tensor, columns: Tensor, units: int) -> int:
        if integrator != "alternating":
            return 0
        return self.pointer(
            second_colour(rows.tolist(), columns.tolist(), [tuple(block.shape) for block in blocks], units)
        )

    def force(self, drive: Tensor | None) -> _Force:
        return _Force(self.pointer(drive), *((0, 0) if drive is None else drive.shape[:2]))


def _call(name: str, argument: ctypes.Structure) -> None:
    if getattr(library(), name)(ctypes.byref(argument)):
        raise MemoryError(f"{name} ran out of memory")


def products(pieces: Sequence[tuple[int, int, Tensor]], state: Tensor, times: int) -> Tensor:
    """The field of `state`, [batch, unit], computed `times` times over: the least time of a run of so many steps.

    With the packed blocks, tiles and threads of such a run. Needs the library.
    """
    a, end = _Arguments(), torch.empty_like(state)
    blocks, rows, columns = op.placed(pieces)
    blocks = a.blocks([block.detach() for block in blocks], rows, columns)
    run = _Run(batch=len(state), units=state.shape[1], steps=times, threads=threads(),
               block_count=len(pieces), blocks=blocks, state=a.pointer(state), end=a.pointer(end))  # fmt: skip
    _call("thermotorch_products", _Langevin(run))
    return end


@op.langevin.register_kernel("cpu")
def _langevin(
    state, blocks, rows, columns, bias, j2, j3, j4, mobility, drive, sample_ids, steps, dt, temperature, seed,
    start_step, stream, integrator, record, keep, precision,
):  # fmt: skip
    end = torch.empty_like(state, memory_format=torch.contiguous_format)
    recorded = state.new_empty(op.num_recorded(steps, start_step, record), *state.shape)
    kept = op.new_kept(state, steps, keep)
    if not state.numel():
        return end, recorded, kept
    a = _Arguments()
    run = _Run(
        *state.shape, steps, start_step, stream, record, keep, threads(), precision == "bf16", len(blocks),
        int(seed) % (1 << 64),
        a.blocks(blocks, rows, columns),
        *map(a.pointer, (sample_ids, state, end, recorded, kept)),
    )  # fmt: skip
    units = [a.pointer(tensor) for tensor in (bias, j2, j3, j4, mobility)]
    _call("thermotorch_langevin",
          _Langevin(run, op.INTEGRATORS.index(integrator), dt, temperature, *units, a.force(drive),
                    colour=a.colour(integrator, blocks, rows, columns, state.shape[1])))  # fmt: skip
    return end, recorded, kept


@op.langevin_backward.register_kernel("cpu")
def _langevin_backward(
    grad_state, grad_recorded, state, kept, blocks, rows, columns, bias, j2, j3, j4, mobility, drive, sample_ids, steps,
    dt, temperature, seed, start_step, stream, integrator, record, keep, precision, needs_blocks, needs_drive,
):  # fmt: skip
    of_state = torch.empty_like(state, memory_format=torch.contiguous_format)
    of_bias = torch.zeros_like(bias, memory_format=torch.contiguous_format)
    of_drive = torch.zeros_like(drive, memory_format=torch.contiguous_format) if needs_drive else state.new_empty(0)
    of_blocks = [torch.zeros_like(b, memory_format=torch.contiguous_format) for b in blocks] if needs_blocks else []
    gradients = [of_state, of_bias, of_drive, *of_blocks]
    if not state.numel():
        return gradients
    a = _Arguments()
    run = _Run(
        *state.shape, steps, start_step, stream, record, keep, threads(), precision == "bf16", len(blocks),
        int(seed) % (1 << 64),
        a.blocks(blocks, rows, columns),
        *map(a.pointer, (sample_ids, state, None, None, kept, grad_state, grad_recorded, of_state)),
        a.blocks(of_blocks, rows, columns) if of_blocks else None,
    )  # fmt: skip
    units = [a.pointer(tensor) for tensor in (bias, j2, j3, j4, mobility)]
    _call("thermotorch_langevin_backward",
          _Langevin(run, op.INTEGRATORS.index(integrator), dt, temperature, *units, a.force(drive), a.pointer(of_bias),
                    a.pointer(of_drive) if needs_drive else None,
                    a.colour(integrator, blocks, rows, columns, state.shape[1])))  # fmt: skip
    return gradients


@op.splitting.register_kernel("cpu")
def _splitting(
    state, whole, half, whole_push, half_push, decay, spread, stiffness, shift, sample_ids, steps, seed, start_step,
    stream, record, keep, precision,
):  # fmt: skip
    end = torch.empty_like(state, memory_format=torch.contiguous_format)
    recorded = state.new_empty(op.num_recorded(steps, start_step, record), *state.shape)
    kept = op.new_kept(state, steps, keep)
    if not state.numel():
        return end, recorded, kept
    a = _Arguments()
    matrices = [] if whole is None else [whole, half]
    run = _Run(
        *state.shape, steps, start_step, stream, record, keep, threads(), precision == "bf16", len(matrices),
        int(seed) % (1 << 64),
        a.blocks(matrices, _ORIGIN, _ORIGIN), *map(a.pointer, (sample_ids, state, end, recorded, kept)),
    )  # fmt: skip
    units = [a.pointer(tensor) for tensor in (decay, spread, stiffness, shift)]
    _call("thermotorch_splitting", _Splitting(run, *units, a.force(whole_push), a.force(half_push)))
    return end, recorded, kept


@op.splitting_backward.register_kernel("cpu")
def _splitting_backward(
    grad_state, grad_recorded, state, kept, whole, half, whole_push, half_push, decay, spread, stiffness, shift,
    sample_ids, steps, seed, start_step, stream, record, keep, precision, needs_couplings,
):  # fmt: skip
    matrices = [] if whole is None else [whole, half]
    of_state, *others = (
        torch.zeros_like(tensor, memory_format=torch.contiguous_format)
        for tensor in (state, whole_push, half_push, *(matrices if needs_couplings else ()))
    )
    if not state.numel():
        return [of_state, *others]
    a = _Arguments()
    run = _Run(
        *state.shape, steps, start_step, stream, record, keep, threads(), precision == "bf16", len(matrices),
        int(seed) % (1 << 64),
        a.blocks(matrices, _ORIGIN, _ORIGIN),
        *map(a.pointer, (sample_ids, state, None, None, kept, grad_state, grad_recorded, of_state)),
        a.blocks(others[2:], _ORIGIN, _ORIGIN) if needs_couplings else None,
    )  # fmt: skip
    units = [a.pointer(tensor) for tensor in (decay, spread, stiffness, shift)]
    pushes = a.force(whole_push), a.force(half_push), *map(a.pointer, others[:2])
    _call("thermotorch_splitting_backward", _Splitting(run, *units, *pushes))
    return [of_state, *others]


@weights_op.path_weights.register_kernel("cpu")
def _path_weights(
    state, blocks, rows, columns, bias, j2, j3, j4, mobility, drive, sample_ids, steps, dt, temperature, seed,
    start_step, stream, integrator, record, precision,
):  # fmt: skip
    end = torch.empty_like(state, memory_format=torch.contiguous_format)
    recorded = state.new_empty(op.num_recorded(steps, start_step, record), *state.shape)
    sums = state.new_zeros(len(state), 3, dtype=torch.float64)
    if not state.numel():
        return end, recorded, sums
    a = _Arguments()
    run = _Run(
        *state.shape, steps, start_step, stream, record, 0, threads(), precision == "bf16", len(blocks),
        int(seed) % (1 << 64),
        a.blocks(blocks, rows, columns), *map(a.pointer, (sample_ids, state, end, recorded)),
    )  # fmt: skip
    units = [a.pointer(tensor) for tensor in (bias, j2, j3, j4, mobility)]
    langevin = _Langevin(run, op.INTEGRATORS.index(integrator), dt, temperature, *units, a.force(drive),
                         colour=a.colour(integrator, blocks, rows, columns, state.shape[1]))  # fmt: skip
    _call("thermotorch_path_weights", _PathWeights(langevin, a.pointer(sums)))
    return end, recorded, sums


@action_op.reverse_action.register_kernel("cpu")
def _reverse_action(path, blocks, rows, columns, bias, j2, j3, j4, dt, temperature):
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
def _reverse_action_backward(grad_action, residual, path, blocks, rows, columns, bias, temperature):
    of_bias = torch.zeros_like(bias, memory_format=torch.contiguous_format)
    of_blocks = [torch.zeros_like(block, memory_format=torch.contiguous_format) for block in blocks]
    if residual.numel():
        a = _Arguments()
        run = _Run(batch=grad_action.numel(), units=path.shape[2], threads=threads(), block_count=len(blocks),
                   blocks=a.blocks(blocks, rows, columns), state=a.pointer(path), end=a.pointer(residual),
                   grad_end=a.pointer(grad_action), grad_blocks=a.blocks(of_blocks, rows, columns))  # fmt: skip
        _call("thermotorch_reverse_action_backward",
              _Action(run=run, samples=path.shape[1], temperature=temperature,
                      grad_bias=a.pointer(of_bias)))  # fmt: skip
    return [of_bias, *of_blocks]
