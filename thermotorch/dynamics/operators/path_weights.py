"""A run that adds up each trajectory's work and path weights as it goes, as one operator: `path_weights`."""

from collections.abc import Sequence

import torch
from torch import Tensor

from thermotorch.dynamics.operators import langevin as op

INTEGRATORS = ("euler_maruyama", "alternating")  # those with a transition density


@torch.library.custom_op("thermotorch::path_weights", mutates_args=())
def path_weights(
    state: Tensor,
    blocks: Sequence[Tensor],
    rows: Tensor,
    columns: Tensor,
    bias: Tensor,
    j2: Tensor,
    j3: Tensor,
    j4: Tensor,
    mobility: Tensor,
    drive: Tensor | None,
    sample_ids: Tensor,
    steps: int,
    dt: float,
    temperature: float,
    seed: Tensor,
    start_step: int,
    stream: int,
    integrator: str,
    record: int,
    precision: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """`op.langevin`, step by step the same, without a gradient.

    Args: those of `op.langevin`; the integrator is one of `INTEGRATORS`, the temperature positive.

    Returns:
        State at the end [batch, unit], recorded states [record, batch, unit], and float64 [batch, 3]: the work of the
        drive, the log forward weight but for the logarithms of the noise's width, the log ratio; see `path_weights.py`.
    """
    raise NotImplementedError(f"thermotorch::path_weights has no implementation for {state.device.type}")


@path_weights.register_fake
def _(state, blocks, rows, columns, bias, j2, j3, j4, mobility, drive, sample_ids, steps, dt, temperature, seed,
      start_step, stream, integrator, record, precision):  # fmt: skip
    return (
        torch.empty_like(state, memory_format=torch.contiguous_format),
        state.new_empty(op.num_recorded(steps, start_step, record), *state.shape),
        state.new_empty(len(state), 3, dtype=torch.float64),
    )
