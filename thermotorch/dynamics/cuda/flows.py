"""The splitting scheme on CUDA: one launch per step, the product of the couplings between two steps with all flows.

    u = y + y @ whole + push,   z = decay N(u) + spread xi,   next y = N(z)

is one launch. The half steps of the couplings at the start, at the end and where a state is recorded are the same
launch with other couplings and, for the last two, without flows. See `operators.arguments.Splitting`.
"""

from functools import partial

import triton
import triton.language as tl
from torch import Tensor

from thermotorch.dynamics.cuda.pipeline import (
    Couplings,
    Force,
    Tile,
    Turns,
    borrowed,
    pieces,
    steps_of_graph,
    stops,
    tile_for,
)
from thermotorch.dynamics.cuda.run import SplittingRun
from thermotorch.dynamics.cuda.tiles import matrix_product, place, put, rows_of_tile, take_units, tile_normals


def splitting(run: SplittingRun) -> tuple[Tensor, Tensor, Tensor]:
    """Return end state, recorded states and kept u of a run of any size."""
    end, recorded, kept = run.outputs()
    tile, graph_steps = tile_for(run.batch, run.precision), steps_of_graph(run)
    for part, size in pieces(run, tile):
        # Pushes of many steps are read in place, so that their graph serves this run only.
        driven, stepwise = run.whole_push.shape[1] > 1, len(run.whole_push) > 1
        key = None if stepwise else (size, run.units, run.whole is None, driven, run.stream, tile, run.precision)
        with borrowed(run, Splitting, key, partial(Splitting, run, size, tile), graph_steps) as pipeline:
            pipeline.begin(run, part)
            done = 1
            for stop, slot, keep in stops(run):
                pipeline.advance(stop - done)
                if slot is not None:
                    pipeline.couple(True, recorded[slot, part])
                if keep is not None:
                    pipeline.couple(False, kept[keep, part])
                done = stop
            pipeline.couple(True, end[part])
    return end, recorded, kept


class Splitting(Turns):
    """A pipeline whose state is y, the result of the flows of a step."""

    def __init__(self, run: SplittingRun, rows: int, tile: Tile, graph_steps: int) -> None:
        self.coupled = run.whole is not None
        matrices = run.matrices or [run.state.new_zeros(run.units, run.units)] * 2
        whole, self.half = (Couplings(matrix.T, tile, run.precision) for matrix in matrices)
        super().__init__(whole, rows, graph_steps)
        self.fast_noise, self.stream = run.fast_noise, run.stream
        self.vectors = run.state.new_empty(4, run.units)
        self.pushes = [Force(push, rows) for push in (run.whole_push, run.half_push)]

    def begin(
        self, run: SplittingRun, part: slice, seen: tuple[Tensor, Tensor] | None = None, between: bool = False
    ) -> None:
        """Launch the first step, half of the couplings and the flows; the clock then holds the next step and its push.

        With `between` the state of `run` is a u, between two steps, and the step consists of the flows.
        """
        self.start(run, part)
        for vector, values in zip(self.vectors, (run.decay, run.spread, run.stiffness, run.shift), strict=True):
            vector.copy_(values)
        for couplings, matrix in zip((self.couplings, self.half), run.matrices, strict=False):
            couplings.set(matrix.T)
        for force, push in zip(self.pushes, (run.whole_push, run.half_push), strict=True):
            force.set(push, part)
        self.stage(None if between else self.half, 1, self.points[1], self.operands[1], 0, True, seen)
        self.now = 1
        self.clock[1] += 1

    def launch(self, offset: int, seen: tuple[Tensor, Tensor] | None = None) -> None:
        target = 1 - self.now
        self.stage(self.couplings, 0, self.points[target], self.operands[target], offset, True, seen)
        self.now = target

    def couple(self, half: bool, out: Tensor) -> None:
        """Store y + y @ half (or whole) + push of the last step in `out` [rows, unit]."""
        self.stage(self.half if half else self.couplings, int(half), out, out, 0, False)

    def stage(
        self, couplings: Couplings | None, push: int, out: Tensor, out_operand: Tensor, offset: int, flow: bool,
        seen: tuple[Tensor, Tensor] | None = None,
    ) -> None:  # fmt: skip
        """Launch the kernel, without couplings also without push; `seen` receives u and z [rows, unit]."""
        tile, kicked = self.tile, couplings is not None
        couplings = couplings or self.couplings
        flows[self.grid](
            self.points[self.now], self.operands[self.now], couplings.high, couplings.low, out, out_operand,
            *(seen or (out, out)),
            self.pushes[push].here, *self.vectors, self.ids, self.clock,
            self.rows, self.units, couplings.pitch, couplings.pitch if flow else self.units, offset, self.stream,
            *self.pushes[push].strides,
            FLOW=flow, SEEN=seen is not None, KICKED=kicked, COUPLED=kicked and self.coupled,
            PRECISION=couplings.precision, FAST=self.fast_noise,
            M=tile.m, N=tile.n, BK=tile.k, num_warps=tile.warps, num_stages=tile.stages,
        )  # fmt: skip


@triton.jit
def relax(x, stiffness, shift):
    """Return N(x), the quartic flow of half a step."""
    y = x + shift
    # Adding and subtracting the shift would move a clamped unit by the rounding error.
    return tl.where(stiffness == 0.0, x, y * tl.rsqrt(1.0 + stiffness * y * y) - shift)


@triton.jit(do_not_specialize=("batch", "offset", "stream", "push_step", "push_row"))
def flows(
    point, operand, couplings, couplings_low, out, out_operand, seen_u, seen_z, push, decay, spread, stiffness, shift,
    ids, clock, batch, units, pitch, out_pitch, offset, stream, push_step, push_row,
    FLOW: tl.constexpr, SEEN: tl.constexpr, KICKED: tl.constexpr, COUPLED: tl.constexpr, PRECISION: tl.constexpr,
    FAST: tl.constexpr, M: tl.constexpr, N: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """Advance one tile; `clock` holds seed, step and the row of the push, and `offset` counts from them."""
    tile_row, tile_column = place(tl.program_id(0), batch, units, M, N, 8)
    row, sample, first_sample, counting = rows_of_tile(ids, tile_row.to(tl.int64) * M, batch, M, 2)
    unit = tile_column * N + tl.arange(0, N)
    inside = (row[:, None] < batch) & (unit[None, :] < units)
    x = tl.load(point + row[:, None] * pitch + unit[None, :], mask=inside, other=0.0)
    if KICKED:
        now = push + (tl.load(clock + 2) + offset) * push_step
        x += tl.load(now + row[:, None] * push_row + unit[None, :], mask=inside, other=0.0)
    if COUPLED:
        x = matrix_product(operand, couplings, couplings_low, row, unit, pitch, M, N, BK, PRECISION) + x
    if FLOW:
        seed = tl.load(clock)
        step = tl.load(clock + 1) + offset
        low, high = seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF
        xi = tile_normals(x, sample, first_sample, counting, unit, step, stream, low, high, M, 2, FAST)
        n, a = take_units(stiffness, unit, units), take_units(shift, unit, units)
        z = take_units(decay, unit, units) * relax(x, n, a) + take_units(spread, unit, units) * xi
        if SEEN:
            put(seen_u, x, row, unit, batch, units)
            put(seen_z, z, row, unit, batch, units)
        x = relax(z, n, a)
    place_of = row[:, None] * out_pitch + unit[None, :]
    tl.store(out + place_of, x, mask=inside)
    if FLOW and PRECISION == "bf16":
        tl.store(out_operand + place_of, x.to(tl.bfloat16), mask=inside)
