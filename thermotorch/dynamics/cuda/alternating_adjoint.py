"""Gradients of the alternating scheme on CUDA, half step by half step backwards, one launch for each.

    g = lam N'(z),   a = gain g,   lam <- g decay N'(x)   of the colour that moved from x to N(z),
    lam <- lam - a J^T   of the other one;   dL/dJ = - sum (the other's states as they were)^T a,  dL/d(drive) = a

The slope N'(z) = (1 - stiffness (x' + shift)^2)^(3/2) follows from the end of the flow, so that the states at whole
steps suffice. They are recomputed from a segment's checkpoint with the same counters; its vectors a are stored, and one
product for each colour over all steps and samples of the segment gives the gradient of the couplings.
"""

from dataclasses import replace

import torch
import triton
import triton.language as tl
from torch import Tensor

from thermotorch.dynamics.cuda.adjoint import add_drive, entering, segments
from thermotorch.dynamics.cuda.alternating import Colours, langevin
from thermotorch.dynamics.cuda.matmul import matmul
from thermotorch.dynamics.cuda.pipeline import Couplings, tile_for
from thermotorch.dynamics.cuda.run import BackwardRun, Run, parts
from thermotorch.dynamics.cuda.tiles import matrix_product, place, put, take, take_units


def langevin_backward(run: BackwardRun) -> list[Tensor]:
    """Return [dL/d(state), dL/d(bias), dL/d(drive), *dL/d(blocks)], see `thermotorch::langevin_backward`."""
    colours = Colours.of(run)
    retrace = _Retrace(run, colours)
    of_couplings = [torch.zeros_like(matrix) for matrix in colours.into]
    of_bias = [torch.zeros_like(own) for own in colours.split(run.bias)]
    whole_drive = run.drive_gradient()
    of_drive = colours.split(whole_drive) if run.needs_drive else []
    for segment, done in segments(run):
        path = colours.split(_path(run, segment, colours))
        vectors = retrace(path, done)
        for colour, pushed in enumerate(vectors):
            of_bias[colour] -= pushed.sum((0, 1))
            if run.needs_drive:
                add_drive(of_drive[colour], pushed, done)
            if run.needs_blocks and colours.coupled:
                # Colour 1 moved in the field of the states before the step, colour 0 in that of those after it.
                others = path[1 - colour][:-1] if colour else path[1 - colour][1:]
                of_couplings[colour] -= matmul(others.flatten(0, 1).T, pushed.flatten(0, 1), run.precision)
    of_blocks = []
    if run.needs_blocks:
        of_matrix = torch.zeros_like(run.matrix)
        for colour, gradient in enumerate(of_couplings):
            of_matrix[colours.places[1 - colour][:, None], colours.places[colour]] = gradient
        of_blocks = parts(of_matrix, run.pieces)
    drive = colours.join(of_drive, whole_drive) if run.needs_drive else whole_drive
    return [
        colours.join(retrace.costate, torch.empty_like(run.state)), colours.join(of_bias, torch.empty_like(run.bias)),
        drive, *of_blocks,
    ]  # fmt: skip


def _path(run: BackwardRun, segment: Run, colours: Colours) -> Tensor:
    """Return the states before, between and after the steps of a segment, [steps + 1, batch, unit]."""
    if run.keep != 1:
        end, _, later = langevin(segment, colours)
        return torch.cat([segment.state[None], later, end[None]])
    # All states but the last were kept, which takes one more step from the one before it.
    states, done = torch.cat([run.state[None], run.kept]), run.steps - 1
    drive = run.drive[done:] if run.drive is not None and len(run.drive) > 1 else run.drive
    last = replace(run, state=states[-1], steps=1, start_step=run.start_step + done, record=0, keep=0, drive=drive)
    return torch.cat([states, langevin(last, colours)[0][None]])


class _Retrace:
    """The costates of both colours, [batch, own], on their way back through the segments, in place."""

    def __init__(self, run: BackwardRun, colours: Colours) -> None:
        self.run, self.colours = run, colours
        self.costate, self.grad_recorded = colours.split(run.grad_state), colours.split(run.grad_recorded)
        self.tile = tile_for(run.batch, run.precision, narrow=True)
        # The couplings that carry vectors of the other colour back to this one.
        self.transposed = [Couplings(matrix, self.tile, run.precision) for matrix in reversed(colours.into)]
        self.operands = [couplings.operands(1, run.batch)[0] for couplings in reversed(self.transposed)]

    def __call__(self, path: list[Tensor], done: int) -> list[Tensor]:
        """Return the vectors a of each colour, [steps, batch, own], along states `path` from step `done` of the run."""
        vectors = [torch.empty_like(states[1:]) for states in path]
        steps, coupled = len(vectors[0]), self.colours.coupled
        for k in range(steps - 1, -1, -1):
            for colour in (0, 1) if coupled else (0,):
                # A segment begins with colour 0, which no vectors pull on yet.
                pulled = coupled and (colour == 1 or k + 1 < steps)
                enters = entering(self.run, self.grad_recorded[colour], done + k + 1)
                self.back(colour, pulled, enters, (path[colour][k], path[colour][k + 1], vectors[colour][k]))
        if coupled:
            self.back(0, True, None, None)
        return vectors

    def back(
        self, colour: int, pulled: bool, enters: Tensor | None, move: tuple[Tensor, Tensor, Tensor] | None
    ) -> None:
        """Add the pull of the other colour's last vectors and a recorded state to this one, then undo its last move.

        `move` holds the states before and after that move and the output for its vectors, [batch, own] each.
        """
        tile, couplings, lam = self.tile, self.transposed[colour], self.costate[colour]
        _, decay, gain, _, stiffness, shift = self.colours.flows[colour]
        half_back[(triton.cdiv(len(lam), tile.m) * triton.cdiv(couplings.units, tile.n),)](
            self.operands[1 - colour], couplings.high, couplings.low, lam, lam if enters is None else enters,
            *(move or (lam, lam, lam)), self.operands[colour], decay, gain, stiffness, shift,
            len(lam), couplings.units, couplings.pitch, self.operands[colour].shape[1],
            PULLED=pulled, ENTERS=enters is not None, MOVED=move is not None, PRECISION=couplings.precision,
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
