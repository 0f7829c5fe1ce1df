"""Units in two colours on CUDA, a launch for each colour of each step: product, noise and exact flows of half a step.

    y = N(x),  z = decay y + gain (drive - bias - field) + spread xi,  x' = N(z),   N as in `flows.py`

first for the units of colour 1, then for those of colour 0, each in the current field of the others; see
`dynamics/alternating.py`. Each colour has its own buffers, wherever its units are in the machine. The product reads
only the other colour, so that states are updated in place, no program reads the output of another in the same launch,
and no product includes zeros of the own colour. Only the noise depends on the numbers of the units in the machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
import triton
import triton.language as tl
from torch import Tensor

from thermotorch.dynamics.alternating import second_colour
from thermotorch.dynamics.cuda.flows import relax
from thermotorch.dynamics.cuda.pipeline import (
    GRAPH,
    Couplings,
    Force,
    Pipeline,
    Tile,
    borrowed,
    most_held,
    pieces,
    steps_of_graph,
    tile_for,
)  # fmt: skip
from thermotorch.dynamics.cuda.run import Run
from thermotorch.dynamics.cuda.tiles import matrix_product, place, put, rows_of_tile, take_units, tile_normals
from thermotorch.dynamics.cuda.unit_flows import unit_flows


@dataclass(frozen=True)
class Colours:
    """A machine by its two colours."""

    places: list[Tensor]  # numbers of each colour's units in the machine, int64 [own]
    into: list[Tensor]  # the couplings on each colour, [other, own]
    flows: list[Tensor]  # bias, decay, gain, spread, stiffness and shift of each colour, [6, own]
    spans: list[slice | None]  # the same places as a slice, or None if others lie between them

    @classmethod
    def of(cls, run: Run) -> "Colours":
        second = second_colour(run.pieces, run.units)
        # Numbers are generated on the device, since a graph that the caller captures cannot copy from the host.
        stretches, lengths = torch.unique_consecutive(second, return_counts=True)
        ends = lengths.cumsum(0).tolist()
        ranges: list[list[slice]] = [[], []]
        for colour, begin, end in zip(stretches.tolist(), [0, *ends[:-1]], ends, strict=True):
            ranges[colour].append(slice(begin, end))
        numbers = torch.arange(run.units, device=run.state.device)
        places = [torch.cat([numbers[span] for span in [slice(0), *spans]]) for spans in ranges]
        spans = [spans[0] if len(spans) == 1 else None for spans in ranges]
        colours = cls(places, [], [unit_flows(run, own) for own in places], spans)
        for colour in range(2):
            colours.into.append(colours.take(colour, colours.take(1 - colour, run.matrix.T).T))
        return colours

    @property
    def coupled(self) -> bool:
        return len(self.places[1]) > 0

    def split(self, tensor: Tensor) -> list[Tensor]:
        """Return each colour's part of a tensor [..., unit]."""
        return [tensor.index_select(-1, own) for own in self.places]

    def join(self, parts: Sequence[Tensor], out: Tensor) -> Tensor:
        """Return `out` [..., unit], filled with these parts."""
        for own, span, part in zip(self.places, self.spans, parts, strict=True):
            if span is None:
                out.index_copy_(-1, own, part)
            else:
                out[..., span] = part
        return out

    def take(self, colour: int, tensor: Tensor) -> Tensor:
        """Return one colour's part of a tensor [..., unit], a view of it if the places allow."""
        span = self.spans[colour]
        return tensor.index_select(-1, self.places[colour]) if span is None else tensor[..., span]


def langevin(run: Run, colours: Colours | None = None, tile: Tile | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Return end state, recorded and kept states of a run of any size."""
    (end, recorded, kept), colours = run.outputs(), colours or Colours.of(run)
    tile = tile or tile_for(run.batch, run.precision, narrow=True)
    drives = None if run.drive is None else colours.split(run.drive)
    driven, stepwise = (None, False) if run.drive is None else (run.drive.shape[1] > 1, len(run.drive) > 1)
    # Every state is kept by the launches themselves, without a stop after each step.
    trailing = len(kept) > 0 and run.keep == 1
    moving, most = (replace(run, keep=0), most_held(run.state)) if trailing else (run, GRAPH)
    graph_steps = steps_of_graph(moving, most)
    for part, size in pieces(run, tile):
        # A drive of many steps is read in place, so that its graph serves this run only.
        sizes = size, *map(len, colours.places)
        key = None if stepwise else (*sizes, driven, run.stream, run.precision, tile, trailing)
        make = partial(Alternating, run, colours, drives, size, tile, trail=most if trailing else 0)
        with borrowed(moving, Alternating, key, make, graph_steps) as pipeline:
            pipeline.load(run, colours, drives, part)
            pipeline.kept = kept[:, part] if trailing else None
            pipeline.follow(moving, part, end, recorded, kept)
            pipeline.kept = None  # the pipeline may outlive these states
    return end, recorded, kept


class Alternating(Pipeline):
    """A pipeline with one buffer for each colour (and, for "bf16", a copy as the operand of the other's product).

    `trail` is the most steps whose states the launches store one after the other, on their way to `kept`; 0 for none.
    """

    def __init__(
        self, run: Run, colours: Colours, drives: list[Tensor] | None, rows: int, tile: Tile, graph_steps: int,
        trail: int = 0,
    ) -> None:  # fmt: skip
        super().__init__(rows, tile, run.state.device, graph_steps)
        self.fast_noise, self.stream = run.fast_noise, run.stream
        self.couplings = [Couplings(matrix.T, tile, run.precision) for matrix in colours.into]
        self.operands = [couplings.operands(1, rows)[0] for couplings in reversed(self.couplings)]
        self.points = self.operands
        if run.precision == "bf16":
            self.points = [torch.zeros_like(operand, dtype=torch.float32) for operand in self.operands]
        flows, places = map(torch.empty_like, colours.flows), map(torch.empty_like, colours.places)
        self.colours = Colours(list(places), [], list(flows), colours.spans)
        self.drives = None if drives is None else [Force(drive, rows) for drive in drives]
        self.trail: list[Tensor] = []
        self.kept: Tensor | None = None  # [steps - 1, rows, unit], where the states of the trail go
        self.stored = 0
        if trail:
            self.longest = graph_steps or min(trail, run.steps)
            self.trail = [run.state.new_empty(self.longest, rows, len(own)) for own in colours.places]

    def load(self, run: Run, colours: Colours, drives: list[Tensor] | None, part: slice) -> None:
        """Start from samples `part` of `run`."""
        self.colours = replace(self.colours, spans=colours.spans)
        for colour in range(2):
            self.couplings[colour].set(colours.into[colour].T)
            self.colours.places[colour].copy_(colours.places[colour])
            self.colours.flows[colour].copy_(colours.flows[colour])
            if drives is not None and self.drives is not None:
                self.drives[colour].set(drives[colour], part)
        self.start(run, part)
        self.stored = 0

    def put(self, state: Tensor) -> None:
        for colour, (point, operand) in enumerate(zip(self.points, self.operands, strict=True)):
            values = self.colours.take(colour, state)
            for buffer in (point,) if operand is point else (point, operand):
                buffer[: self.rows, : values.shape[1]] = values

    def read(self, out: Tensor) -> None:
        sizes = map(len, self.colours.places)
        self.colours.join([point[: self.rows, :size] for point, size in zip(self.points, sizes, strict=True)], out)

    def held(self) -> list[Tensor]:
        return self.points if self.operands is self.points else [*self.points, *self.operands]

    def launch(self, offset: int) -> None:
        if self.colours.coupled:
            self.move(1, offset)
        self.move(0, offset)

    def after(self, steps: int) -> None:
        if self.kept is not None:
            out = self.kept[self.stored : self.stored + steps]  # the end of a run is not among them
            self.colours.join([states[: len(out)] for states in self.trail], out)
            self.stored += steps

    def move(self, colour: int, offset: int) -> None:
        """Launch the move of the units of one colour in the field of the others."""
        tile, couplings, point = self.tile, self.couplings[colour], self.points[colour]
        drive = None if self.drives is None else self.drives[colour]
        half_step[(triton.cdiv(self.rows, tile.m) * triton.cdiv(couplings.units, tile.n),)](
            point, self.operands[1 - colour], self.operands[colour], couplings.high, couplings.low,
            self.colours.places[colour], *self.colours.flows[colour], point if drive is None else drive.here,
            self.trail[colour][offset] if self.trail else point, self.ids,
            self.clock, self.rows, couplings.units, couplings.pitch, point.shape[1], offset, self.stream,
            *((0, 0) if drive is None else drive.strides),
            COUPLED=self.colours.coupled, PRECISION=couplings.precision, FAST=self.fast_noise, DRIVE=drive is not None,
            TRAIL=bool(self.trail), M=tile.m, N=tile.n, BK=tile.k, num_warps=tile.warps, num_stages=tile.stages,
        )  # fmt: skip


# Steps of a trail lie at any address; without this, each combination of alignments would compile its own kernel.
@triton.jit(
    do_not_specialize=("batch", "offset", "stream", "drive_step", "drive_row"),
    do_not_specialize_on_alignment=("trail",),
)
def half_step(
    point, operand, own_operand, couplings, couplings_low, places, bias, decay, gain, spread, stiffness, shift, drive,
    trail, ids, clock, batch, units, pitch, own_pitch, offset, stream, drive_step, drive_row,
    COUPLED: tl.constexpr, PRECISION: tl.constexpr, FAST: tl.constexpr, DRIVE: tl.constexpr, TRAIL: tl.constexpr,
    M: tl.constexpr, N: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """Move one tile of a colour in place; `clock` holds seed, step and drive row, and `offset` counts from them."""
    tile_row, tile_column = place(tl.program_id(0), batch, units, M, N, 8)
    row, sample, first_sample, counting = rows_of_tile(ids, tile_row.to(tl.int64) * M, batch, M, 2)
    own = tile_column * N + tl.arange(0, N)
    if COUPLED:
        force = -matrix_product(operand, couplings, couplings_low, row, own, pitch, M, N, BK, PRECISION)
    else:
        force = tl.zeros((M, N), tl.float32)
    unit = tl.load(places + own, mask=own < units, other=0).to(tl.int32)
    seed = tl.load(clock)
    step = tl.load(clock + 1) + offset
    low, high = seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF
    xi = tile_normals(force, sample, first_sample, counting, unit, step, stream, low, high, M, 2, FAST)
    inside = (row[:, None] < batch) & (own[None, :] < units)
    force -= take_units(bias, own, units)
    if DRIVE:
        now = drive + (tl.load(clock + 2) + offset) * drive_step
        force += tl.load(now + row[:, None] * drive_row + own[None, :], mask=inside, other=0.0)
    n, a = take_units(stiffness, own, units), take_units(shift, own, units)
    where = row[:, None] * own_pitch + own[None, :]
    y = relax(tl.load(point + where, mask=inside, other=0.0), n, a)
    z = take_units(decay, own, units) * y + take_units(gain, own, units) * force + take_units(spread, own, units) * xi
    x = relax(z, n, a)
    tl.store(point + where, x, mask=inside)
    if PRECISION == "bf16":
        tl.store(own_operand + where, x.to(own_operand.dtype.element_ty), mask=inside)
    if TRAIL:
        put(trail, x, row, own, batch, units)
