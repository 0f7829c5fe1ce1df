"""The CUDA backend: Triton kernels for whole trajectories, single steps, path actions and adjoints.

Only files of this folder import triton, and nothing imports them before a CUDA run is asked for.
"""

from contextlib import nullcontext

import torch
from torch import Tensor

from thermotorch.dynamics import op
from thermotorch.dynamics.kernels import adjoint, flows, resident, streamed
from thermotorch.dynamics.kernels.run import Run, SplittingRun


@op.langevin.register_kernel("cuda")
def langevin(*arguments) -> tuple[Tensor, Tensor, Tensor]:
    """`thermotorch::langevin` of `dynamics/op.py`."""
    run = Run.of(*arguments)
    if not run.state.numel() or not run.steps:
        end, recorded, kept = run.outputs()
        return end.copy_(run.state), recorded, kept
    with _on(run.state):
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
        return adjoint.langevin_backward(
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


def _on(tensor: Tensor):
    """Triton launches on the current device, which need not be the tensor's."""
    return torch.cuda.device(tensor.device) if tensor.is_cuda else nullcontext()
