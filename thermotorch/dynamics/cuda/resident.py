"""Whole trajectories of small networks, up to 128 units, in one launch with the couplings on chip.

A program owns 16 samples for all steps. State and couplings stay in registers, noise is generated in place, and only
records go to memory. Units form one or two column blocks, 64 + 32 up to 96, since tiles are powers of two and padding
80 to 128 would waste a quarter of the noise and half of the products.
"""

import triton
import triton.language as tl
from torch import Tensor

from thermotorch.dynamics.cuda.run import Run, strides
from thermotorch.dynamics.cuda.tiles import (
    on_site,
    product,
    put,
    rows_of_tile,
    take,
    take_couplings,
    take_units,
    tile_normals,
)

MAX_UNITS = 128
ROWS = 16  # samples of a program: the minimum of a tensor core, so that small batches occupy many processors


def column_blocks(units: int) -> tuple[int, int]:
    """Return the sizes of the two column blocks; the second may be 0.

    It is never 16: in Triton's layout of a 16 x 16 tile all warps repeat the whole of it and of its neighbours, while
    32 columns cost a warp no more than 16.
    """
    if 64 < units <= 96:
        return 64, 32
    return max(16, 1 << (units - 1).bit_length()), 0


def num_warps(first: int) -> int:
    """Return the number of warps; each owns 16 columns of the first block, so that none repeats the work of another."""
    return first // 16


def fits(run: Run) -> bool:
    return run.units <= MAX_UNITS


def langevin(run: Run, guesses: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Return end state, recorded and kept states of a run that `fits`; Heun's guesses go to `guesses` if given."""
    end, recorded, kept = run.outputs()
    first, second = column_blocks(run.units)
    trajectory[(triton.cdiv(run.batch, ROWS),)](
        run.state, run.matrix, run.bias, run.j2, run.j3, run.j4, run.mobility,
        run.bias if run.drive is None else run.drive, run.sample_ids, end, recorded, kept,
        end if guesses is None else guesses,
        run.batch, run.units, run.steps, run.dt, 2 * run.temperature * run.dt, *run.key, *run.start, run.stream,
        *run.recording, max(1, run.keep), *((0, 0) if run.drive is None else strides(run.drive)),
        SCHEME=run.integrator, PRECISION=run.precision, FAST=run.fast_noise,
        DRIVE=0 if run.drive is None else 1 if len(run.drive) == 1 else 2,
        RECORD=len(recorded) > 0, KEEP=len(kept) > 0, GUESS=guesses is not None,
        FIRST=first, SECOND=second, ROWS=ROWS, num_warps=num_warps(first),
    )  # fmt: skip
    return end, recorded, kept


@triton.jit(do_not_specialize=(
    "batch", "units", "steps", "key_low", "key_high", "start_low", "start_high", "stream", "first_record", "record",
    "keep", "drive_step", "drive_row",
))  # fmt: skip
def trajectory(
    state, matrix, bias, j2, j3, j4, mobility, drive, ids, end, recorded, kept, guesses,
    batch, units, steps, dt, noise_scale, key_low, key_high, start_low, start_high, stream,
    first_record, record, keep, drive_step, drive_row,
    SCHEME: tl.constexpr, PRECISION: tl.constexpr, FAST: tl.constexpr, DRIVE: tl.constexpr, RECORD: tl.constexpr,
    KEEP: tl.constexpr, GUESS: tl.constexpr, FIRST: tl.constexpr, SECOND: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """Run all steps of the program's samples.

    `_a` belongs to the first column block, `_b` to the second if there is one.
    """
    first_row = tl.program_id(0).to(tl.int64) * ROWS
    row, sample, first_sample, counting = rows_of_tile(ids, first_row, batch, ROWS, 2)
    first_step = (start_high.to(tl.int64) << 32) | (start_low.to(tl.int64) & 0xFFFFFFFF)

    size = batch.to(tl.int64) * units
    a = tl.arange(0, FIRST)
    x_a = take(state, row, a, batch, units)
    scale_a, amplitude_a, a2_a, a3_a, a4_a = coefficients(j2, j3, j4, mobility, dt, noise_scale, a, units)
    force_a = force_on(bias, drive, scale_a, row, a, batch, units, drive_row, DRIVE)
    aa, aa_low = take_couplings(matrix, 0, 0, scale_a, units, FIRST, FIRST, PRECISION)
    if SECOND > 0:
        b = FIRST + tl.arange(0, SECOND)
        x_b = take(state, row, b, batch, units)
        scale_b, amplitude_b, a2_b, a3_b, a4_b = coefficients(j2, j3, j4, mobility, dt, noise_scale, b, units)
        force_b = force_on(bias, drive, scale_b, row, b, batch, units, drive_row, DRIVE)
        ab, ab_low = take_couplings(matrix, 0, FIRST, scale_b, units, FIRST, SECOND, PRECISION)
        ba, ba_low = take_couplings(matrix, FIRST, 0, scale_a, units, SECOND, FIRST, PRECISION)
        bb, bb_low = take_couplings(matrix, FIRST, FIRST, scale_b, units, SECOND, SECOND, PRECISION)

    AHEAD: tl.constexpr = 1 if SCHEME == "leimkuhler_matthews" else 0
    if AHEAD:  # averages the normals of this step and the next, which are carried along
        old_a = tile_normals(
            x_a, sample, first_sample, counting, a, first_step, stream, key_low, key_high, ROWS, 2, FAST,
        )  # fmt: skip
        if SECOND > 0:
            old_b = tile_normals(
                x_b, sample, first_sample, counting, b, first_step, stream, key_low, key_high, ROWS, 2, FAST,
            )  # fmt: skip

    until_record = first_record + 0
    until_keep = keep + 0
    for k in range(steps):
        step = first_step + k + AHEAD
        noise_a = tile_normals(
            x_a, sample, first_sample, counting, a, step, stream, key_low, key_high, ROWS, 2, FAST,
        )  # fmt: skip
        if SECOND > 0:
            noise_b = tile_normals(
                x_b, sample, first_sample, counting, b, step, stream, key_low, key_high, ROWS, 2, FAST,
            )  # fmt: skip
        if AHEAD:
            new_a = noise_a
            noise_a = 0.5 * (old_a + new_a)
            old_a = new_a
            if SECOND > 0:
                new_b = noise_b
                noise_b = 0.5 * (old_b + new_b)
                old_b = new_b
        noise_a = amplitude_a * noise_a
        if SECOND > 0:
            noise_b = amplitude_b * noise_b

        if DRIVE == 2:
            now = drive + tl.cast(k, tl.int64) * drive_step
            force_a = force_on(bias, now, scale_a, row, a, batch, units, drive_row, DRIVE)
            if SECOND > 0:
                force_b = force_on(bias, now, scale_b, row, b, batch, units, drive_row, DRIVE)

        if SECOND > 0:
            drift_a, drift_b = drift_of_two(
                x_a, x_b, force_a, force_b, a2_a, a3_a, a4_a, a2_b, a3_b, a4_b,
                aa, aa_low, ab, ab_low, ba, ba_low, bb, bb_low, PRECISION,
            )  # fmt: skip
            if SCHEME == "heun":
                guess_a, guess_b = x_a + drift_a + noise_a, x_b + drift_b + noise_b
                if GUESS:
                    put(guesses + tl.cast(k, tl.int64) * size, guess_a, row, a, batch, units)
                    put(guesses + tl.cast(k, tl.int64) * size, guess_b, row, b, batch, units)
                ahead_a, ahead_b = drift_of_two(
                    guess_a, guess_b, force_a, force_b, a2_a, a3_a, a4_a, a2_b, a3_b, a4_b,
                    aa, aa_low, ab, ab_low, ba, ba_low, bb, bb_low, PRECISION,
                )  # fmt: skip
                drift_a, drift_b = 0.5 * (drift_a + ahead_a), 0.5 * (drift_b + ahead_b)
            x_b = x_b + drift_b + noise_b
        else:
            drift_a = drift_of_one(x_a, force_a, a2_a, a3_a, a4_a, aa, aa_low, PRECISION)
            if SCHEME == "heun":
                guess_a = x_a + drift_a + noise_a
                if GUESS:
                    put(guesses + tl.cast(k, tl.int64) * size, guess_a, row, a, batch, units)
                drift_a = 0.5 * (drift_a + drift_of_one(guess_a, force_a, a2_a, a3_a, a4_a, aa, aa_low, PRECISION))
        x_a = x_a + drift_a + noise_a

        if RECORD:
            until_record -= 1
            if until_record == 0:
                until_record += record
                slot = recorded + (tl.cast(k, tl.int64) + record - first_record) // record * size
                put(slot, x_a, row, a, batch, units)
                if SECOND > 0:
                    put(slot, x_b, row, b, batch, units)
        if KEEP:
            until_keep -= 1
            if (until_keep == 0) & (k + 1 < steps):
                until_keep += keep
                slot = kept + tl.cast((k + 1) // keep - 1, tl.int64) * size
                put(slot, x_a, row, a, batch, units)
                if SECOND > 0:
                    put(slot, x_b, row, b, batch, units)

    put(end, x_a, row, a, batch, units)
    if SECOND > 0:
        put(end, x_b, row, b, batch, units)


@triton.jit
def coefficients(j2, j3, j4, mobility, dt, noise_scale, unit, units):
    """Return mobility dt, the noise's amplitude, and the on-site coefficients times mobility dt, [1, units] each."""
    mu = take_units(mobility, unit, units)
    scale = mu * dt
    a2 = 2 * take_units(j2, unit, units) * scale
    a3 = 3 * take_units(j3, unit, units) * scale
    a4 = 4 * take_units(j4, unit, units) * scale
    return scale, tl.sqrt(mu * noise_scale), a2, a3, a4


@triton.jit
def force_on(bias, drive, scale, row, unit, batch, units, drive_row, DRIVE: tl.constexpr):
    """Return mobility dt (drive - bias), [1, units] or [rows, units]."""
    force = -take_units(bias, unit, units)
    if DRIVE > 0:
        inside = (row[:, None] < batch) & (unit[None, :] < units)
        force += tl.load(drive + row[:, None] * drive_row + unit[None, :], mask=inside, other=0.0)
    return force * scale


@triton.jit
def drift_of_one(x, force, a2, a3, a4, couplings, low, PRECISION: tl.constexpr):
    return force - on_site(x, a2, a3, a4) - product(x, couplings, low, PRECISION)


@triton.jit
def drift_of_two(
    x_a, x_b, force_a, force_b, a2_a, a3_a, a4_a, a2_b, a3_b, a4_b,
    aa, aa_low, ab, ab_low, ba, ba_low, bb, bb_low, PRECISION: tl.constexpr,
):  # fmt: skip
    field_a = product(x_a, aa, aa_low, PRECISION) + product(x_b, ba, ba_low, PRECISION)
    field_b = product(x_a, ab, ab_low, PRECISION) + product(x_b, bb, bb_low, PRECISION)
    return force_a - on_site(x_a, a2_a, a3_a, a4_a) - field_a, force_b - on_site(x_b, a2_b, a3_b, a4_b) - field_b
