"""The Onsager-Machlup action of stored paths and its gradients: two products and one kernel for each chunk of steps.

    forward:  r = x' - x + mu dt g(x),    reverse:  r = x - x' + mu dt g(x'),    g = dV/dx
    A = sum r^2 / (4 mu kT dt),   dA/dJ = sum y^T p,   dA/db = sum p,   p = r / (2 kT),   y = x or x'

The epilogue of the first product computes residual, action and p from the field in registers, which is never written.
The second product sums over all steps and samples of the chunk. The steps are independent of each other.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from thermotorch.dynamics.cuda.matmul import matmul
from thermotorch.dynamics.cuda.pipeline import Couplings, tile_for
from thermotorch.dynamics.cuda.tiles import on_site, place, put, split, take, take_units

CHUNK_ELEMENTS = 1 << 26  # elements of the states in a chunk: 256 MB of p


def path_action(
    path: Tensor,
    matrix: Tensor,
    bias: Tensor,
    j2: Tensor,
    j3: Tensor,
    j4: Tensor,
    mobility: Tensor,
    dt: float,
    temperature: float,
    reverse: bool,
    precision: str = "ieee",
    weights: Tensor | None = None,
    needs_gradients: bool = False,
    residuals: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the actions [time - 1, batch] of a path [time, batch, unit], float32, and gradients of their weighted sum.

    Args:
        matrix: couplings [unit, unit]; bias, j2, j3, j4, mobility: [unit].
        weights: weights of the actions in the sum, [time - 1, batch]; None for ones.
        needs_gradients: True for d/d(matrix) and d/d(bias), which are zero otherwise.
        residuals: output tensor for r, [time - 1, batch, unit], or None.
    """
    times, batch, units = path.shape
    path, rows = path.contiguous(), batch * max(1, CHUNK_ELEMENTS // (batch * units))
    tile = tile_for(rows, precision)
    couplings = Couplings(matrix.T, tile, precision)
    actions = path.new_empty((times - 1) * batch)
    of_matrix, of_bias = torch.zeros_like(matrix), torch.zeros_like(bias)
    states = path.view(-1, units)
    weight = None if weights is None else weights.contiguous().view(-1)
    columns = triton.cdiv(units, tile.n)
    kept = None if residuals is None else residuals.view(-1, units)
    for first in range(0, len(actions), rows):
        part = slice(first, min(first + rows, len(actions)))
        count = part.stop - first
        here = states[part.start + batch : part.stop + batch] if reverse else states[part]
        operand = here.bfloat16() if precision == "bf16" else here
        tile_rows = triton.cdiv(count, tile.m)
        partial = path.new_empty(columns, count)
        pushes = torch.empty_like(operand) if needs_gradients else operand
        bias_sums = path.new_empty(tile_rows, units) if needs_gradients else partial
        residual[(tile_rows * columns,)](
            states[part], operand, couplings.high, couplings.low, partial, pushes, bias_sums, bias, j2, j3, j4,
            mobility, partial if weight is None else weight[part], partial if kept is None else kept[part],
            count, batch, units, couplings.pitch, dt, 1 / (4 * temperature * dt), 1 / (2 * temperature),
            REVERSE=reverse, GRADIENT=needs_gradients, RESIDUAL=kept is not None, WEIGHTED=weight is not None,
            PRECISION=precision, M=tile.m, N=tile.n, BK=tile.k, num_warps=tile.warps, num_stages=tile.stages,
        )  # fmt: skip
        torch.sum(partial, 0, out=actions[part])
        if needs_gradients:
            of_matrix += matmul(operand.T, pushes, precision)
            of_bias += bias_sums.sum(0)
    return actions.view(times - 1, batch), of_matrix, of_bias


def gradients_of_residuals(
    path: Tensor, residuals: Tensor, weights: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """Return d/d(matrix) and d/d(bias) of the weighted sum of reverse actions, from stored residuals."""
    batch, units = path.shape[1:]
    of_matrix, of_bias = path.new_zeros(units, units), path.new_zeros(units)
    steps = max(1, CHUNK_ELEMENTS // (batch * units))
    for first in range(0, len(residuals), steps):
        part = slice(first, min(first + steps, len(residuals)))
        pushes = (residuals[part] * (weights[part] / (2 * temperature)).unsqueeze(-1)).view(-1, units)
        after = path[part.start + 1 : part.stop + 1].reshape(-1, units)
        of_matrix += after.T @ pushes
        of_bias += pushes.sum(0)
    return of_matrix, of_bias


@triton.jit(do_not_specialize=("rows", "batch"), do_not_specialize_on_alignment=("weights",))
def residual(
    states, operand, couplings, couplings_low, partial, pushes, bias_sums, bias, j2, j3, j4, mobility, weights,
    residuals, rows, batch, units, pitch, dt, inverse_weight, inverse_push,
    REVERSE: tl.constexpr, GRADIENT: tl.constexpr, RESIDUAL: tl.constexpr, WEIGHTED: tl.constexpr,
    PRECISION: tl.constexpr, M: tl.constexpr, N: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """Store the residuals, the share of the actions, p, and the column sums of p of one tile.

    `states` starts at the first x.
    """
    tile_row, tile_column = place(tl.program_id(0), rows, units, M, N, 8)
    row, unit = tile_row.to(tl.int64) * M + tl.arange(0, M), tile_column * N + tl.arange(0, N)
    k = tl.arange(0, BK)
    inside_row = row[:, None] < rows
    left = operand + row[:, None] * units
    right = couplings + unit[None, :].to(tl.int64) * pitch
    right_low = couplings_low + unit[None, :].to(tl.int64) * pitch
    field = tl.zeros((M, N), tl.float32)
    for first in range(0, pitch, BK):
        here = first + k
        # Columns beyond the last unit meet zeros of the couplings, but must not be read beyond the last row.
        x = tl.load(left + here[None, :], mask=inside_row & (here[None, :] < units), other=0.0)
        c = tl.load(right + here[:, None])
        if PRECISION == "ieee":
            high, low = split(x)
            field = tl.dot(low, c, field, input_precision="tf32")
            field = tl.dot(high, tl.load(right_low + here[:, None]), field, input_precision="tf32")
            field = tl.dot(high, c, field, input_precision="tf32")
        else:
            field = tl.dot(x, c, field, input_precision="tf32")

    before = take(states, row, unit, rows, units)
    after = take(states + batch.to(tl.int64) * units, row, unit, rows, units)
    x = after if REVERSE else before
    mu = take_units(mobility, unit, units)
    a2, a3, a4 = 2 * take_units(j2, unit, units), 3 * take_units(j3, unit, units), 4 * take_units(j4, unit, units)
    gradient = on_site(x, a2, a3, a4) + take_units(bias, unit, units) + field
    r = (before - after if REVERSE else after - before) + mu * dt * gradient
    moving = (mu > 0) & inside_row & (unit[None, :] < units)  # a clamped unit has r = 0 and no weight
    share = tl.sum(tl.where(moving, r * r * (inverse_weight / tl.where(mu > 0, mu, 1.0)), 0.0), 1)
    tl.store(partial + tile_column.to(tl.int64) * rows + row, share, mask=row < rows)
    if RESIDUAL:
        put(residuals, r, row, unit, rows, units)
    if GRADIENT:
        p = tl.where(moving, r * inverse_push, 0.0)
        if WEIGHTED:
            p = p * tl.load(weights + row, mask=row < rows, other=0.0)[:, None]
        place_of = row[:, None] * units + unit[None, :]
        tl.store(pushes + place_of, p.to(pushes.dtype.element_ty), mask=inside_row & (unit[None, :] < units))
        tl.store(bias_sums + tile_row.to(tl.int64) * units + unit, tl.sum(p, 0), mask=unit < units)
