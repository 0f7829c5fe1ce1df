"""Detection of the transforms of torch.func: `grad`, `vmap`, `jacrev`, `jvp` and their compositions.

Tensors inside a transform hide their values, and custom operators have no rules for them. A simulation there uses the
reference backend, whose plain operations every transform supports, in one piece (memory for all steps). It neither
checks values nor reports divergence.
"""

import torch
from torch.autograd import forward_ad


def transformed() -> bool:
    """Return True inside a transform of torch.func or forward-mode differentiation."""
    if torch.compiler.is_compiling():
        return False
    return torch._C._functorch.maybe_current_level() is not None or forward_ad._current_level >= 0


def values_hidden() -> bool:
    """Return True where the values of tensors are hidden: in a compiled graph or a transform."""
    return torch.compiler.is_compiling() or transformed()
