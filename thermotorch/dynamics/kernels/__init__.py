"""The CUDA backend: Triton kernels for whole trajectories, single steps, path actions and adjoints.

Only files of this folder import triton, and nothing imports them before a CUDA run is asked for.
"""

from torch import Tensor

from thermotorch.dynamics.kernels import resident
from thermotorch.dynamics.kernels import streamed as streamed_kernels
from thermotorch.dynamics.kernels.run import Run


def langevin(*arguments, precision: str = "ieee", streamed: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    run = Run(*arguments, precision)
    if not run.state.numel() or not run.steps:
        end, recorded, kept = run.outputs()
        return end.copy_(run.state), recorded, kept
    module = streamed_kernels if streamed or run.units > resident.MAX_UNITS else resident
    return module.langevin(run)
