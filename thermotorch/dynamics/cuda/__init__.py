"""The CUDA backend: Triton kernels for whole trajectories, single steps, path actions and adjoints.

Only files of this folder import triton, and nothing imports them before a CUDA run is asked for.
"""

import sys
from contextlib import nullcontext, suppress
from functools import cache
from pathlib import Path

import torch
import triton
from torch import Tensor

from thermotorch.dynamics.cuda import (
    action,
    adjoint,
    alternating,
    alternating_adjoint,
    flows,
    flows_adjoint,
    pipeline,  # noqa: F401  for tests and checks
    resident,
    streamed,
)
from thermotorch.dynamics.cuda.run import Run, SplittingRun, dense, pieces
from thermotorch.dynamics.operators import langevin as op
from thermotorch.dynamics.operators import reverse_action as action_op


@op.langevin.register_kernel("cuda")
def langevin(*arguments) -> tuple[Tensor, Tensor, Tensor]:
    """`thermotorch::langevin` of `dynamics/op.py`."""
    run = Run.of(*arguments)
    if not run.state.numel() or not run.steps:
        end, recorded, kept = run.outputs()
        return end.copy_(run.state), recorded, kept
    with _on(run.state):
        if run.integrator == "alternating":
            return alternating.langevin(run)
        return (resident if resident.fits(run) else streamed).langevin(run)


@op.langevin_backward.register_kernel("cuda")
def langevin_backward(
    grad_state: Tensor, grad_recorded: Tensor, state: Tensor, kept: Tensor, *arguments
) -> list[Tensor]:
    """`thermotorch::langevin_backward` of `dynamics/op.py`."""
    *arguments, needs_blocks, needs_drive = arguments
    run = Run.of(state, *arguments)
    if not run.state.numel() or not run.steps:
        of_drive = torch.zeros_like(run.drive) if needs_drive else state.new_empty(0)
        blocks = [torch.zeros_like(block) for block in run.blocks] if needs_blocks else []
        return [grad_state.clone(), torch.zeros_like(run.bias), of_drive, *blocks]
    with _on(run.state):
        backward = alternating_adjoint if run.integrator == "alternating" else adjoint
        return backward.langevin_backward(
            run, grad_state.contiguous(), grad_recorded.contiguous(), kept.contiguous(), needs_blocks, needs_drive
        )


@op.splitting.register_kernel("cuda")
def splitting(*arguments) -> tuple[Tensor, Tensor, Tensor]:
    """`thermotorch::splitting` of `dynamics/op.py`."""
    run = SplittingRun.of(*arguments)
    if not run.state.numel() or not run.steps:
        end, recorded, kept = run.outputs()
        return end.copy_(run.state), recorded, kept
    with _on(run.state):
        return flows.splitting(run)


@op.splitting_backward.register_kernel("cuda")
def splitting_backward(
    grad_state: Tensor, grad_recorded: Tensor, state: Tensor, kept: Tensor, *arguments
) -> list[Tensor]:
    """`thermotorch::splitting_backward` of `dynamics/op.py`."""
    *arguments, needs_couplings = arguments
    run = SplittingRun.of(state, *arguments)
    if not run.state.numel() or not run.steps:
        matrices = (run.whole, run.half) if needs_couplings else ()
        return [grad_state.clone(), *map(torch.zeros_like, (run.whole_push, run.half_push, *matrices))]
    with _on(run.state):
        return flows_adjoint.splitting_backward(
            run, grad_state.contiguous(), grad_recorded.contiguous(), kept.contiguous(), needs_couplings
        )


@action_op.reverse_action.register_kernel("cuda")
def reverse_action(path, blocks, rows, columns, bias, j2, j3, j4, dt, temperature) -> tuple[Tensor, Tensor]:
    """`thermotorch::reverse_action` of `dynamics/action_op.py`, products as exact as torch's own are set to be."""
    residuals = path.new_empty(len(path) - 1, *path.shape[1:])
    if not residuals.numel():
        return path.new_zeros(residuals.shape[:2]), residuals
    precision = "tf32" if torch.backends.cuda.matmul.fp32_precision == "tf32" else "ieee"
    units = (tensor.contiguous() for tensor in (bias, j2, j3, j4, torch.ones_like(bias)))
    with _on(path):
        matrix = dense(blocks, rows.tolist(), columns.tolist(), path)
        actions, _, _ = action.path_action(path, matrix, *units, dt, temperature, True, precision, residuals=residuals)
    return actions, residuals


@action_op.reverse_action_backward.register_kernel("cuda")
def reverse_action_backward(grad_action, residual, path, blocks, rows, columns, bias, temperature) -> list[Tensor]:
    """`thermotorch::reverse_action_backward` of `dynamics/action_op.py`."""
    of_matrix, of_bias = action.gradients_of_residuals(path, residual, grad_action, temperature)
    return [of_bias, *pieces(of_matrix, blocks, rows.tolist(), columns.tolist())]


def _on(tensor: Tensor):
    """Triton launches on the current device, which need not be the tensor's."""
    if not tensor.is_cuda:
        return nullcontext()
    _announce()
    return torch.cuda.device(tensor.device)


@cache
def _announce() -> None:
    """Say it once on a machine that has not compiled the kernels yet: Triton is silent about the first seconds."""
    marker = Path(triton.knobs.cache.dir) / f"thermotorch-{triton.__version__}"
    if not marker.exists():
        print(
            "thermotorch: compiling its CUDA kernels (once, a few seconds for each kind of run)",
            file=sys.stderr,
            flush=True,
        )
        with suppress(OSError):
            marker.parent.mkdir(parents=True, exist_ok=True)
            marker.touch()
