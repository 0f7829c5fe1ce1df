"""Gradients of the alternating scheme on CUDA, half step by half step backwards, one launch for each.

    g = lam N'(z),   a = gain g,   lam <- g decay N'(x)   of the colour that moved from x to N(z),
    lam <- lam - a J^T   of the other one;   dL/dJ = - sum (the other's states as they were)^T a,  dL/d(drive) = a

The slope N'(z) = (1 - stiffness (x' + shift)^2)^(3/2) follows from the end of the flow, so that the states at whole
steps suffice. If not all were kept, they are computed again from a checkpoint with the same counters. Pieces of the
path go back through the same buffers, so that one graph serves all of them. The vectors a of a piece are stored, and
one product for each colour over its steps and samples gives the gradient of the couplings.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import torch
import triton
import triton.language as tl
from torch import Tensor

from thermotorch.dynamics.cuda.adjoint import add_drive, entering, segments
from thermotorch.dynamics.cuda.alternating import Colours, langevin
from thermotorch.dynamics.cuda.matmul import matmul
from thermotorch.dynamics.cuda.pipeline import Couplings, Pipeline, Tile, borrowed, graph_length, most_held, tile_for
from thermotorch.dynamics.cuda.run import BackwardRun, parts
from thermotorch.dynamics.cuda.tiles import matrix_product, place, put, take, take_units


def langevin_backward(run: BackwardRun) -> list[Tensor]:
    """Return [dL/d(state), dL/d(bias), dL/d(drive), *dL/d(blocks)], see `thermotorch::langevin_backward`."""
    colours = Colours.of(run)
    of_couplings = [torch.zeros_like(matrix) for matrix in colours.into]
    of_bias = [torch.zeros_like(own) for own in colours.split(run.bias)]
    whole_drive = run.drive_gradient()
    of_drive = colours.split(whole_drive) if run.needs_drive else []
    tile = tile_for(run.batch, run.precision, narrow=True)
    length = max(1, graph_length(run.keep if run.keep > 1 else run.steps, most_held(run.state)))
    key = run.batch, *map(len, colours.places), run.precision, tile, length, run.num_recorded > 0
    with borrowed(run, Retrace, key, partial(Retrace, run, colours, tile, length), length) as retrace:
        retrace.load(run, colours)
        for path, done in _paths(run, colours, length):
            states, vectors = retrace.back(path, colours, _entering(run, done, len(path) - 1))
            for colour, pushed in enumerate(vectors):
                of_bias[colour] -= pushed.sum((0, 1))
                if run.needs_drive:
                    add_drive(of_drive[colour], pushed, done)
                if run.needs_blocks and colours.coupled:
                    # Colour 1 moved in the field of the states before the step, colour 0 in that of those after it.
                    others = states[1 - colour][:-1] if colour else states[1 - colour][1:]
                    of_couplings[colour] -= matmul(others.flatten(0, 1).T, pushed.flatten(0, 1), run.precision)
        of_state = colours.join(retrace.finish(), torch.empty_like(run.state))
    of_blocks = []
    if run.needs_blocks:
        of_matrix = torch.zeros_like(run.matrix)
        for colour, gradient in enumerate(of_couplings):
            of_matrix[colours.places[1 - colour][:, None], colours.places[colour]] = gradient
        of_blocks = parts(of_matrix, run.pieces)
    drive = colours.join(of_drive, whole_drive) if run.needs_drive else whole_drive
    return [of_state, colours.join(of_bias, torch.empty_like(run.bias)), drive, *of_blocks]


def _paths(run: BackwardRun, colours: Colours, length: int) -> Iterator[tuple[Tensor, int]]:
    """Yield pieces of the path, the last first, and the number of steps before each.

    A piece holds the states before, between and after at most `length` steps, [steps + 1, batch, unit].
    """
    for segment, before in segments(run):
        if run.keep == 1:
            between, done = run.kept, run.steps - 1
            drive = run.drive[done:] if run.drive is not None and len(run.drive) > 1 else run.drive
            start = run.kept[-1] if done else run.state
            last = replace(run, state=start, steps=1, start_step=run.start_step + done, record=0, keep=0, drive=drive)
            end = langevin(last, colours)[0]
        else:
            end, _, between = langevin(segment, colours)
        for first in range((segment.steps - 1) // length * length, -1, -length):
            after = min(first + length, segment.steps)
            states = [between[max(first - 1, 0) : after]]
            if first == 0:
                states.insert(0, segment.state[None])
            if after == segment.steps:
                states.append(end[None])
            yield torch.cat(states), before + first


def _entering(run: BackwardRun, done: int, steps: int) -> list[tuple[int, Tensor]]:
    """Return the gradients of recorded states after the steps that follow the first `done`, by the step's number."""
    found = ((k, entering(run, run.grad_recorded, done + k + 1)) for k in range(steps))
    return [(k, gradient) for k, gradient in found if gradient is not None]


class Retrace(Pipeline):
    """The costates of both colours on their way back through pieces of a path of at most `length` steps.

    A piece lies at the end of the buffers, so that a launch means the same step whatever the length of the piece.
    """

    def __init__(self, run: BackwardRun, colours: Colours, tile: Tile, length: int, graph_steps: int) -> None:
        super().__init__(run.batch, tile, run.state.device, graph_steps)
        self.length, self.coupled = length, colours.coupled
        new, sizes = run.state.new_empty, [len(own) for own in colours.places]
        self.flows = [torch.empty_like(flows) for flows in colours.flows]
        self.costate = [new(run.batch, size) for size in sizes]
        self.states = [new(length + 1, run.batch, size) for size in sizes]
        self.vectors = [new(length, run.batch, size) for size in sizes]
        self.enters = [new(length, run.batch, size) for size in sizes] if run.num_recorded else []
        # The couplings that carry vectors of the other colour back to this one.
        self.transposed = [Couplings(matrix, tile, run.precision) for matrix in reversed(colours.into)]
        self.operands = [couplings.operands(1, run.batch)[0] for couplings in reversed(self.transposed)]

    def load(self, run: BackwardRun, colours: Colours) -> None:
        """Start at the end of a run."""
        for couplings, matrix in zip(self.transposed, reversed(colours.into), strict=True):
            couplings.set(matrix)
        for own, values in zip(self.flows, colours.flows, strict=True):
            own.copy_(values)
        for own, values in zip(self.costate, colours.split(run.grad_state), strict=True):
            own.copy_(values)
        self.operands[1].zero_()  # no vectors pull on colour 0 yet

    def held(self) -> list[Tensor]:
        return [*self.costate, *self.operands]

    def back(
        self, path: Tensor, colours: Colours, recorded: list[tuple[int, Tensor]]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Go back through a path [steps + 1, batch, unit] and return states and vectors [.., batch, own] by colour.

        `recorded` holds the gradients [batch, unit] of the states after some of the steps, by the step's number.
        """
        steps = len(path) - 1
        skipped = self.length - steps
        for colour, states in enumerate(self.states):
            states[skipped:] = colours.take(colour, path)
        for colour, enters in enumerate(self.enters):
            enters.zero_()
            for k, gradient in recorded:
                enters[skipped + k] = colours.take(colour, gradient)
        self.advance(steps)
        return [states[skipped:] for states in self.states], [vectors[skipped:] for vectors in self.vectors]

    def launch(self, offset: int) -> None:
        k = self.length - 1 - offset
        for colour in (0, 1) if self.coupled else (0,):
            enters = self.enters[colour][k] if self.enters else None
            states = self.states[colour]
            self.undo(colour, enters, (states[k], states[k + 1], self.vectors[colour][k]))

    def finish(self) -> list[Tensor]:
        """Return the costates at the start of the run."""
        if self.coupled:
            self.undo(0, None, None)
        return self.costate

    def undo(self, colour: int, enters: Tensor | None, move: tuple[Tensor, Tensor, Tensor] | None) -> None:
        """Add the pull of the other colour's last vectors and a recorded state to this one, then undo its last move.

        `move` holds the states before and after that move and the output for its vectors, [batch, own] each.
        """
        tile, couplings, lam = self.tile, self.transposed[colour], self.costate[colour]
        _, decay, gain, _, stiffness, shift = self.flows[colour]
        half_back[(triton.cdiv(len(lam), tile.m) * triton.cdiv(couplings.units, tile.n),)](
            self.operands[1 - colour], couplings.high, couplings.low, lam, lam if enters is None else enters,
            *(move or (lam, lam, lam)), self.operands[colour], decay, gain, stiffness, shift,
            len(lam), couplings.units, couplings.pitch, self.operands[colour].shape[1],
            PULLED=self.coupled, ENTERS=enters is not None, MOVED=move is not None, PRECISION=couplings.precision,
            M=tile.m, N=tile.n, BK=tile.k, num_warps=tile.warps, num_stages=tile.stages,
        )  # fmt: skip


@triton.jit
def slope_at_start(x, stiffness, shift):
    """Return N'(x)."""
    y = x + shift
    root = tl.rsqrt(1.0 + stiffness * y * y)
    return root * root * root


@triton.jit
def slope_at_end(x, stiffness, shift):
    """Return N'(z) from x = N(z)."""
    y = x + shift
    inside = tl.maximum(1.0 - stiffness * y * y, 0.0)
    return inside * tl.sqrt(inside)


# Steps of a stored path lie at any address; without this, each combination of alignments would compile its own kernel.
@triton.jit(do_not_specialize=("batch",), do_not_specialize_on_alignment=("before", "after", "enters", "vector"))
def half_back(
    operand, transposed, transposed_low, costate, enters, before, after, vector, own_operand, decay, gain, stiffness,
    shift, batch, units, pitch, own_pitch,
    PULLED: tl.constexpr, ENTERS: tl.constexpr, MOVED: tl.constexpr, PRECISION: tl.constexpr,
    M: tl.constexpr, N: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """Update one tile of a colour: lam <- lam - operand J^T (+ enters), then a and the costate before the move."""
    tile_row, tile_column = place(tl.program_id(0), batch, units, M, N, 8)
    row, unit = tile_row.to(tl.int64) * M + tl.arange(0, M), tile_column * N + tl.arange(0, N)
    if PULLED:
        through = matrix_product(operand, transposed, transposed_low, row, unit, pitch, M, N, BK, PRECISION)
        lam = take(costate, row, unit, batch, units) - through
    else:
        lam = take(costate, row, unit, batch, units)
    if ENTERS:
        lam += take(enters, row, unit, batch, units)
    if MOVED:
        n, a = take_units(stiffness, unit, units), take_units(shift, unit, units)
        g = lam * slope_at_end(take(after, row, unit, batch, units), n, a)
        lam = g * take_units(decay, unit, units) * slope_at_start(take(before, row, unit, batch, units), n, a)
        force = g * take_units(gain, unit, units)
        put(vector, force, row, unit, batch, units)
        inside = (row[:, None] < batch) & (unit[None, :] < units)
        tl.store(
            own_operand + row[:, None] * own_pitch + unit[None, :], force.to(own_operand.dtype.element_ty), mask=inside
        )
    put(costate, lam, row, unit, batch, units)
