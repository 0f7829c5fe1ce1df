"""Runs inside the transforms of torch.func: `grad`, `vmap`, `jacrev`, `jvp` and their compositions.

What a transform hands over is a tensor without values to look at, and operators have no rules for them. So such a run
takes the reference, whose plain operations every transform knows, in one piece (memory for all steps), and neither its
values are checked nor its divergence is reported.
"""

import torch
from torch.autograd import forward_ad


def transformed() -> bool:
    """Return True inside a transform of torch.func, or of forward-mode differentiation."""
    if torch.compiler.is_compiling():
        return False
    return torch._C._functorch.maybe_current_level() is not None or forward_ad._current_level >= 0


def values_hidden() -> bool:
    """Return True where a tensor's values cannot be looked at: inside a graph or a transform."""
    return torch.compiler.is_compiling() or transformed()
