"""Networks of any size: one launch per step, the coupling product with noise, force and update in its epilogue.

A program makes one tile [samples, units] of the next state: it multiplies its rows of the state with its columns of the
couplings on tensor cores, draws the tile's noise where the sums lie, and writes the new state (and, for "bf16", a copy of
it that the next step multiplies). Steps are replayed from a CUDA graph of an even number of them, which reads seed and
step number from memory; batches are run in pieces whose state stays in the second-level cache.
"""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

import torch
import triton
import triton.language as tl
from torch import Tensor

from thermotorch.dynamics.kernels.run import Run
from thermotorch.dynamics.kernels.tiles import on_site, rows_of_tile, split, take_units, tile_normals

CACHE = 40e6  # bytes of state that a piece of the batch may take: most of the second-level cache of an H100 or H200
GRAPH = 50  # steps of a graph: few enough to capture in milliseconds, enough to hide a launch
KEPT_PIPELINES = 2


@dataclass(frozen=True)
class Tile:
    """Shape of a program: samples and units of its tile, units multiplied at a time, warps, stages of the loads."""

    m: int
    n: int
    k: int
    warps: int
    stages: int


def tile_for(batch: int, precision: str) -> Tile:
    """Large tiles read the operands fewer times; small ones reach more processors when there is little to do."""
    k = 64 if precision == "bf16" else 32
    if batch <= 512:
        return Tile(64, 64, k, 4, 3 if precision == "ieee" else 4)
    return Tile(128, 64, k, 8, 3) if precision == "ieee" else Tile(128, 128, k, 8, 3)


def langevin(run: Run, guesses: Tensor | None = None, tile: Tile | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """End state, recorded and kept states of a run of any size; with `keep` 1 also Heun's guesses, if asked for."""
    end, recorded, kept = run.outputs()
    tile = tile or tile_for(run.batch, run.precision)
    rows = piece(run, tile)
    for first in range(0, run.batch, rows):
        part = slice(first, min(first + rows, run.batch))
        with borrowed_pipeline(run, part, tile) as pipeline:
            done = 0
            for stop, slot, keep in stops(run):
                pipeline.advance(stop - done)
                if guesses is not None:
                    pipeline.read(guesses[done, part], 2)
                if slot is not None:
                    pipeline.read(recorded[slot, part])
                if keep is not None:
                    pipeline.read(kept[keep, part])
                done = stop
            pipeline.read(end[part])
    return end, recorded, kept


def stops(run: Run):
    """(steps done, slot to record or None, slot to keep or None), up to the end of the run."""
    first, every = run.recording
    done = 0
    while done < run.steps:
        to_record = first - done if done < first else every - (done - first) % every
        to_keep = run.keep - done % run.keep if run.keep else run.steps
        done += min(run.steps - done, to_record, to_keep)
        records = run.num_recorded and done >= first and (done - first) % every == 0
        keeps = run.keep and done % run.keep == 0 and done < run.steps
        yield done, (done - first) // every if records else None, done // run.keep - 1 if keeps else None


def piece(run: Run, tile: Tile) -> int:
    """Samples that run together: all of them, or equal parts whose state stays in the second-level cache."""
    bytes_of_row = run.units * (12 if run.precision == "bf16" else 8)
    pieces = max(1, round(run.batch * bytes_of_row / CACHE))
    return triton.cdiv(triton.cdiv(run.batch, pieces), tile.m) * tile.m


_pipelines: OrderedDict[tuple, "Pipeline"] = OrderedDict()
_lock = Lock()


@contextmanager
def borrowed_pipeline(run: Run, part: slice, tile: Tile) -> Iterator["Pipeline"]:
    """A pipeline loaded with samples `part` of the run: one that was used before, graph and all, where there is one.

    It belongs to a stream, so that its buffers are never used by two runs at once. While the caller captures a graph of
    his own, or with a drive that is read where it lies, nothing is kept.
    """
    rows, here = part.stop - part.start, run.state.device
    if here.type != "cuda" or torch.cuda.is_current_stream_capturing():
        pipeline, key = Pipeline(run, rows, tile, 0), None
    else:
        between_stops = min(run.steps, run.record or run.steps, run.keep or run.steps)
        graph_steps = min(GRAPH, between_stops) // 2 * 2
        driven = None if run.drive is None else run.drive.shape[1] > 1
        stream = torch.cuda.current_stream(here).cuda_stream
        key = (here, stream, rows, run.units, driven, run.constants, tile, graph_steps)
        if run.drive is not None and len(run.drive) > 1:
            key = None
        with _lock:
            pipeline = _pipelines.pop(key, None) or Pipeline(run, rows, tile, graph_steps)
    pipeline.load(run, part)
    yield pipeline
    if key is not None:
        with _lock:
            _pipelines[key] = pipeline
            while len(_pipelines) > KEPT_PIPELINES:
                _pipelines.popitem(last=False)


class Couplings:
    """A matrix as the second operand of `matrix_product`: rows padded to tiles, columns to whole loads, with zeros.

    Products with it give x @ matrix^T, so its rows are read along their length. "ieee" splits it in two parts that a
    tensor core reads exactly.
    """

    def __init__(self, matrix: Tensor, tile: Tile, precision: str) -> None:
        self.units, self.precision, self.tile = len(matrix), precision, tile
        self.pitch = triton.cdiv(self.units, 64) * 64
        self.dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        shape = triton.cdiv(self.units, tile.n) * tile.n, self.pitch
        self.high = torch.zeros(shape, dtype=self.dtype, device=matrix.device)
        self.low = torch.zeros_like(self.high) if precision == "ieee" else self.high
        self.set(matrix)

    def set(self, matrix: Tensor) -> None:
        high = matrix
        if self.precision == "ieee":
            high = (matrix.contiguous().view(torch.int32) & -8192).view(torch.float32)
            self.low[: self.units, : self.units] = matrix - high
        self.high[: self.units, : self.units] = high

    def operands(self, count: int, rows: int) -> Tensor:
        """Zeroed buffers for the first operand, [count, rows padded to tiles, pitch]."""
        padded = triton.cdiv(rows, self.tile.m) * self.tile.m
        return torch.zeros(count, padded, self.pitch, dtype=self.dtype, device=self.high.device)


class Pipeline:
    """Buffers for `rows` samples, the launches of a step on them, and a graph of many steps.

    Two buffers take turns as the state; rows are padded to tiles and columns to whole loads, with zeros that nobody
    writes, so that the products need no masks. `clock` on the device holds seed, step, and row of the drive.
    """

    def __init__(self, run: Run, rows: int, tile: Tile, graph_steps: int) -> None:
        self.rows, self.units, self.tile = rows, run.units, tile
        self.integrator, self.precision, self.fast_noise = run.integrator, run.precision, run.fast_noise
        self.numbers = run.dt, 2 * run.temperature * run.dt, run.stream
        self.couplings = Couplings(run.matrix.T, tile, run.precision)
        states = 3 if run.integrator == "heun" else 2  # the third is the guess
        self.operands = self.couplings.operands(states, rows)
        self.points = torch.zeros_like(self.operands, dtype=torch.float32) if run.precision == "bf16" else self.operands
        new = run.state.new_zeros
        self.vectors = new(5, run.units)
        self.ids = torch.zeros(rows, dtype=torch.int64, device=run.state.device)
        self.clock = torch.zeros(3, dtype=torch.int64, device=run.state.device)
        self.drive, self.drive_strides = run.drive, run.drive_strides
        if run.drive is not None and len(run.drive) == 1:
            self.drive = new(1, rows if run.drive.shape[1] > 1 else 1, run.units)
        self.now, self.graph, self.graph_steps = 0, None, graph_steps
        self.tick = self.clock.new_tensor([0, graph_steps, graph_steps])

    def load(self, run: Run, part: slice) -> None:
        """Start from samples `part` of `run`."""
        self.couplings.set(run.matrix.T)
        for vector, values in zip(self.vectors, (run.bias, run.j2, run.j3, run.j4, run.mobility), strict=True):
            vector.copy_(values)
        self.ids.copy_(run.sample_ids[part])
        if run.drive is not None:
            drive = run.drive[:, part] if run.drive.shape[1] > 1 else run.drive
            if len(run.drive) == 1:
                self.drive.copy_(drive)
            else:
                self.drive = drive
        self.now = 0
        self.write(run.state[part])
        self.clock[0].fill_(run.seed)
        self.clock[1].fill_(run.start_step)
        self.clock[2].fill_(0)

    def write(self, state: Tensor) -> None:
        for buffer in {id(t): t for t in (self.points, self.operands)}.values():
            buffer[self.now, : self.rows, : self.units] = state

    def read(self, out: Tensor, buffer: int | None = None) -> None:
        out.copy_(self.points[self.now if buffer is None else buffer, : self.rows, : self.units])

    def advance(self, steps: int) -> None:
        """`steps` steps: whole graphs of an even number of them, the rest launched one by one."""
        if 0 < self.graph_steps <= steps:
            if self.graph is None:
                self.capture()
            if self.now:  # a graph starts from buffer 0
                self.points[0].copy_(self.points[1])
                if self.operands is not self.points:
                    self.operands[0].copy_(self.operands[1])
                self.now = 0
            for _ in range(steps // self.graph_steps):
                self.graph.replay()
            steps %= self.graph_steps
        for offset in range(steps):
            self.launch(offset)
        if steps:
            self.clock[1:] += steps

    def capture(self) -> None:
        """Record a graph. A first step outside it compiles the kernels; the state it spoils is put back."""
        saved = self.points[self.now].clone(), self.operands[self.now].clone(), self.now
        self.launch(0)
        current, side = torch.cuda.current_stream(), torch.cuda.Stream()
        side.wait_stream(current)
        graph, self.now = torch.cuda.CUDAGraph(), 0
        with torch.cuda.stream(side):
            graph.capture_begin(capture_error_mode="thread_local")
            for offset in range(self.graph_steps):
                self.launch(offset)
            self.clock.add_(self.tick)
            graph.capture_end()
        current.wait_stream(side)
        self.graph, self.now = graph, saved[2]
        self.points[self.now].copy_(saved[0])
        self.operands[self.now].copy_(saved[1])

    def launch(self, offset: int) -> None:
        source, target = self.now, 1 - self.now
        if self.integrator == "heun":
            self.stage("euler_maruyama", source, source, 2, offset)
            self.stage("heun", 2, source, target, offset)
        else:
            self.stage(self.integrator, source, source, target, offset)
        self.now = target

    def stage(self, name: str, point: int, origin: int, out: int, offset: int) -> None:
        tile = self.tile
        grid = (triton.cdiv(self.rows, tile.m) * triton.cdiv(self.units, tile.n),)
        advance[grid](
            self.points[point], self.operands[point], self.points[origin], self.couplings.high, self.couplings.low,
            self.points[out], self.operands[out], *self.vectors,
            self.points if self.drive is None else self.drive, self.ids, self.clock,
            self.rows, self.units, self.couplings.pitch, offset, *self.numbers, *self.drive_strides,
            STAGE=name, PRECISION=self.precision, FAST=self.fast_noise, DRIVE=self.drive is not None,
            M=tile.m, N=tile.n, BK=tile.k, num_warps=tile.warps, num_stages=tile.stages,
        )  # fmt: skip


@triton.jit
def matrix_product(
    operand, couplings, couplings_low, row, column, pitch, M: tl.constexpr, N: tl.constexpr, BK: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Rows of `operand` [samples, pitch] times rows of `couplings` [units, pitch]: sums over both pitches, float32 [M, N]."""
    k = tl.arange(0, BK)
    a = operand + row[:, None] * pitch + k[None, :]
    b = couplings + column[None, :].to(tl.int64) * pitch + k[:, None]
    b_low = couplings_low + column[None, :].to(tl.int64) * pitch + k[:, None]
    total = tl.zeros((M, N), tl.float32)
    for _ in range(0, pitch, BK):
        if PRECISION == "ieee":
            high, low = split(tl.load(a))
            b_high = tl.load(b)
            total = tl.dot(low, b_high, total, input_precision="tf32")
            total = tl.dot(high, tl.load(b_low), total, input_precision="tf32")
            total = tl.dot(high, b_high, total, input_precision="tf32")
            b_low += BK
        else:
            total = tl.dot(tl.load(a), tl.load(b), total, input_precision="tf32")
        a += BK
        b += BK
    return total


@triton.jit
def place(pid, batch, units, M: tl.constexpr, N: tl.constexpr, GROUP: tl.constexpr):
    """Tile coordinates of a program: GROUP rows of tiles at a time, column by column, so that neighbours share operands."""
    tile_rows, tile_columns = tl.cdiv(batch, M), tl.cdiv(units, N)
    first = pid // (GROUP * tile_columns) * GROUP
    height = tl.minimum(tile_rows - first, GROUP)
    within = pid % (GROUP * tile_columns)
    return first + within % height, within // height


@triton.jit(do_not_specialize=("batch", "offset", "stream", "drive_step", "drive_row"))
def advance(
    point, operand, origin, couplings, couplings_low, out, out_operand, bias, j2, j3, j4, mobility, drive, ids, clock,
    batch, units, pitch, offset, dt, noise_scale, stream, drive_step, drive_row,
    STAGE: tl.constexpr, PRECISION: tl.constexpr, FAST: tl.constexpr, DRIVE: tl.constexpr,
    M: tl.constexpr, N: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """One tile of one step from `point`; `clock` holds seed, step and the row of the drive, `offset` counts from them.

    STAGE "euler_maruyama": point + drift + noise. "heun": the second half of a step, (origin + point + drift + noise) / 2
    at the guess `point` of the first. "leimkuhler_matthews": Euler-Maruyama with the mean of two steps' normals.
    """
    tile_row, tile_column = place(tl.program_id(0), batch, units, M, N, 8)
    row, sample, first_sample, counting = rows_of_tile(ids, tile_row.to(tl.int64) * M, batch, M)
    unit = tile_column * N + tl.arange(0, N)
    field = matrix_product(operand, couplings, couplings_low, row, unit, pitch, M, N, BK, PRECISION)

    seed = tl.load(clock)
    step = tl.load(clock + 1) + offset
    key_low, key_high = seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF
    noise = tile_normals(field, sample, first_sample, counting, unit, step, stream, key_low, key_high, M, FAST)
    if STAGE == "leimkuhler_matthews":
        after = tile_normals(field, sample, first_sample, counting, unit, step + 1, stream, key_low, key_high, M, FAST)
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
    kick = tl.sqrt(mu * noise_scale) * noise
    if STAGE == "heun":
        x = 0.5 * (tl.load(origin + where, mask=inside, other=0.0) + x) + 0.5 * (drift + kick)
    else:
        x = x + drift + kick
    tl.store(out + where, x, mask=inside)
    if PRECISION == "bf16":
        tl.store(out_operand + where, x.to(tl.bfloat16), mask=inside)
