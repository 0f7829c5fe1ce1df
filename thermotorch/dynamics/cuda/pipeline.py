"""Sequences of launches on the same buffers, with a clock on the device and a graph of many steps."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import TypeVar

import torch
import triton
from torch import Tensor

from thermotorch.dynamics.cuda.run import Launch, strides

CACHE = 40e6  # bytes of state that a piece of the batch may take: most of the second-level cache of an H100 or H200
GRAPH = 50  # steps of a graph: few enough to capture in milliseconds, enough to hide a launch
FEW = 512  # samples up to which latency dominates
FEW_OF_HALF = 1024  # the same for half a machine with rounded operands: 64 x 64 took 0.78 to 0.86 times 128 x 64 (H200)
HELD = 1 << 24  # elements that a pipeline holds of the states of consecutive steps: 64 MB
KEPT_PIPELINES = 6  # an update of a training uses up to four: noise, run, last step, and the way back


@dataclass(frozen=True)
class Tile:
    """Shape of a program: samples and units of its tile, units multiplied at a time, warps, stages of the loads."""

    m: int
    n: int
    k: int
    warps: int
    stages: int


def tile_for(batch: int, precision: str, narrow: bool = False) -> Tile:
    """Return the tile for a batch: large ones read the operands fewer times, small ones occupy more processors.

    `narrow` rules out the widest tile: its sums leave no registers for two normals of an element or for the flow of a
    colour, and half a machine has too few columns for such a tile on every processor.
    """
    k = 64 if precision == "bf16" else 32
    if batch <= (FEW_OF_HALF if narrow and precision != "ieee" else FEW):
        return Tile(64, 64, k, 4, 3 if precision == "ieee" else 4)
    return Tile(128, 64 if precision == "ieee" or narrow else 128, k, 8, 3)


def graph_length(steps: int, most: int = GRAPH) -> int:
    """Return the even number of steps of a graph, at most `most`, that leaves the fewest of `steps` over."""
    longest = min(steps, most) // 2 * 2
    return min(range(longest, longest // 2, -2), key=lambda length: steps % length, default=0)


def most_held(state: Tensor) -> int:
    """Return the most steps whose states [batch, unit] a pipeline holds, a graph's at most."""
    return min(GRAPH, max(2, HELD // state.numel()))


def steps_of_graph(run: Launch, most: int = GRAPH) -> int:
    """Return the length of a graph for the steps between two of `stops`."""
    return graph_length(min(run.steps, run.record or run.steps, run.keep or run.steps), most)


def stops(run: Launch) -> Iterator[tuple[int, int | None, int | None]]:
    """Yield (steps done, slot to record or None, slot to keep or None) up to the end of the run."""
    first, every = run.recording
    done = 0
    while done < run.steps:
        to_record = first - done if done < first else every - (done - first) % every
        to_keep = run.keep - done % run.keep if run.keep else run.steps
        done += min(run.steps - done, to_record, to_keep)
        records = run.num_recorded and done >= first and (done - first) % every == 0
        keeps = run.keep and done % run.keep == 0 and done < run.steps
        yield done, (done - first) // every if records else None, done // run.keep - 1 if keeps else None


def pieces(run: Launch, tile: Tile) -> Iterator[tuple[slice, int]]:
    """Yield samples that run together, and their number: all, or equal parts whose state fits the cache."""
    bytes_of_row = run.units * (12 if run.precision == "bf16" else 8)
    count = max(1, round(run.batch * bytes_of_row / CACHE))
    rows = triton.cdiv(triton.cdiv(run.batch, count), tile.m) * tile.m
    for first in range(0, run.batch, rows):
        part = slice(first, min(first + rows, run.batch))
        yield part, part.stop - part.start


class Couplings:
    """A matrix [unit, source] as the second operand of `matrix_product`: rows padded to tiles, columns to whole loads.

    Products with it give x @ matrix^T, so that its rows are read along their length; the padding is zero. "ieee" splits
    it in two parts that a tensor core reads exactly.
    """

    def __init__(self, matrix: Tensor, tile: Tile, precision: str) -> None:
        (self.units, self.sources), self.precision, self.tile = matrix.shape, precision, tile
        self.pitch = triton.cdiv(self.sources, 64) * 64
        self.dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        shape = triton.cdiv(self.units, tile.n) * tile.n, self.pitch
        self.high = torch.zeros(shape, dtype=self.dtype, device=matrix.device)
        self.low = torch.zeros_like(self.high) if precision == "ieee" else self.high
        self.set(matrix)

    def set(self, matrix: Tensor) -> None:
        high = matrix
        if self.precision == "ieee":
            high = (matrix.contiguous().view(torch.int32) & -8192).view(torch.float32)
            self.low[: self.units, : self.sources] = matrix - high
        elif self.precision == "tf32":  # to the nearest; a tensor core truncates
            high = ((matrix.contiguous().view(torch.int32) + 4096) & -8192).view(torch.float32)
        self.high[: self.units, : self.sources] = high

    @property
    def whole(self) -> Tensor:
        """Return the sum of both parts, [units padded to tiles, pitch]."""
        return self.high + self.low if self.precision == "ieee" else self.high

    def operands(self, count: int, rows: int) -> Tensor:
        """Return zeroed buffers for the first operand, [count, rows padded to tiles, pitch]."""
        padded = triton.cdiv(rows, self.tile.m) * self.tile.m
        return torch.zeros(count, padded, self.pitch, dtype=self.dtype, device=self.high.device)


class Force:
    """A force [1 or steps, 1 or batch, unit] on the samples of a pipeline.

    A constant force is copied to a buffer whose address a graph may keep; a changing one is read in place.
    """

    def __init__(self, force: Tensor, rows: int) -> None:
        self.strides, self.constant = strides(force), len(force) == 1
        self.here = force.new_empty(1, rows if force.shape[1] > 1 else 1, force.shape[2]) if self.constant else force

    def set(self, force: Tensor, part: slice) -> None:
        here = force[:, part] if force.shape[1] > 1 else force
        if self.constant:
            self.here.copy_(here)
        else:
            self.here = here


class Pipeline:
    """Launches of a step on the same buffers of `rows` samples, and a graph of many steps.

    `clock` holds seed, step, and steps done in this run; a graph reads them there and advances them at its end.
    `longest` is the most steps between two calls of `after`.
    """

    longest = 1 << 31

    def __init__(self, rows: int, tile: Tile, device: torch.device, graph_steps: int) -> None:
        self.rows, self.tile = rows, tile
        self.ids = torch.zeros(rows, dtype=torch.int64, device=device)
        self.clock = torch.zeros(3, dtype=torch.int64, device=device)
        self.graph: torch.cuda.CUDAGraph | None = None
        self.graph_steps = graph_steps

    def launch(self, offset: int) -> None:
        """Launch one step, `offset` steps after the clock."""
        raise NotImplementedError

    def after(self, steps: int) -> None:
        """Take from the buffers what the last `steps` steps left there."""

    def put(self, state: Tensor) -> None:
        """Copy `state` [rows, unit] to the buffers."""
        raise NotImplementedError

    def read(self, out: Tensor) -> None:
        """Copy the state to `out` [rows, unit]."""
        raise NotImplementedError

    def held(self) -> list[Tensor]:
        """Return the buffers of the state at the start of a graph; an even number of steps ends in the same ones."""
        raise NotImplementedError

    def start(self, run: Launch, part: slice) -> None:
        """Load state, sample numbers, seed and step of samples `part` of `run`."""
        self.ids.copy_(run.sample_ids[part])
        self.put(run.state[part])
        self.clock[0].fill_(int(run.seed))
        self.clock[1].fill_(run.start_step)
        self.clock[2].fill_(0)

    def follow(
        self,
        run: Launch,
        part: slice,
        end: Tensor,
        recorded: Tensor,
        kept: Tensor,
        each: Callable[[int], None] | None = None,
    ) -> None:
        """Run all steps and store recorded and kept states; after each part call `each(steps before the part)`."""
        done = 0
        for stop, slot, keep in stops(run):
            self.advance(stop - done)
            if each is not None:
                each(done)
            if slot is not None:
                self.read(recorded[slot, part])
            if keep is not None:
                self.read(kept[keep, part])
            done = stop
        self.read(end[part])

    def advance(self, steps: int) -> None:
        """Run `steps` steps: whole graphs of an even number of them, and single launches for the rest."""
        if 0 < self.graph_steps <= steps:
            self.rewind()
            graph = self.graph = self.graph or self.capture()
            for _ in range(steps // self.graph_steps):
                graph.replay()
                self.after(self.graph_steps)
            steps %= self.graph_steps
        while steps:
            part = min(steps, self.longest)
            for offset in range(part):
                self.launch(offset)
            self.clock[1:] += part
            self.after(part)
            steps -= part

    def rewind(self) -> None:
        """Bring the state to the buffers in which a graph starts."""

    def capture(self) -> torch.cuda.CUDAGraph:
        """Record a graph, after two steps that compile the kernels, and restore the state."""
        saved = [buffer.clone() for buffer in self.held()]
        for offset in range(2):
            self.launch(offset)
        current, side = torch.cuda.current_stream(), _side_stream(torch.cuda.current_device())
        side.wait_stream(current)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.stream(side):
            graph.capture_begin(capture_error_mode="thread_local")
            for offset in range(self.graph_steps):
                self.launch(offset)
            self.clock[1:] += self.graph_steps
            graph.capture_end()
        current.wait_stream(side)
        for buffer, values in zip(self.held(), saved, strict=True):
            buffer.copy_(values)
        return graph


class Turns(Pipeline):
    """A pipeline whose buffers alternate as the state, since every unit's step reads all the others.

    Rows are padded to tiles and columns to whole loads, with constant zeros, so that the products need no masks.
    """

    def __init__(self, couplings: Couplings, rows: int, graph_steps: int, buffers: int = 2) -> None:
        super().__init__(rows, couplings.tile, couplings.high.device, graph_steps)
        self.couplings, self.units, self.now = couplings, couplings.units, 0
        self.operands = couplings.operands(buffers, rows)
        low = couplings.dtype == torch.bfloat16
        self.points = torch.zeros_like(self.operands, dtype=torch.float32) if low else self.operands
        self.grid = (triton.cdiv(rows, self.tile.m) * triton.cdiv(self.units, self.tile.n),)

    def put(self, state: Tensor) -> None:
        self.now = 0
        for buffer in self.held():
            buffer[: self.rows, : self.units] = state

    def read(self, out: Tensor, buffer: int | None = None) -> None:
        out.copy_(self.points[self.now if buffer is None else buffer, : self.rows, : self.units])

    def held(self) -> list[Tensor]:
        return [self.points[0]] if self.operands is self.points else [self.points[0], self.operands[0]]

    def rewind(self) -> None:
        if self.now:
            self.points[0].copy_(self.points[1])
            if self.operands is not self.points:
                self.operands[0].copy_(self.operands[1])
            self.now = 0


@cache
def _side_stream(device: int) -> torch.cuda.Stream:
    """Return the stream for capturing graphs, always the same one, since cuBLAS keeps a workspace for each stream."""
    return torch.cuda.Stream(device)


def _replays(device: torch.device) -> bool:
    """Return True if graphs can be captured and replayed there now."""
    return device.type == "cuda" and not torch.cuda.is_current_stream_capturing()


_pipelines: OrderedDict[tuple[Hashable, ...], Pipeline] = OrderedDict()
_lock = Lock()
P = TypeVar("P", bound=Pipeline)


@contextmanager
def borrowed(
    run: Launch, kind: type[P], key: tuple[Hashable, ...] | None, make: Callable[[int], P], graph_steps: int
) -> Iterator[P]:
    """Yield a pipeline from `make(graph_steps)`, or the one that an earlier run with the same key left.

    It belongs to a stream, so that two runs never use its buffers at once. It is not kept without a key. While the
    caller captures a graph, it is not kept and has no graphs of its own.
    """
    here = run.state.device
    if not _replays(here):
        key, graph_steps = None, 0
    else:
        key = key and (kind.__name__, here, torch.cuda.current_stream(here).cuda_stream, graph_steps, *key)
    with _lock:
        left = None if key is None else _pipelines.pop(key, None)
    pipeline = left if isinstance(left, kind) else make(graph_steps)
    yield pipeline
    if key is not None:
        with _lock:
            _pipelines[key] = pipeline
            while len(_pipelines) > KEPT_PIPELINES:
                _pipelines.popitem(last=False)
