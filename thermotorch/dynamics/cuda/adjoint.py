"""Gradients of a run, step by step backwards. The noise is additive, so they need the states but not the normals.

    a = mobility dt lam,   lam <- lam - pull(x, a),   pull(x, a) = V''(x) a + a J^T
    dL/dJ = - sum x^T a,   dL/d(drive) = a,   dL/d(bias) = - sum a

A segment's states are recomputed from its checkpoint with the same counters; its vectors a are stored, and one product
over all steps and samples of the segment gives the gradient of the couplings. Heun's step consists of two such halves:

    x' = (x + g + d(g) + n) / 2 with the guess g = x + d(x) + n:
    a1 = mobility dt lam / 2,   lam_g = lam / 2 - pull(g, a1),   a2 = mobility dt lam_g,
    lam <- lam / 2 + lam_g - pull(x, a2)
"""

from collections.abc import Iterator
from dataclasses import replace

import torch
import triton
import triton.language as tl
from torch import Tensor

from thermotorch.dynamics.cuda import resident, streamed
from thermotorch.dynamics.cuda.matmul import matmul
from thermotorch.dynamics.cuda.pipeline import Couplings, tile_for
from thermotorch.dynamics.cuda.run import BackwardRun, Launch, Run, parts
from thermotorch.dynamics.cuda.tiles import matrix_product, place, product, put, take, take_couplings, take_units


def langevin_backward(run: BackwardRun) -> list[Tensor]:
    """Return [dL/d(state), dL/d(bias), dL/d(drive), *dL/d(blocks)], see `thermotorch::langevin_backward`."""
    costate = run.grad_state.clone()
    of_matrix = torch.zeros_like(run.matrix)
    of_bias = torch.zeros_like(run.bias)
    of_drive = run.drive_gradient()
    small = resident.fits(run)
    for segment, done in segments(run):
        forward = resident.langevin if small else streamed.langevin
        backward = _retrace_resident if small else _retrace_streamed
        guesses = run.state.new_empty(segment.steps, run.batch, run.units) if run.integrator == "heun" else None
        later = run.kept if run.keep == 1 and guesses is None else forward(segment, guesses)[2]
        points = [torch.cat([segment.state[None], later])] + ([] if guesses is None else [guesses])
        vectors = [torch.empty_like(states) for states in points]
        costate = backward(run, segment.steps, done, points, vectors, costate)
        for states, pushed in zip(points, vectors, strict=True):
            if run.needs_blocks:
                of_matrix -= matmul(states.flatten(0, 1).T, pushed.flatten(0, 1), run.precision)
            of_bias -= pushed.sum((0, 1))
            if run.needs_drive:
                add_drive(of_drive, pushed, done)
    of_blocks = parts(of_matrix, run.pieces) if run.needs_blocks else []
    return [costate, of_bias, of_drive, *of_blocks]


def add_drive(of_drive: Tensor, pushed: Tensor, done: int) -> None:
    """Add the vectors [steps, batch, unit] of the steps after `done` to the gradient of the drive, in its shape."""
    part = slice(done, done + len(pushed)) if len(of_drive) > 1 else slice(None)
    over_time = pushed if len(of_drive) > 1 else pushed.sum(0, keepdim=True)
    of_drive[part] += over_time if of_drive.shape[1] > 1 else over_time.sum(1, keepdim=True)


def entering(run: Launch, grad_recorded: Tensor, step: int) -> Tensor | None:
    """Return the gradient of the state after `step` steps of the run, or None if that was not recorded."""
    first, every = run.recording
    later = step - first
    return grad_recorded[later // every] if run.num_recorded and later >= 0 and later % every == 0 else None


def segments(run: BackwardRun) -> Iterator[tuple[Run, int]]:
    """Yield the run from one kept state to the next, last segment first, and the number of steps before it.

    Each segment keeps every state. If all states were kept, or none, the whole run is one segment.
    """
    length = run.keep if run.keep > 1 else run.steps
    whole = run.rows.new_zeros(1)
    dense = replace(run, blocks=[run.matrix], rows=whole, columns=whole, record=0, keep=1)
    for done in range((run.steps - 1) // length * length, -1, -length):
        steps = min(length, run.steps - done)
        drive = run.drive[done : done + steps] if run.drive is not None and len(run.drive) > 1 else run.drive
        state = run.kept[done // length - 1] if done else run.state
        yield replace(dense, state=state, steps=steps, start_step=run.start_step + done, drive=drive), done


def _retrace_resident(
    run: BackwardRun, steps: int, done: int, points: list[Tensor], vectors: list[Tensor], costate: Tensor
) -> Tensor:
    """Return the costate before the segment, and fill `vectors`."""
    out = torch.empty_like(costate)
    first, second = resident.column_blocks(run.units)
    retrace[(triton.cdiv(run.batch, resident.ROWS),)](
        points[0], points[-1], vectors[0], vectors[-1], costate, run.grad_recorded, out,
        run.matrix.T.contiguous(), run.j2, run.j3, run.j4, run.mobility,
        run.batch, run.units, steps, run.dt, done, *run.recording,
        HEUN=run.integrator == "heun", PRECISION=run.precision, RECORD=run.num_recorded > 0,
        FIRST=first, SECOND=second, ROWS=resident.ROWS, num_warps=resident.num_warps(first),
    )  # fmt: skip
    return out


def _retrace_streamed(
    run: BackwardRun, steps: int, done: int, points: list[Tensor], vectors: list[Tensor], costate: Tensor
) -> Tensor:
    tile, heun = tile_for(run.batch, run.precision), run.integrator == "heun"
    couplings = Couplings(run.matrix, tile, run.precision)
    operands = couplings.operands(2, run.batch)

    def back(k: int, half: int, lam: Tensor, plus: Tensor | None, out: Tensor, next_vector: Tensor, now: int) -> None:
        enters = entering(run, run.grad_recorded, done + k) if k and half == 0 else None
        grid = (triton.cdiv(run.batch, tile.m) * triton.cdiv(run.units, tile.n),)
        retreat[grid](
            points[half][k], vectors[half][k], operands[now], lam, out if plus is None else plus,
            out if enters is None else enters, couplings.high, couplings.low, out, next_vector, operands[1 - now],
            run.j2, run.j3, run.j4, run.mobility, run.batch, run.units, couplings.pitch, run.dt,
            HALF=heun, PLUS=plus is not None, ENTERS=enters is not None, NEXT_HALF=heun and half == 0,
            PRECISION=run.precision, M=tile.m, N=tile.n, BK=tile.k, num_warps=tile.warps, num_stages=tile.stages,
        )  # fmt: skip

    at_end = entering(run, run.grad_recorded, done + steps)
    lam = costate if at_end is None else costate + at_end
    first = (0.5 if heun else 1.0) * run.mobility * run.dt * lam
    vectors[-1][-1] = first
    operands[0, : run.batch, : run.units] = first
    unused, now = torch.empty_like(lam), 0
    for k in range(steps - 1, -1, -1):
        out, plus = torch.empty_like(lam), None
        if heun:
            plus = torch.empty_like(lam)
            back(k, 1, lam, None, plus, vectors[0][k], now)
            now = 1 - now
        back(k, 0, lam, plus, out, vectors[-1][k - 1] if k else unused, now)
        lam, now = out, 1 - now
    return lam


@triton.jit
def pull_of_one(x, a, h2, h3, h4, couplings, low, PRECISION: tl.constexpr):
    """Return V''(x) a + a J^T; `couplings` are those of J^T."""
    return (h2 + x * (h3 + x * h4)) * a + product(a, couplings, low, PRECISION)


@triton.jit
def pull_of_two(
    x_a, x_b, a_a, a_b, h2_a, h3_a, h4_a, h2_b, h3_b, h4_b,
    aa, aa_low, ab, ab_low, ba, ba_low, bb, bb_low, PRECISION: tl.constexpr,
):  # fmt: skip
    pull_a = (h2_a + x_a * (h3_a + x_a * h4_a)) * a_a
    pull_b = (h2_b + x_b * (h3_b + x_b * h4_b)) * a_b
    pull_a += product(a_a, aa, aa_low, PRECISION) + product(a_b, ba, ba_low, PRECISION)
    pull_b += product(a_a, ab, ab_low, PRECISION) + product(a_b, bb, bb_low, PRECISION)
    return pull_a, pull_b


@triton.jit
def curvature(j2, j3, j4, unit, units):
    """Return 2 j2, 6 j3, 12 j4: V'' = 2 j2 + 6 j3 x + 12 j4 x^2."""
    return 2 * take_units(j2, unit, units), 6 * take_units(j3, unit, units), 12 * take_units(j4, unit, units)


@triton.jit(do_not_specialize=("batch", "units", "steps", "done", "first_record", "record"))
def retrace(
    points, guesses, vectors, guess_vectors, costate, grad_recorded, out, transposed, j2, j3, j4, mobility,
    batch, units, steps, dt, done, first_record, record,
    HEUN: tl.constexpr, PRECISION: tl.constexpr, RECORD: tl.constexpr,
    FIRST: tl.constexpr, SECOND: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """Run all steps of a segment backwards for the program's samples, with the tiles of `resident.trajectory`."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    size = batch.to(tl.int64) * units
    half = 0.5 if HEUN else 1.0
    a = tl.arange(0, FIRST)
    lam_a = take(costate, row, a, batch, units)
    scale_a = take_units(mobility, a, units) * dt
    h2_a, h3_a, h4_a = curvature(j2, j3, j4, a, units)
    aa, aa_low = take_couplings(transposed, 0, 0, 1.0, units, FIRST, FIRST, PRECISION)
    if SECOND > 0:
        b = FIRST + tl.arange(0, SECOND)
        lam_b = take(costate, row, b, batch, units)
        scale_b = take_units(mobility, b, units) * dt
        h2_b, h3_b, h4_b = curvature(j2, j3, j4, b, units)
        ab, ab_low = take_couplings(transposed, 0, FIRST, 1.0, units, FIRST, SECOND, PRECISION)
        ba, ba_low = take_couplings(transposed, FIRST, 0, 1.0, units, SECOND, FIRST, PRECISION)
        bb, bb_low = take_couplings(transposed, FIRST, FIRST, 1.0, units, SECOND, SECOND, PRECISION)

    for i in range(steps):
        k = steps - 1 - i
        here = tl.cast(k, tl.int64) * size
        x_a = take(points + here, row, a, batch, units)
        if SECOND > 0:
            x_b = take(points + here, row, b, batch, units)
        if RECORD:
            later = done + k + 1 - first_record
            if (later >= 0) & (later % record == 0):
                entering = grad_recorded + tl.cast(later // record, tl.int64) * size
                lam_a += take(entering, row, a, batch, units)
                if SECOND > 0:
                    lam_b += take(entering, row, b, batch, units)
        rest_a = half * lam_a
        if SECOND > 0:
            rest_b = half * lam_b
        if HEUN:  # back to the guess
            vector_a = scale_a * rest_a
            put(guess_vectors + here, vector_a, row, a, batch, units)
            guess_a = take(guesses + here, row, a, batch, units)
            if SECOND > 0:
                vector_b = scale_b * rest_b
                put(guess_vectors + here, vector_b, row, b, batch, units)
                guess_b = take(guesses + here, row, b, batch, units)
                pull_a, pull_b = pull_of_two(
                    guess_a, guess_b, vector_a, vector_b, h2_a, h3_a, h4_a, h2_b, h3_b, h4_b,
                    aa, aa_low, ab, ab_low, ba, ba_low, bb, bb_low, PRECISION,
                )  # fmt: skip
                lam_b = rest_b - pull_b
                rest_b = rest_b + lam_b
            else:
                pull_a = pull_of_one(guess_a, vector_a, h2_a, h3_a, h4_a, aa, aa_low, PRECISION)
            lam_a = rest_a - pull_a
            rest_a = rest_a + lam_a
        vector_a = scale_a * lam_a
        put(vectors + here, vector_a, row, a, batch, units)
        if SECOND > 0:
            vector_b = scale_b * lam_b
            put(vectors + here, vector_b, row, b, batch, units)
            pull_a, pull_b = pull_of_two(
                x_a, x_b, vector_a, vector_b, h2_a, h3_a, h4_a, h2_b, h3_b, h4_b,
                aa, aa_low, ab, ab_low, ba, ba_low, bb, bb_low, PRECISION,
            )  # fmt: skip
            lam_b = rest_b - pull_b
        else:
            pull_a = pull_of_one(x_a, vector_a, h2_a, h3_a, h4_a, aa, aa_low, PRECISION)
        lam_a = rest_a - pull_a

    put(out, lam_a, row, a, batch, units)
    if SECOND > 0:
        put(out, lam_b, row, b, batch, units)


# Steps of a stored path lie at any address; without this, each combination of alignments would compile its own kernel.
@triton.jit(do_not_specialize=("batch",), do_not_specialize_on_alignment=("point", "vector", "enters", "next_vector"))
def retreat(
    point, vector, operand, lam, plus, enters, transposed, transposed_low, out, next_vector, next_operand,
    j2, j3, j4, mobility, batch, units, pitch, dt,
    HALF: tl.constexpr, PLUS: tl.constexpr, ENTERS: tl.constexpr, NEXT_HALF: tl.constexpr, PRECISION: tl.constexpr,
    M: tl.constexpr, N: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """Store one tile of one step back, lam (/ 2) (+ plus) - pull(point, vector) (+ enters), and the next vector."""
    tile_row, tile_column = place(tl.program_id(0), batch, units, M, N, 8)
    row, unit = tile_row.to(tl.int64) * M + tl.arange(0, M), tile_column * N + tl.arange(0, N)
    through = matrix_product(operand, transposed, transposed_low, row, unit, pitch, M, N, BK, PRECISION)
    h2, h3, h4 = curvature(j2, j3, j4, unit, units)
    x = take(point, row, unit, batch, units)
    pull = (h2 + x * (h3 + x * h4)) * take(vector, row, unit, batch, units) + through
    result = take(lam, row, unit, batch, units)
    if HALF:
        result = 0.5 * result
    if PLUS:
        result += take(plus, row, unit, batch, units)
    result -= pull
    if ENTERS:
        result += take(enters, row, unit, batch, units)
    put(out, result, row, unit, batch, units)
    following = take_units(mobility, unit, units) * dt * result
    if NEXT_HALF:
        following = 0.5 * following
    put(next_vector, following, row, unit, batch, units)
    inside = (row[:, None] < batch) & (unit[None, :] < units)
    tl.store(
        next_operand + row[:, None] * pitch + unit[None, :], following.to(next_operand.dtype.element_ty), mask=inside
    )
