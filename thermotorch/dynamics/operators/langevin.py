"""A whole run as one opaque operator with its gradient and its fake: `torch.ops.thermotorch.langevin` for the schemes
that are based on forces, `torch.ops.thermotorch.splitting` for the one that is based on flows.

`cpu/operators.py` registers the implementation for processors, `cuda/` that for CUDA. torch.compile, torch.export and
FLOP counters see one call with plain tensors and numbers; the seed is an argument, so the operator is a pure function.
Other problems (float64) run on the reference backend.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from thermotorch.dynamics.operators.arguments import (
    Langevin,
    LangevinBackward,
    Splitting,
    SplittingBackward,
    by_field,
    define,
)


def _weighed(a: Langevin) -> tuple[Tensor, Tensor, Tensor]:
    return *a.outputs()[:2], a.state.new_empty(a.batch, 3, dtype=torch.float64)


# State at the end, recorded states, and states kept for the gradient, in an order that is the implementation's own.
langevin = define("langevin", Langevin, "(Tensor, Tensor, Tensor)", Langevin.outputs)
splitting = define("splitting", Splitting, "(Tensor, Tensor, Tensor)", Splitting.outputs)
# `langevin`, step by step the same, without a gradient, at a positive temperature and for schemes with a transition
# density. State at the end, recorded states, and float64 [batch, 3]: the work of the drive, the log forward weight but
# for the logarithms of the noise's width, and the log ratio; see `dynamics/path_weights.py`.
path_weights = define("path_weights", Langevin, "(Tensor, Tensor, Tensor)", _weighed)
langevin_backward = define("langevin_backward", LangevinBackward, "Tensor[]", LangevinBackward.gradients)
splitting_backward = define("splitting_backward", SplittingBackward, "Tensor[]", SplittingBackward.gradients)


def placed(pieces: Sequence[tuple[int, int, Tensor]]) -> tuple[list[Tensor], Tensor, Tensor]:
    """Return `Couplings.pieces()` as the operators take them: blocks, rows, columns."""
    rows, columns = (torch.tensor([piece[k] for piece in pieces], dtype=torch.int64, device="cpu") for k in (0, 1))
    return [block for _, _, block in pieces], rows, columns


A = TypeVar("A", Langevin, Splitting)


def _saving(arguments: type[A], needs: Callable[[A], tuple[bool, ...]]) -> Callable[..., None]:
    def setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
        a = arguments(*inputs)
        others = dict(vars(a))
        blocks = others.pop("blocks", [])
        tensors = {name: others.pop(name) for name, value in vars(a).items() if isinstance(value, Tensor)}
        ctx.save_for_backward(output[2], *tensors.values(), *blocks)
        ctx.names, ctx.others, ctx.needs = list(tensors), others, needs(a)
        # No zeros in place of missing gradients: those of the kept states alone are as large as the states.
        ctx.mark_non_differentiable(output[2])
        ctx.set_materialize_grads(False)
        ctx.num_recorded = len(output[1])

    return setup


def _backward_of(ctx: Any, grad_state: Tensor | None, grad_recorded: Tensor | None) -> dict[str, Any]:
    """Return the arguments of a backward operator, by name."""
    kept, *saved = ctx.saved_tensors  # read once, since a checkpoint recomputes them at each access
    named = {**ctx.others, **dict(zip(ctx.names, saved, strict=False))}
    if len(saved) > len(ctx.names):
        named["blocks"] = saved[len(ctx.names) :]
    state = named["state"]
    grad_state = torch.zeros_like(state) if grad_state is None else grad_state
    grad_recorded = state.new_zeros(ctx.num_recorded, *state.shape) if grad_recorded is None else grad_recorded
    return {**named, "grad_state": grad_state.contiguous(), "grad_recorded": grad_recorded.contiguous(), "kept": kept}


def _langevin_gradient(ctx: Any, grad_state: Tensor | None, grad_recorded: Tensor | None, _: None) -> tuple[Any, ...]:
    needs_blocks, needs_drive = ctx.needs
    named = {"blocks": [], **_backward_of(ctx, grad_state, grad_recorded)}
    state, bias, drive, *blocks = langevin_backward(**named, needs_blocks=needs_blocks, needs_drive=needs_drive)
    of_blocks = blocks if needs_blocks else [None] * len(named["blocks"])
    return by_field(Langevin, state=state, bias=bias, drive=drive if needs_drive else None, blocks=of_blocks)


def _splitting_gradient(ctx: Any, grad_state: Tensor | None, grad_recorded: Tensor | None, _: None) -> tuple[Any, ...]:
    (needs_couplings,) = ctx.needs
    named = _backward_of(ctx, grad_state, grad_recorded)
    state, whole_push, half_push, *matrices = splitting_backward(**named, needs_couplings=needs_couplings)
    whole, half = matrices or (None, None)
    return by_field(Splitting, state=state, whole_push=whole_push, half_push=half_push, whole=whole, half=half)


def _refuse_second_gradient(ctx: Any, *_: Any) -> None:
    raise RuntimeError(
        "the fast backends have no second derivative; simulate with backend='reference' to differentiate a gradient"
    )


def _required(*tensors: Tensor | None) -> bool:
    return any(tensor is not None and tensor.requires_grad for tensor in tensors)


torch.library.register_autograd(
    "thermotorch::langevin", _langevin_gradient,
    setup_context=_saving(Langevin, lambda a: (_required(*a.blocks), _required(a.drive))),
)  # fmt: skip
torch.library.register_autograd(
    "thermotorch::splitting", _splitting_gradient,
    setup_context=_saving(Splitting, lambda a: (_required(a.whole, a.half),)),
)  # fmt: skip
for _name in ("langevin_backward", "splitting_backward"):
    torch.library.register_autograd(f"thermotorch::{_name}", _refuse_second_gradient)
