"""FLOPs of the operators for `torch.utils.flop_counter.FlopCounterMode`.

    import thermotorch.dynamics.operators.flops  # before the counter is created

The package does not import this module, since torch's counter imports triton. By torch's convention a multiply-add
counts two, noise and pointwise operations zero. Gradients include the states that are recomputed.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from thermotorch.dynamics.integrators import INTEGRATORS
from thermotorch.dynamics.operators import langevin as op  # noqa: F401  registers the operators
from thermotorch.dynamics.operators.arguments import (
    A,
    Langevin,
    LangevinBackward,
    Splitting,
    SplittingBackward,
    Timeline,
    taking,
)


def _product(a: Timeline, matrices: Sequence[Tensor]) -> int:
    """Return the FLOPs of one product of the state with the couplings."""
    return 2 * a.batch * sum(matrix.numel() for matrix in matrices)


def _langevin_backward(a: LangevinBackward) -> int:
    stages = INTEGRATORS[a.integrator].fields
    again = 0 if a.keep == 1 and stages == 1 else stages
    return _product(a, a.blocks) * a.steps * (again + stages * (2 if a.needs_blocks else 1))


def _splitting(a: Splitting, products: int) -> int:
    """Return the FLOPs of so many products for each step, and for half of the first and of the last."""
    return _product(a, a.matrices[:1]) * (a.steps + 1) * products


def _register(name: str, arguments: type[A], formula: Callable[[A], int]) -> None:
    register_flop_formula(getattr(torch.ops.thermotorch, name), get_raw=True)(taking(arguments)(formula))


_register("langevin", Langevin, lambda a: _product(a, a.blocks) * a.steps * INTEGRATORS[a.integrator].fields)
_register("langevin_backward", LangevinBackward, _langevin_backward)
_register("splitting", Splitting, lambda a: _splitting(a, 1))
_register("splitting_backward", SplittingBackward, lambda a: _splitting(a, 3 if a.needs_couplings else 2))
