"""Gradients of the splitting scheme on CUDA: recompute u and z of a segment's steps, then go back step by step.

    y = N(z),  z = decay N(u) + spread xi,  N'(x) = (1 + stiffness (x + shift)^2)^(-3/2)
    of y: lam + lam @ whole^T from the next u, and of_x + of_x @ half^T of an output state;
    lam <- of_y N'(z) decay N'(u)

Each step back consists of torch operations, about ten launches; long time steps make them few.
"""

from dataclasses import replace

import torch
from torch import Tensor

from thermotorch.dynamics.cuda.adjoint import entering
from thermotorch.dynamics.cuda.flows import Splitting
from thermotorch.dynamics.cuda.matmul import matmul
from thermotorch.dynamics.cuda.pipeline import tile_for
from thermotorch.dynamics.cuda.run import SplittingBackwardRun, SplittingRun


def splitting_backward(run: SplittingBackwardRun) -> list[Tensor]:
    """Return [dL/d(state), dL/d(whole_push), dL/d(half_push), *dL/d(whole, half)]."""
    gradients, lam = _Gradients(run), run.grad_state
    length = run.keep if run.keep > 1 else run.steps
    for done in range((run.steps - 1) // length * length, -1, -length):
        u, z = _segment(run, done, min(length, run.steps - done))
        y = _relax(z, run)
        slope = _slope(z, run) * run.decay * _slope(u, run)
        for k in range(len(u) - 1, -1, -1):
            step, of_y = done + k, torch.zeros_like(lam)
            if step + 1 < run.steps:
                of_y += gradients.through(0, step, y[k], lam)
            of_x = entering(run, run.grad_recorded, step + 1)
            if step + 1 == run.steps:
                of_x = run.grad_state if of_x is None else run.grad_state + of_x
            if of_x is not None:
                of_y += gradients.through(1, step, y[k], of_x)
            lam = of_y * slope[k]
    of_state = gradients.through(1, 0, run.state, lam)
    return [of_state, *gradients.pushes, *gradients.matrices]


class _Gradients:
    """Sums over the steps: gradients of the two pushes and of the two matrices."""

    def __init__(self, run: SplittingBackwardRun) -> None:
        self.precision = run.precision
        self.pushes = [torch.zeros_like(run.whole_push), torch.zeros_like(run.half_push)]
        self.couplings = run.matrices
        self.matrices = [torch.zeros_like(matrix) for matrix in run.matrices] if run.needs_couplings else []

    def through(self, which: int, step: int, y: Tensor, of_out: Tensor) -> Tensor:
        """Return the gradient by y of y + y @ matrix + push of `step`, whole (0) or half (1)."""
        push = self.pushes[which]
        push[step if len(push) > 1 else 0] += of_out if push.shape[1] > 1 else of_out.sum(0, keepdim=True)
        if self.matrices:
            self.matrices[which] += matmul(y.T, of_out, self.precision)
        if not self.couplings:
            return of_out.clone()
        return of_out + matmul(of_out, self.couplings[which].T, self.precision)


def _segment(run: SplittingBackwardRun, done: int, steps: int) -> tuple[Tensor, Tensor]:
    """Return u and z of steps done ... done + steps - 1 of the run, [steps, batch, unit] each."""
    u, z = run.state.new_empty(2, steps, run.batch, run.units)
    pushes = (push[done : done + steps] if len(push) > 1 else push for push in (run.whole_push, run.half_push))
    whole_push, half_push = pushes
    part = replace(
        run, state=run.kept[done // run.keep - 1] if done else run.state, steps=steps, start_step=run.start_step + done,
        whole_push=whole_push, half_push=half_push,
    )  # fmt: skip
    pipeline = Splitting(part, run.batch, tile_for(run.batch, run.precision), 0)
    pipeline.begin(part, slice(None), (u[0], z[0]), between=done > 0)
    for k in range(1, steps):
        pipeline.launch(k - 1, (u[k], z[k]))
    return u, z


def _relax(x: Tensor, run: SplittingRun) -> Tensor:
    v = x + run.shift
    return torch.where(run.stiffness == 0, x, v * torch.rsqrt(1 + run.stiffness * v * v) - run.shift)


def _slope(x: Tensor, run: SplittingRun) -> Tensor:
    return (1 + run.stiffness * (x + run.shift) ** 2) ** -1.5
