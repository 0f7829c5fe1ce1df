"""A whole run as one opaque operator with its gradient, its fake and its FLOPs: `torch.ops.thermotorch.langevin` for
the schemes that ask for forces, `torch.ops.thermotorch.splitting` for the one that asks for flows.

`cpu.py` registers the implementation for processors, `kernels/` that for CUDA. torch.compile, torch.export and FLOP
counters see one call with plain tensors and numbers; the seed is an argument, so the operator is a pure function. What
it does not cover (float64) is the reference backend's.

    field(x)[:, c : c + m] = sum over blocks of x[:, r : r + n] @ block,   block [n, m] at (row r, column c)
    drift(x, k) = mobility * (drive[k] - bias - (2 j2 x + 3 j3 x^2 + 4 j4 x^3) - field(x))
    kick = sqrt(2 mobility temperature dt), noise as in `noise.py`, steps as in `integrators.py`
"""

from collections.abc import Sequence

import torch
from torch import Tensor

INTEGRATORS = ("euler_maruyama", "heun", "leimkuhler_matthews", "alternating")
PRECISIONS = ("ieee", "tf32", "bf16")  # float32, 11 and 8 significant bits; state and sums are float32 always


@torch.library.custom_op("thermotorch::langevin", mutates_args=())
def langevin(
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
    keep: int,
    precision: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """Advance `state` [batch, unit], float32, by `steps` steps.

    Args:
        blocks: the couplings, see above; blocks may overlap nowhere, no block at all is no coupling.
        rows, columns: int64 [block] on the CPU, the first row and column of each. Tensors, because versions of torch
            disagree about what a backward returns for a list of numbers.
        bias, j2, j3, j4, mobility: [unit]; mobility 0 holds a unit.
        drive: [1 or steps, 1 or batch, unit], constant or one force for each step; None for none.
        sample_ids: int64 [batch].
        seed: int64 scalar on the CPU, the bits of the 64-bit seed. A tensor, so that a graph can draw it.
        integrator: one of `INTEGRATORS`.
        record: keep the state after each step k with (k + 1) % record == 0, k counted from step 0; 0 records nothing.
        keep: also keep the states after keep, 2 keep, ... < steps steps of this call, for the gradient; 0 keeps none.
        precision: one of `PRECISIONS`, what products with the couplings may round their operands to.

    Returns:
        State at the end [batch, unit], recorded states [record, batch, unit], kept states [keep, batch, `kept_width`],
        in an order that is the implementation's own.
    """
    raise NotImplementedError(f"thermotorch::langevin has no implementation for {state.device.type}")


@torch.library.custom_op("thermotorch::langevin_backward", mutates_args=())
def langevin_backward(
    grad_state: Tensor,
    grad_recorded: Tensor,
    state: Tensor,
    kept: Tensor,
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
    keep: int,
    precision: str,
    needs_blocks: bool,
    needs_drive: bool,
) -> list[Tensor]:
    """Gradients of a scalar L of the outputs of `langevin`, from dL/d(end state) and dL/d(recorded states).

    Args: the inputs of `langevin` and its kept states; `keep == 0` is one segment that starts from `state`.

    Returns:
        [dL/dstate, dL/dbias, dL/ddrive, *dL/dblocks]; without `needs_drive` the third is empty, without `needs_blocks`
        there are no more.
    """
    raise NotImplementedError(f"thermotorch::langevin_backward has no implementation for {state.device.type}")


@torch.library.custom_op("thermotorch::splitting", mutates_args=())
def splitting(
    state: Tensor,
    whole: Tensor | None,
    half: Tensor | None,
    whole_push: Tensor,
    half_push: Tensor,
    decay: Tensor,
    spread: Tensor,
    stiffness: Tensor,
    shift: Tensor,
    sample_ids: Tensor,
    steps: int,
    seed: Tensor,
    start_step: int,
    stream: int,
    record: int,
    keep: int,
    precision: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """Advance `state` by `steps` steps of the splitting scheme, the couplings between two steps in one product.

        u = x + x @ half + half_push[0] at the start; then for each step
        z = decay N(u) + spread xi,   y = N(z),   N(x) = v / sqrt(1 + stiffness v^2) - shift,  v = x + shift
        x = y + y @ half + half_push[k]        where a state is recorded, and at the end
        u = y + y @ whole + whole_push[k]      otherwise

    Args:
        whole, half: [unit, unit], or both None without couplings.
        whole_push, half_push: [1 or steps, 1 or batch, unit], shapes alike.
        decay, spread, stiffness, shift: [unit].
        sample_ids, steps, seed, start_step, stream, record: as in `langevin`.
        keep: keep u after keep, 2 keep, ... < steps steps.
        precision: as in `langevin`.

    Returns:
        State at the end, recorded states, kept u; as in `langevin`.
    """
    raise NotImplementedError(f"thermotorch::splitting has no implementation for {state.device.type}")


@torch.library.custom_op("thermotorch::splitting_backward", mutates_args=())
def splitting_backward(
    grad_state: Tensor,
    grad_recorded: Tensor,
    state: Tensor,
    kept: Tensor,
    whole: Tensor | None,
    half: Tensor | None,
    whole_push: Tensor,
    half_push: Tensor,
    decay: Tensor,
    spread: Tensor,
    stiffness: Tensor,
    shift: Tensor,
    sample_ids: Tensor,
    steps: int,
    seed: Tensor,
    start_step: int,
    stream: int,
    record: int,
    keep: int,
    precision: str,
    needs_couplings: bool,
) -> list[Tensor]:
    """Gradients as in `langevin_backward`: [by state, by whole_push, by half_push], then, if asked for,
    by whole and half.
    """
    raise NotImplementedError(f"thermotorch::splitting_backward has no implementation for {state.device.type}")


def placed(pieces: Sequence[tuple[int, int, Tensor]]) -> tuple[list[Tensor], Tensor, Tensor]:
    """Return `Couplings.pieces()` as the operators take them: blocks, rows, columns."""
    rows, columns = (torch.tensor([piece[k] for piece in pieces], dtype=torch.int64, device="cpu") for k in (0, 1))
    return [block for _, _, block in pieces], rows, columns


def num_recorded(steps: int, start_step: int, record: int) -> int:
    return (start_step + steps) // record - start_step // record if record else 0


def num_kept(steps: int, keep: int) -> int:
    return max(0, (steps - 1) // keep) if keep else 0


def kept_width(state: Tensor) -> int:
    """Numbers for each kept state. The CPU (native/run.h) takes an odd one, with at least one to spare."""
    units = state.shape[1]
    return units + 1 + units % 2 if state.device.type == "cpu" else units


def new_kept(state: Tensor, steps: int, keep: int) -> Tensor:
    return state.new_empty(num_kept(steps, keep), state.shape[0], kept_width(state))


def _fake_outputs(state: Tensor, steps: int, start_step: int, record: int, keep: int) -> tuple[Tensor, Tensor, Tensor]:
    return (
        torch.empty_like(state, memory_format=torch.contiguous_format),
        state.new_empty(num_recorded(steps, start_step, record), *state.shape),
        new_kept(state, steps, keep),
    )


def _fake_gradients(like: Sequence[Tensor]) -> list[Tensor]:
    return [torch.empty_like(tensor, memory_format=torch.contiguous_format) for tensor in like]


@langevin.register_fake
def _(state, blocks, rows, columns, bias, j2, j3, j4, mobility, drive, sample_ids, steps, dt, temperature, seed,
      start_step, stream, integrator, record, keep, precision):  # fmt: skip
    return _fake_outputs(state, steps, start_step, record, keep)


@splitting.register_fake
def _(state, whole, half, whole_push, half_push, decay, spread, stiffness, shift, sample_ids, steps, seed, start_step,
      stream, record, keep, precision):  # fmt: skip
    return _fake_outputs(state, steps, start_step, record, keep)


@langevin_backward.register_fake
def _(grad_state, grad_recorded, state, kept, blocks, rows, columns, bias, j2, j3, j4, mobility, drive, sample_ids,
      steps, dt, temperature, seed, start_step, stream, integrator, record, keep, precision, needs_blocks,
      needs_drive):  # fmt: skip
    return _fake_gradients(
        [state, bias, drive if needs_drive else state.new_empty(0), *(blocks if needs_blocks else ())]
    )


@splitting_backward.register_fake
def _(grad_state, grad_recorded, state, kept, whole, half, whole_push, half_push, decay, spread, stiffness, shift,
      sample_ids, steps, seed, start_step, stream, record, keep, precision,
      needs_couplings):  # fmt: skip
    return _fake_gradients([state, whole_push, half_push, *((whole, half) if needs_couplings else ())])


def _spare_gradients(ctx, output: tuple[Tensor, Tensor, Tensor]) -> None:
    """No zeros in place of gradients that nobody gives: those of the kept states alone are as large as the states."""
    ctx.mark_non_differentiable(output[2])
    ctx.set_materialize_grads(False)
    ctx.num_recorded = len(output[1])


def _given(ctx, state: Tensor, grad_state: Tensor | None, grad_recorded: Tensor | None) -> tuple[Tensor, Tensor]:
    grad_state = torch.zeros_like(state) if grad_state is None else grad_state
    grad_recorded = state.new_zeros(ctx.num_recorded, *state.shape) if grad_recorded is None else grad_recorded
    return grad_state.contiguous(), grad_recorded.contiguous()


def _setup_langevin(ctx, inputs, output) -> None:
    state, blocks, rows, columns, bias, j2, j3, j4, mobility, drive, sample_ids, *numbers = inputs
    ctx.save_for_backward(state, output[2], rows, columns, bias, j2, j3, j4, mobility, drive, sample_ids, *blocks)
    ctx.numbers = numbers
    ctx.needs = any(block.requires_grad for block in blocks), drive is not None and drive.requires_grad
    _spare_gradients(ctx, output)


def _langevin_gradient(ctx, grad_state, grad_recorded, _):
    state, kept, rows, columns, bias, j2, j3, j4, mobility, drive, sample_ids, *blocks = ctx.saved_tensors
    given = _given(ctx, state, grad_state, grad_recorded)
    needs_blocks, needs_drive = ctx.needs
    start, of_bias, of_drive, *of_blocks = langevin_backward(
        *given, state, kept, blocks, rows, columns, bias, j2, j3, j4, mobility,
        drive, sample_ids, *ctx.numbers, needs_blocks, needs_drive,
    )  # fmt: skip
    of_blocks = of_blocks if needs_blocks else [None] * len(blocks)
    return (
        start, of_blocks, None, None, of_bias, None, None, None, None, of_drive if needs_drive else None,
        *[None] * (1 + len(ctx.numbers)),
    )  # fmt: skip


def _setup_splitting(ctx, inputs, output) -> None:
    state, *tensors = inputs[:10]
    ctx.save_for_backward(state, output[2], *tensors)
    ctx.numbers = inputs[10:]
    ctx.needs_couplings = any(matrix is not None and matrix.requires_grad for matrix in tensors[:2])
    _spare_gradients(ctx, output)


def _splitting_gradient(ctx, grad_state, grad_recorded, _):
    given = _given(ctx, ctx.saved_tensors[0], grad_state, grad_recorded)
    start, whole_push, half_push, *matrices = splitting_backward(
        *given, *ctx.saved_tensors, *ctx.numbers, ctx.needs_couplings
    )
    return (start, *(matrices or (None, None)), whole_push, half_push, *[None] * (5 + len(ctx.numbers)))


def _refuse_second_gradient(ctx, *_):
    raise RuntimeError(
        "the fast backends have no second derivative; simulate with backend='reference' to differentiate a gradient"
    )


torch.library.register_autograd("thermotorch::langevin", _langevin_gradient, setup_context=_setup_langevin)
torch.library.register_autograd("thermotorch::splitting", _splitting_gradient, setup_context=_setup_splitting)
for _name in ("langevin_backward", "splitting_backward"):
    torch.library.register_autograd(f"thermotorch::{_name}", _refuse_second_gradient)
