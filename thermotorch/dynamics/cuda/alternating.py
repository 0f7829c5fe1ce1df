"""Units in two colours on CUDA, a launch for each colour of each step: product, noise and exact flows of half a step.

    y = N(x),  z = decay y + gain (drive - bias - field) + spread xi,  x' = N(z),   N as in `flows.py`

first for the units of colour 1, then for those of colour 0, each in the current field of the others; see
`dynamics/alternating.py`. Each colour has its own buffers, wherever its units are in the machine. The product reads
only the other colour, so that states are updated in place, no program reads the output of another in the same launch,
and no product includes zeros of the own colour. Only the noise depends on the numbers of the units in the machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
import triton
import triton.language as tl
from torch import Tensor

from thermotorch.dynamics.alternating import second_colour
from thermotorch.dynamics.cuda.flows import relax
from thermotorch.dynamics.cuda.pipeline import Couplings, Force, Pipeline, Tile, borrowed, pieces, tile_for
from thermotorch.dynamics.cuda.run import Run
from thermotorch.dynamics.cuda.tiles import matrix_product, place, rows_of_tile, take_units, tile_normals
from thermotorch.dynamics.splitting import on_site_flows


@dataclass(frozen=True)
class Colours:
    """A machine by its two colours."""

    places: list[Tensor]  # numbers of each colour's units in the machine, int64 [own]
    into: list[Tensor]  # the couplings on each colour, [other, own]
    flows: list[Tensor]  # bias, decay, gain, spread, stiffness and shift of each colour, [6, own]

    @classmethod
    def of(cls, run: Run) -> "Colours":
        second = second_colour(run.pieces, run.units)
        # Numbers are generated on the device, since a graph that the caller captures cannot copy from the host.
        stretches, lengths = torch.unique_consecutive(second, return_counts=True)
        ends = lengths.cumsum(0).tolist()
        ranges: list[list[Tensor]] = [[run.sample_ids.new_empty(0)], [run.sample_ids.new_empty(0)]]
        for colour, begin, end in zip(stretches.tolist(), [0, *ends[:-1]], ends, strict=True):
            ranges[colour].append(torch.arange(begin, end, device=run.state.device))
        first, other = places = [torch.cat(stretch) for stretch in ranges]
        into = [run.matrix.index_select(0, a).index_select(1, b) for a, b in ((other, first), (first, other))]
        # In float64, as in `native/alternating.h`.
        bias, j2, j3, j4, mobility = (value.double() for value in (run.bias, run.j2, run.j3, run.j4, run.mobility))
        flows = on_site_flows(bias, j2, j3, j4, mobility * run.dt, run.temperature)
        whole = torch.stack([flows.bias, flows.decay, flows.gain, flows.spread, flows.stiffness, flows.shift]).float()
        return cls(places, into, [whole.index_select(1, own) for own in places])

    @property
    def coupled(self) -> bool:
        return len(self.places[1]) > 0

    def split(self, tensor: Tensor) -> list[Tensor]:
        """Return each colour's part of a tensor [..., unit]."""
        return [tensor.index_select(-1, own) for own in self.places]

    def join(self, parts: Sequence[Tensor], out: Tensor) -> Tensor:
        """Return `out` [..., unit], filled with these parts."""
        for own, part in zip(self.places, parts, strict=True):
            out.index_copy_(-1, own, part)
        return out


def langevin(run: Run, colours: Colours | None = None, tile: Tile | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Return end state, recorded and kept states of a run of any size."""
    outputs, colours = run.outputs(), colours or Colours.of(run)
    tile = tile or tile_for(run.batch, run.precision, narrow=True)
    drives = None if run.drive is None else colours.split(run.drive)
    driven, stepwise = (None, False) if run.drive is None else (run.drive.shape[1] > 1, len(run.drive) > 1)
    for part, size in pieces(run, tile):
        # A drive of many steps is read in place, so that its graph serves this run only.
        sizes = size, *map(len, colours.places)
        key = None if stepwise else (*sizes, driven, run.stream, run.precision, tile)
        with borrowed(run, Alternating, key, partial(Alternating, run, colours, drives, size, tile)) as pipeline:
            pipeline.load(run, colours, drives, part)
            pipeline.follow(run, part, *outputs)
    return outputs


class Alternating(Pipeline):
    """A pipeline with one buffer for each colour (and, for "bf16", a copy as the operand of the other's product)."""

    def __init__(
        self, run: Run, colours: Colours, drives: list[Tensor] | None, rows: int, tile: Tile, graph_steps: int
    ) -> None:
        super().__init__(rows, tile, run.state.device, graph_steps)
        self.fast_noise, self.stream = run.fast_noise, run.stream
        self.couplings = [Couplings(matrix.T, tile, run.precision) for matrix in colours.into]
        self.operands = [couplings.operands(1, rows)[0] for couplings in reversed(self.couplings)]
        self.points = self.operands
        if run.precision == "bf16":
            self.points = [torch.zeros_like(operand, dtype=torch.float32) for operand in self.operands]
        flows, places = map(torch.empty_like, colours.flows), map(torch.empty_like, colours.places)
        self.colours = Colours(list(places), [], list(flows))
        self.drives = None if drives is None else [Force(drive, rows) for drive in drives]

    def load(self, run: Run, colours: Colours, drives: list[Tensor] | None, part: slice) -> None:
        """Start from samples `part` of `run`."""
        for colour in range(2):
            self.couplings[colour].set(colours.into[colour].T)
            self.colours.places[colour].copy_(colours.places[colour])
            self.colours.flows[colour].copy_(colours.flows[colour])
            if drives is not None and self.drives is not None:
                self.drives[colour].set(drives[colour], part)
        self.start(run, part)

    def put(self, state: Tensor) -> None:
        for values, point, operand in zip(self.colours.split(state), self.points, self.operands, strict=True):
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

    def move(self, colour: int, offset: int) -> None:
        """Launch the move of the units of one colour in the field of the others."""
        tile, couplings, point = self.tile, self.couplings[colour], self.points[colour]
        drive = None if self.drives is None else self.drives[colour]
        half_step[(triton.cdiv(self.rows, tile.m) * triton.cdiv(couplings.units, tile.n),)](
            point, self.operands[1 - colour], self.operands[colour], couplings.high, couplings.low,
            self.colours.places[colour], *self.colours.flows[colour], point if drive is None else drive.here, self.ids,
            self.clock, self.rows, couplings.units, couplings.pitch, point.shape[1], offset, self.stream,
            *((0, 0) if drive is None else drive.strides),
            COUPLED=self.colours.coupled, PRECISION=couplings.precision, FAST=self.fast_noise, DRIVE=drive is not None,
            M=tile.m, N=tile.n, BK=tile.k, num_warps=tile.warps, num_stages=tile.stages,
        )  # fmt: skip


@triton.jit(do_not_specialize=("batch", "offset", "stream", "drive_step", "drive_row"))
def half_step(
    point, operand, own_operand, couplings, couplings_low, places, bias, decay, gain, spread, stiffness, shift, drive,
    ids, clock, batch, units, pitch, own_pitch, offset, stream, drive_step, drive_row,
    COUPLED: tl.constexpr, PRECISION: tl.constexpr, FAST: tl.constexpr, DRIVE: tl.constexpr,
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
