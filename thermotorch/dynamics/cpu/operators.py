"""The operators on the CPU: calls of the library that `build.py` compiles, with tensors passed by address."""

import ctypes
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor

from thermotorch.dynamics.alternating import second_colour
from thermotorch.dynamics.cpu import build
from thermotorch.dynamics.cpu.structures import HEADERS, structure
from thermotorch.dynamics.operators import langevin as op
from thermotorch.dynamics.operators import reverse_action as action_op
from thermotorch.dynamics.operators.arguments import (
    PRECISIONS,
    Langevin,
    LangevinBackward,
    ReverseAction,
    ReverseActionBackward,
    Splitting,
    SplittingBackward,
    Timeline,
    taking,
)

INTEGRATORS = ("euler_maruyama", "heun", "leimkuhler_matthews", "alternating", "splitting")
SUMMED = ("euler_maruyama", "alternating")  # the run itself can add up path weights
S = TypeVar("S", Langevin, Splitting)


@cache
def _watch_forks() -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


def threads() -> int:
    """Return the number of threads for an operator, that of torch.

    A forked child does not inherit the threads of OpenMP, yet the library there waits for them for ever, in these
    operators as in torch's own. A child of a process whose operators ran in parallel therefore uses one thread.
    """
    if (count := torch.get_num_threads()) > 1:
        _watch_forks()
    return count


@cache
def unavailable() -> str | None:
    """Return the reason why this machine has no library, or None; the first call tries to build it."""
    try:
        library()
    except build.CompilerUnavailable as error:
        return str(error)
    return None


def peak_flops() -> float | None:
    """Return the float32 operations per second of multiply-adds on all threads, or None without the library."""
    if unavailable() is not None:
        return None
    measure = library().thermotorch_peak_flops
    measure.restype = ctypes.c_double
    return float(measure()) * threads()


_ORIGIN = torch.zeros(2, dtype=torch.int64)  # both matrices of the splitting scheme cover all units


@cache
def library() -> ctypes.CDLL:
    """Return the compiled library; ImportError if a structure in Python has another size than in C++."""
    loaded = build.library()
    for name in HEADERS:
        if (size := loaded.thermotorch_size(name.encode())) != ctypes.sizeof(structure(name)):
            raise ImportError(f"{name}: {size} bytes in native/, {ctypes.sizeof(structure(name))} in {__name__}")
    return loaded


@cache
def _number_of(integrator: str) -> int:
    """Return the number of a scheme in native/langevin.h; ValueError for one that is not there."""
    number: int = library().thermotorch_integrator(integrator.encode())
    if number < 0:
        raise ValueError(f"integrator: the CPU backend does not have {integrator!r}")
    return number


class _Arguments:
    """The structures of one call, which pass tensors by address and keep them alive."""

    def __init__(self) -> None:
        self.alive: list[object] = []

    def pack(self, name: str, tensors: Mapping[str, Tensor | None], **others: Any) -> ctypes.Structure:
        """Return a structure of native/ with these fields; tensors become addresses."""
        for field, tensor in tensors.items():
            if tensor is not None:
                # Outputs are contiguous, so that no copy ever takes the place of one.
                tensor = tensor if tensor.is_contiguous() else tensor.contiguous()
                self.alive.append(tensor)
                others[field] = tensor.data_ptr()
        return structure(name)(**others)

    def blocks(self, tensors: Sequence[Tensor], rows: Tensor, columns: Tensor) -> int:
        """Return the address of an array of blocks."""
        array = (structure("Block") * max(1, len(tensors)))()
        for here, tensor, row, column in zip(array, tensors, rows.tolist(), columns.tolist(), strict=False):
            here.data, here.row, here.column = tensor.data_ptr(), row, column
            here.rows, here.columns = tensor.shape
            here.row_stride, here.column_stride = tensor.stride()
        self.alive += [array, *tensors]
        return ctypes.addressof(array)

    def force(self, drive: Tensor | None) -> ctypes.Structure:
        steps, rows = (0, 0) if drive is None else drive.shape[:2]
        return self.pack("Force", {"data": drive}, steps=steps, rows=rows)

    def run(
        self, blocks: Sequence[Tensor], rows: Tensor, columns: Tensor, tensors: Mapping[str, Tensor],
        of_blocks: Sequence[Tensor] = (), **numbers: int,
    ) -> ctypes.Structure:  # fmt: skip
        """Return a `Run` with couplings, and with room for their gradients."""
        if of_blocks:
            numbers["grad_blocks"] = self.blocks(of_blocks, rows, columns)
        couplings = self.blocks(blocks, rows, columns)
        return self.pack("Run", tensors, threads=threads(), block_count=len(blocks), blocks=couplings, **numbers)

    def steps(
        self, a: Timeline, blocks: Sequence[Tensor], rows: Tensor, columns: Tensor, tensors: Mapping[str, Tensor],
        of_blocks: Sequence[Tensor],
    ) -> ctypes.Structure:  # fmt: skip
        """Return the `Run` of a timeline, with further tensors."""
        return self.run(
            blocks, rows, columns, {"ids": a.sample_ids, "state": a.state, **tensors}, of_blocks, batch=a.batch,
            units=a.units, steps=a.steps, start_step=a.start_step, stream=a.stream, record=a.record, keep=a.keep,
            precision=PRECISIONS.index(a.precision), seed=int(a.seed) % (1 << 64),
        )  # fmt: skip

    def langevin(
        self, a: Langevin, tensors: Mapping[str, Tensor], of_blocks: Sequence[Tensor] = (), **gradients: Tensor | None
    ) -> ctypes.Structure:
        """Return a `Langevin` whose `Run` has further tensors."""
        units = {"bias": a.bias, "j2": a.j2, "j3": a.j3, "j4": a.j4, "mobility": a.mobility, **gradients}
        if a.integrator == "alternating":
            pieces = zip(a.rows.tolist(), a.columns.tolist(), a.blocks, strict=True)
            units["colour"] = second_colour(pieces, a.units)
        run = self.steps(a, a.blocks, a.rows, a.columns, tensors, of_blocks)
        return self.pack(
            "Langevin", units, run=run, integrator=_number_of(a.integrator), dt=a.dt, temperature=a.temperature,
            drive=self.force(a.drive),
        )  # fmt: skip

    def splitting(
        self, a: Splitting, tensors: Mapping[str, Tensor], of_matrices: Sequence[Tensor] = (), **gradients: Tensor
    ) -> ctypes.Structure:
        """Return a `Splitting` whose `Run` has further tensors."""
        units = {"decay": a.decay, "spread": a.spread, "stiffness": a.stiffness, "shift": a.shift, **gradients}
        run = self.steps(a, a.matrices, _ORIGIN, _ORIGIN, tensors, of_matrices)
        pushes = {"whole_push": self.force(a.whole_push), "half_push": self.force(a.half_push)}
        return self.pack("Splitting", units, run=run, **pushes)


def _call(name: str, argument: ctypes.Structure) -> None:
    if getattr(library(), name)(ctypes.byref(argument)):
        raise MemoryError(f"{name} ran out of memory")


def products(pieces: Sequence[tuple[int, int, Tensor]], state: Tensor, times: int, precision: str = "ieee") -> Tensor:
    """Return the field of `state`, [batch, unit], computed `times` times: the least time of a run of so many steps.

    The packed blocks, tiles and threads are those of such a run. Needs the library.
    """
    alive, end = _Arguments(), torch.empty_like(state)
    run = alive.run(
        *op.placed(pieces), {"state": state, "end": end}, batch=len(state), units=state.shape[1], steps=times,
        precision=PRECISIONS.index(precision),
    )  # fmt: skip
    _call("thermotorch_products", alive.pack("Langevin", {}, run=run))
    return end


def _forward(
    a: S, pack: Callable[[_Arguments, S, Mapping[str, Tensor]], ctypes.Structure], name: str
) -> tuple[Tensor, Tensor, Tensor]:
    outputs = a.outputs()
    if a.state.numel():
        alive = _Arguments()
        _call(name, pack(alive, a, dict(zip(("end", "recorded", "kept"), outputs, strict=True))))
    return outputs


def _gradients_of(a: LangevinBackward | SplittingBackward, of_state: Tensor) -> dict[str, Tensor]:
    """Return the tensors of a backward `Run`."""
    return {"kept": a.kept, "grad_end": a.grad_state, "grad_recorded": a.grad_recorded, "grad_state": of_state}


@op.langevin.register_kernel("cpu")
@taking(Langevin)
def _langevin(a: Langevin) -> tuple[Tensor, Tensor, Tensor]:
    return _forward(a, _Arguments.langevin, "thermotorch_langevin")


@op.langevin_backward.register_kernel("cpu")
@taking(LangevinBackward)
def _langevin_backward(a: LangevinBackward) -> list[Tensor]:
    gradients = a.gradients()
    of_state, of_bias, of_drive, *of_blocks = gradients
    if a.state.numel():
        alive, of_run = _Arguments(), _gradients_of(a, of_state)
        grad_drive = of_drive if of_drive.numel() else None
        run = alive.langevin(a, of_run, of_blocks, grad_bias=of_bias, grad_drive=grad_drive)
        _call("thermotorch_langevin_backward", run)
    return gradients


@op.splitting.register_kernel("cpu")
@taking(Splitting)
def _splitting(a: Splitting) -> tuple[Tensor, Tensor, Tensor]:
    return _forward(a, _Arguments.splitting, "thermotorch_splitting")


@op.splitting_backward.register_kernel("cpu")
@taking(SplittingBackward)
def _splitting_backward(a: SplittingBackward) -> list[Tensor]:
    gradients = a.gradients()
    of_state, of_whole, of_half, *of_matrices = gradients
    if a.state.numel():
        alive, of_run = _Arguments(), _gradients_of(a, of_state)
        run = alive.splitting(a, of_run, of_matrices, grad_whole_push=of_whole, grad_half_push=of_half)
        _call("thermotorch_splitting_backward", run)
    return gradients


@op.path_weights.register_kernel("cpu")
@taking(Langevin)
def _path_weights(a: Langevin) -> tuple[Tensor, Tensor, Tensor]:
    end, recorded, _ = a.outputs()
    sums = a.state.new_zeros(a.batch, 3, dtype=torch.float64)
    if a.state.numel():
        alive = _Arguments()
        run = alive.langevin(a, {"end": end, "recorded": recorded})
        _call("thermotorch_path_weights", alive.pack("PathWeights", {"sums": sums}, langevin=run))
    return end, recorded, sums


@action_op.reverse_action.register_kernel("cpu")
@taking(ReverseAction)
def _reverse_action(a: ReverseAction) -> tuple[Tensor, Tensor]:
    action, residual = a.outputs()
    if not residual.numel():
        return action.zero_(), residual
    alive = _Arguments()
    ends = {"state": a.path, "end": residual}
    run = alive.run(a.blocks, a.rows, a.columns, ends, batch=action.numel(), units=residual.shape[2])
    tensors = {"bias": a.bias, "j2": a.j2, "j3": a.j3, "j4": a.j4, "action": action}
    packed = alive.pack("Action", tensors, run=run, samples=action.shape[1], dt=a.dt, temperature=a.temperature)
    _call("thermotorch_reverse_action", packed)
    return action, residual


@action_op.reverse_action_backward.register_kernel("cpu")
@taking(ReverseActionBackward)
def _reverse_action_backward(a: ReverseActionBackward) -> list[Tensor]:
    of_bias, *of_blocks = a.gradients()
    if a.residual.numel():
        alive = _Arguments()
        _, batch, units = a.path.shape
        tensors = {"state": a.path, "end": a.residual, "grad_end": a.grad_action}
        run = alive.run(a.blocks, a.rows, a.columns, tensors, of_blocks, batch=a.grad_action.numel(), units=units)
        packed = alive.pack("Action", {"grad_bias": of_bias}, run=run, samples=batch, temperature=a.temperature)
        _call("thermotorch_reverse_action_backward", packed)
    return [of_bias, *of_blocks]
