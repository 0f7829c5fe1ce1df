"""FLOPs of the operators of `op.py` for `torch.utils.flop_counter.FlopCounterMode`: their matrix products, as torch
counts.

    import thermotorch.dynamics.operators.flops  # before the counter is made

It is not imported with the package, since torch's counter imports triton. A multiply-add is two; noise and everything
pointwise count as zero, as torch has it. Gradients count the states that are computed again.
"""

from math import prod

import torch
from torch.utils.flop_counter import register_flop_formula

from thermotorch.dynamics.operators import langevin as op  # noqa: F401  registers the operators


def _langevin(state, blocks, rows, columns, *others, out_val=None, **_) -> int:
    steps, integrator = others[7], others[13]
    return _product(state, blocks) * steps * (2 if integrator == "heun" else 1)


def _langevin_backward(grad_state, grad_recorded, state, kept, blocks, *others, out_val=None, **_) -> int:
    steps, integrator, keep, needs_blocks = others[9], others[15], others[17], others[19]
    stages = 2 if integrator == "heun" else 1
    again = 0 if keep == 1 and stages == 1 else stages
    return _product(state, blocks) * steps * (again + stages * (2 if needs_blocks else 1))


def _splitting(state, whole, *others, out_val=None, **_) -> int:
    return _product(state, [] if whole is None else [whole]) * (others[8] + 1)


def _splitting_backward(grad_state, grad_recorded, state, kept, whole, *others, out_val=None, **_) -> int:
    steps, needs_couplings = others[8], others[-1]
    return _product(state, [] if whole is None else [whole]) * (steps + 1) * (3 if needs_couplings else 2)


def _product(state, blocks) -> int:
    """Of one product of the state with the couplings; arguments are shapes."""
    return 2 * state[0] * sum(prod(block) for block in blocks)


for _formula in (_langevin, _langevin_backward, _splitting, _splitting_backward):
    register_flop_formula(getattr(torch.ops.thermotorch, _formula.__name__[1:]))(_formula)
