"""Networks of any size: one launch per step, the coupling product with noise, force and update in its epilogue.

A program computes one tile [samples, units] of the next state: it multiplies its rows of the state by its columns of
the couplings on tensor cores, draws the tile's noise beside the sums in registers, and writes the new state (and, for
"bf16", a copy as the operand of the next step). Steps are replayed from a CUDA graph of an even number of them, which
reads seed and step number from memory; batches run in pieces whose state fits the second-level cache.

The same kernel also accepts products computed by cuBLAS (`library=True`). This takes two launches and one more trip of
the field through the cache, but its products share their loads between processors, and four samples share their noise.
It is the default for large batches with rounded operands; "ieee" uses the fused product, whose bits do not depend on
the batch. `scripts/gpu_checks.py` measures both.
"""

from functools import partial

import triton
import triton.language as tl
from torch import Tensor

from thermotorch.dynamics.cuda.matmul import matmul
from thermotorch.dynamics.cuda.pipeline import (
    FEW,
    Couplings,
    Force,
    Tile,
    Turns,
    borrowed,
    pieces,
    steps_of_graph,
    tile_for,
)
from thermotorch.dynamics.cuda.run import Run
from thermotorch.dynamics.cuda.tiles import matrix_product, on_site, place, rows_of_tile, take_units, tile_normals

POINTWISE = Tile(32, 128, 64, 4, 1)  # for a kernel without a product


def langevin(
    run: Run, guesses: Tensor | None = None, tile: Tile | None = None, library: bool | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return end state, recorded and kept states of a run of any size; with `keep` 1 fill `guesses` with Heun's."""
    end, recorded, kept = run.outputs()
    if library is None:
        library = tile is None and run.precision != "ieee" and run.batch > FEW
    tile = tile or (
        POINTWISE if library else tile_for(run.batch, run.precision, run.integrator == "leimkuhler_matthews")
    )
    driven, stepwise = (None, False) if run.drive is None else (run.drive.shape[1] > 1, len(run.drive) > 1)
    graph_steps = steps_of_graph(run)
    for part, size in pieces(run, tile):
        # A drive of many steps is read in place, so that its graph serves this run only.
        constants = run.integrator, run.precision, run.dt, run.temperature, run.stream, tile, library
        key = None if stepwise else (size, run.units, driven, *constants)
        with borrowed(run, Langevin, key, partial(Langevin, run, size, tile, library), graph_steps) as pipeline:
            pipeline.load(run, part)
            each = None if guesses is None else partial(pipeline.read_guess, guesses, part)
            pipeline.follow(run, part, end, recorded, kept, each)
    return end, recorded, kept


class Langevin(Turns):
    """A pipeline of the schemes that are based on forces."""

    def __init__(self, run: Run, rows: int, tile: Tile, library: bool, graph_steps: int) -> None:
        self.library = library
        self.integrator, self.fast_noise = run.integrator, run.fast_noise
        self.numbers = run.dt, 2 * run.temperature * run.dt, run.stream
        # Heun's third buffer is the guess.
        super().__init__(
            Couplings(run.matrix.T, tile, run.precision), rows, graph_steps, 3 if run.integrator == "heun" else 2
        )
        self.vectors = run.state.new_empty(5, run.units)
        self.drive = None if run.drive is None else Force(run.drive, rows)

    def load(self, run: Run, part: slice) -> None:
        """Start from samples `part` of `run`."""
        self.start(run, part)
        self.couplings.set(run.matrix.T)
        for vector, values in zip(self.vectors, (run.bias, run.j2, run.j3, run.j4, run.mobility), strict=True):
            vector.copy_(values)
        if self.drive is not None and run.drive is not None:
            self.drive.set(run.drive, part)

    def read_guess(self, guesses: Tensor, part: slice, done: int) -> None:
        """Copy Heun's guess of the step after `done` steps to its place in `guesses` [steps, batch, unit]."""
        self.read(guesses[done, part], 2)

    def launch(self, offset: int) -> None:
        source, target = self.now, 1 - self.now
        if self.integrator == "heun":
            self.stage("euler_maruyama", source, source, 2, offset)
            self.stage("heun", 2, source, target, offset)
        else:
            self.stage(self.integrator, source, source, target, offset)
        self.now = target

    def stage(self, name: str, point: int, origin: int, out: int, offset: int) -> None:
        tile, couplings = self.tile, self.couplings
        field, drive = self.points, self.drive
        if self.library:
            field = matmul(self.operands[point], couplings.whole.T, couplings.precision)
        advance[self.grid](
            self.points[point], self.operands[point], self.points[origin], couplings.high, couplings.low, field,
            self.points[out], self.operands[out], *self.vectors,
            self.points if drive is None else drive.here, self.ids, self.clock,
            self.rows, self.units, couplings.pitch, len(couplings.high), offset, *self.numbers,
            *((0, 0) if drive is None else drive.strides),
            STAGE=name, PRECISION=couplings.precision, FAST=self.fast_noise, PRODUCT=not self.library,
            DRIVE=drive is not None, M=tile.m, N=tile.n, BK=tile.k, num_warps=tile.warps, num_stages=tile.stages,
        )  # fmt: skip


@triton.jit(do_not_specialize=("batch", "offset", "stream", "drive_step", "drive_row"))
def advance(
    point, operand, origin, couplings, couplings_low, products, out, out_operand, bias, j2, j3, j4, mobility, drive,
    ids, clock, batch, units, pitch, product_pitch, offset, dt, noise_scale, stream, drive_step, drive_row,
    STAGE: tl.constexpr, PRECISION: tl.constexpr, FAST: tl.constexpr, PRODUCT: tl.constexpr, DRIVE: tl.constexpr,
    M: tl.constexpr, N: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """Advance one tile from `point`; `clock` holds seed, step and the row of the drive, and `offset` counts from them.

    STAGE "euler_maruyama": point + drift + noise. "heun": the second half of a step, (origin + point + drift + noise) /
    2 at the guess `point` of the first. "leimkuhler_matthews": Euler-Maruyama with the mean of two steps' normals.
    """
    tile_row, tile_column = place(tl.program_id(0), batch, units, M, N, 8)
    SHARED: tl.constexpr = 2 if PRODUCT else 4
    row, sample, first_sample, counting = rows_of_tile(ids, tile_row.to(tl.int64) * M, batch, M, SHARED)
    unit = tile_column * N + tl.arange(0, N)
    if PRODUCT:
        field = matrix_product(operand, couplings, couplings_low, row, unit, pitch, M, N, BK, PRECISION)
    else:
        field = tl.load(products + row[:, None] * product_pitch + unit[None, :])

    seed = tl.load(clock)
    step = tl.load(clock + 1) + offset
    key_low, key_high = seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF
    noise = tile_normals(field, sample, first_sample, counting, unit, step, stream, key_low, key_high, M, SHARED, FAST)
    if STAGE == "leimkuhler_matthews":
        after = tile_normals(
            field, sample, first_sample, counting, unit, step + 1, stream, key_low, key_high, M, SHARED, FAST
        )
        noise = 0.5 * (noise + after)

    inside = (row[:, None] < batch) & (unit[None, :] < units)
    where = row[:, None] * pitch + unit[None, :]
    x = tl.load(point + where, mask=inside, other=0.0)
    mu = take_units(mobility, unit, units)
    force = -take_units(bias, unit, units)
    if DRIVE:
        now = drive + (tl.load(clock + 2) + offset) * drive_step
        force += tl.load(now + row[:, None] * drive_row + unit[None, :], mask=inside, other=0.0)
    a2, a3, a4 = 2 * take_units(j2, unit, units), 3 * take_units(j3, unit, units), 4 * take_units(j4, unit, units)
    drift = mu * dt * (force - on_site(x, a2, a3, a4) - field)
    increment = tl.sqrt(mu * noise_scale) * noise
    if STAGE == "heun":
        x = 0.5 * (tl.load(origin + where, mask=inside, other=0.0) + x) + 0.5 * (drift + increment)
    else:
        x = x + drift + increment
    tl.store(out + where, x, mask=inside)
    if PRECISION == "bf16":
        tl.store(out_operand + where, x.to(tl.bfloat16), mask=inside)
