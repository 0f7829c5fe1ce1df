"""The CUDA backend: Triton kernels for whole trajectories, single steps, path actions and adjoints.

Only files of this folder import triton, and nothing imports them before a CUDA run is asked for.
"""

from torch import Tensor

from thermotorch.dynamics.kernels import resident
from thermotorch.dynamics.kernels.run import Run


def langevin(*arguments, precision: str = "ieee") -> tuple[Tensor, Tensor, Tensor]:
    run = Run(*arguments, precision)
    return resident.langevin(run)
