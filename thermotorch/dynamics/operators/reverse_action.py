"""The action of time-reversed paths as one operator: force, residual and squares in one pass, `reverse_action`."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


@torch.library.custom_op("thermotorch::reverse_action", mutates_args=())
def reverse_action(
    path: Tensor,
    blocks: Sequence[Tensor],
    rows: Tensor,
    columns: Tensor,
    bias: Tensor,
    j2: Tensor,
    j3: Tensor,
    j4: Tensor,
    dt: float,
    temperature: float,
) -> tuple[Tensor, Tensor]:
    """Return the action of every step, |residual|^2 / (4 kT dt), and the residual, `x - x' + dt (dV/dx)(x')`.

    Args:
        path: [time, batch, unit], float32; no gradient reaches it.
        blocks, rows, columns, bias, j2, j3, j4: the potential, as in `arguments.Langevin`.

    Returns:
        [time - 1, batch] and [time - 1, batch, unit].
    """
    raise NotImplementedError(f"thermotorch::reverse_action has no implementation for {path.device.type}")


@torch.library.custom_op("thermotorch::reverse_action_backward", mutates_args=())
def reverse_action_backward(
    grad_action: Tensor,
    residual: Tensor,
    path: Tensor,
    blocks: Sequence[Tensor],
    rows: Tensor,
    columns: Tensor,
    bias: Tensor,
    temperature: float,
) -> list[Tensor]:
    """Return [dL/dbias, *dL/dblocks] from dL/daction: residual / (2 kT), and its outer products with x'."""
    raise NotImplementedError(f"thermotorch::reverse_action_backward has no implementation for {path.device.type}")


@reverse_action.register_fake
def _(path: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    time, batch, unit = path.shape
    return path.new_empty(time - 1, batch), path.new_empty(time - 1, batch, unit)


@reverse_action_backward.register_fake
def _(
    grad_action: Tensor, residual: Tensor, path: Tensor, blocks: Sequence[Tensor], rows: Tensor, columns: Tensor,
    bias: Tensor, temperature: float,
) -> list[Tensor]:  # fmt: skip
    return [torch.empty_like(tensor, memory_format=torch.contiguous_format) for tensor in (bias, *blocks)]


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    path, blocks, rows, columns, bias, *_, temperature = inputs
    ctx.save_for_backward(output[1], path, rows, columns, bias, *blocks)
    ctx.temperature = temperature
    ctx.mark_non_differentiable(output[1])


def _gradient(ctx: Any, grad_action: Tensor, _: None) -> tuple[Any, ...]:
    residual, path, rows, columns, bias, *blocks = ctx.saved_tensors
    of_bias, *of_blocks = reverse_action_backward(
        grad_action.contiguous(), residual, path, blocks, rows, columns, bias, ctx.temperature
    )
    return (None, of_blocks, None, None, of_bias, None, None, None, None, None)


torch.library.register_autograd("thermotorch::reverse_action", _gradient, setup_context=_setup_context)
