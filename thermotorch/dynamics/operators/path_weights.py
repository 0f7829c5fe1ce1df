"""A run that sums each trajectory's work and path weights, as one operator: `path_weights`."""

import torch
from torch import Tensor

from thermotorch.dynamics.operators.arguments import Langevin, define, taking

# `langevin`, step by step the same, without a gradient, at a positive temperature and for schemes with a transition
# density. State at the end, recorded states, and float64 [batch, 3]: the work of the drive, the log forward weight but
# for the logarithms of the noise's width, and the log ratio; see `dynamics/path_weights.py`.
path_weights = define("path_weights", Langevin, "(Tensor, Tensor, Tensor)")


@path_weights.register_fake
@taking(Langevin)
def _(a: Langevin) -> tuple[Tensor, Tensor, Tensor]:
    return *a.outputs()[:2], a.state.new_empty(a.batch, 3, dtype=torch.float64)
