"""The CUDA backend: Triton kernels for whole trajectories, single steps, path actions and adjoints.

Only files of this folder import triton, and nothing imports them before the first CUDA run.
"""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import cache
from pathlib import Path
from typing import TypeVar

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
from thermotorch.dynamics.cuda.run import INTEGRATORS as INTEGRATORS
from thermotorch.dynamics.cuda.run import BackwardRun, Run, SplittingBackwardRun, SplittingRun, dense, parts
from thermotorch.dynamics.operators import langevin as op
from thermotorch.dynamics.operators import reverse_action as action_op
from thermotorch.dynamics.operators.arguments import (
    Langevin,
    LangevinBackward,
    ReverseAction,
    ReverseActionBackward,
    Splitting,
    SplittingBackward,
    taking,
)

F = TypeVar("F", Run, SplittingRun)
B = TypeVar("B", BackwardRun, SplittingBackwardRun)


@op.langevin.register_kernel("cuda")
@taking(Langevin)
def langevin(a: Langevin) -> tuple[Tensor, Tensor, Tensor]:
    run = Run.of(a)
    if run.integrator == "alternating":
        return _forward(run, alternating.langevin)
    return _forward(run, resident.langevin if resident.fits(run) else streamed.langevin)


@op.langevin_backward.register_kernel("cuda")
@taking(LangevinBackward)
def langevin_backward(a: LangevinBackward) -> list[Tensor]:
    run = BackwardRun.of(a)
    return _backward(run, (alternating_adjoint if run.integrator == "alternating" else adjoint).langevin_backward)


@op.splitting.register_kernel("cuda")
@taking(Splitting)
def splitting(a: Splitting) -> tuple[Tensor, Tensor, Tensor]:
    return _forward(SplittingRun.of(a), flows.splitting)


@op.splitting_backward.register_kernel("cuda")
@taking(SplittingBackward)
def splitting_backward(a: SplittingBackward) -> list[Tensor]:
    return _backward(SplittingBackwardRun.of(a), flows_adjoint.splitting_backward)


@action_op.reverse_action.register_kernel("cuda")
@taking(ReverseAction)
def reverse_action(a: ReverseAction) -> tuple[Tensor, Tensor]:
    """Return actions and residuals; products have the precision of torch's own settings."""
    path = a.path
    residuals = path.new_empty(len(path) - 1, *path.shape[1:])
    if not residuals.numel():
        return path.new_zeros(residuals.shape[:2]), residuals
    precision = "tf32" if torch.backends.cuda.matmul.fp32_precision == "tf32" else "ieee"
    bias, j2, j3, j4 = (tensor.contiguous() for tensor in (a.bias, a.j2, a.j3, a.j4))
    with _on(path):
        matrix = dense(list(zip(a.rows.tolist(), a.columns.tolist(), a.blocks, strict=True)), path)
        actions, _, _ = action.path_action(
            path, matrix, bias, j2, j3, j4, torch.ones_like(bias), a.dt, a.temperature, True, precision,
            residuals=residuals,
        )  # fmt: skip
    return actions, residuals


@action_op.reverse_action_backward.register_kernel("cuda")
@taking(ReverseActionBackward)
def reverse_action_backward(a: ReverseActionBackward) -> list[Tensor]:
    of_matrix, of_bias = action.gradients_of_residuals(a.path, a.residual, a.grad_action, a.temperature)
    return [of_bias, *parts(of_matrix, list(zip(a.rows.tolist(), a.columns.tolist(), a.blocks, strict=True)))]


def _forward(run: F, launch: Callable[[F], tuple[Tensor, Tensor, Tensor]]) -> tuple[Tensor, Tensor, Tensor]:
    if run.state.numel() and run.steps:
        with _on(run.state):
            return launch(run)
    end, recorded, kept = run.outputs()
    return end.copy_(run.state), recorded, kept


def _backward(run: B, launch: Callable[[B], list[Tensor]]) -> list[Tensor]:
    if run.state.numel() and run.steps:
        with _on(run.state):
            return launch(run)
    of_state, *others = run.gradients()
    return [of_state.copy_(run.grad_state), *others]


def _on(tensor: Tensor) -> AbstractContextManager[None]:
    """Return a context in which the tensor's device is current, since Triton launches there."""
    if not tensor.is_cuda:
        return nullcontext()
    _announce()
    return torch.cuda.device(tensor.device)


@cache
def _announce() -> None:
    """Print a message once on a machine without compiled kernels: Triton itself compiles silently for seconds."""
    marker = Path(triton.knobs.cache.dir) / f"thermotorch-{triton.__version__}"
    if not marker.exists():
        message = "thermotorch: compiling its CUDA kernels (once, a few seconds for each kind of run)"
        print(message, file=sys.stderr, flush=True)
        with suppress(OSError):
            marker.parent.mkdir(parents=True, exist_ok=True)
            marker.touch()
