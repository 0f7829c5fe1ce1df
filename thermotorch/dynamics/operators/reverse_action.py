"""The action of time-reversed paths as one operator: force, residual and squares in one pass, `reverse_action`."""

from typing import Any

import torch
from torch import Tensor

from thermotorch.dynamics.operators.arguments import ReverseAction, ReverseActionBackward, by_field, define

reverse_action = define("reverse_action", ReverseAction, "(Tensor, Tensor)", ReverseAction.outputs)
reverse_action_backward = define(
    "reverse_action_backward", ReverseActionBackward, "Tensor[]", ReverseActionBackward.gradients
)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    a = ReverseAction(*inputs)
    ctx.save_for_backward(output[1], a.path, a.rows, a.columns, a.bias, *a.blocks)
    ctx.temperature = a.temperature
    ctx.mark_non_differentiable(output[1])


def _gradient(ctx: Any, grad_action: Tensor, _: None) -> tuple[Any, ...]:
    residual, path, rows, columns, bias, *blocks = ctx.saved_tensors
    of_bias, *of_blocks = reverse_action_backward(
        grad_action.contiguous(), residual, path, blocks, rows, columns, bias, ctx.temperature
    )
    return by_field(ReverseAction, bias=of_bias, blocks=of_blocks)


torch.library.register_autograd("thermotorch::reverse_action", _gradient, setup_context=_setup_context)
