"""The loop over the steps of a run, in segments that a gradient recomputes, with work, observers and records."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from thermotorch.dynamics.problem import Problem, all_finite, divergence
from thermotorch.transforms import transformed

Motion = tuple[Tensor, ...]  # the state [batch, unit], and other variables that change with it


class Point(NamedTuple):
    """The variables of a run between two steps."""

    motion: Motion
    work: Tensor  # work of the drive so far
    carries: dict[str, Any]  # carries of the observers

    @classmethod
    def start(cls, problem: Problem, *others: Tensor) -> "Point":
        """Return the point before the first step; `others` change with the state."""
        state = problem.state
        carries = {name: observer.start(state) for name, observer in problem.observers.items()}
        return cls((state, *others), state.new_zeros(len(state)), carries)

    def observed(self, problem: Problem) -> dict[str, Any]:
        """Return the results of the observers."""
        return {name: observer.result(self.carries[name]) for name, observer in problem.observers.items()}


Segment = Callable[[Point, int, int], tuple[Point, list[Motion]]]  # (point, first step, end) -> (point, recorded)


def observe(problem: Problem, carries: dict[str, Any], transition: Any) -> dict[str, Any]:
    """Return the carries of the observers after one more step."""
    return {name: observer.update(carries[name], transition) for name, observer in problem.observers.items()}


def step_by_step(
    problem: Problem,
    advance: Callable[[Motion, int], Motion],
    seen: Callable[[int, Motion, Motion, Tensor | None], Any],
) -> Segment:
    """Return a segment of single steps, `advance(motion, step)`.

    Observers see the transitions `seen(step, motion before, motion after, drive)`.
    """

    def segment(point: Point, first: int, end: int) -> tuple[Point, list[Motion]]:
        motion, work, carries = point
        recorded = []
        for step in range(first, end):
            after = advance(motion, step)
            force = None if problem.drive is None else problem.drive(step)
            if force is not None:
                work = work + (force * (after[0] - motion[0])).sum(-1)
            if carries:
                carries = observe(problem, carries, seen(step, motion, after, force))
            if problem.record is not None and (step + 1) % problem.record == 0:
                recorded.append(after)
            motion = after
        return Point(motion, work, carries), recorded

    return segment


def run_segments(
    problem: Problem, point: Point, segment: Segment, *, length: int, replayed: bool,
    diverged: Callable[[Point, int, int], None],
) -> tuple[Point, list[Motion]]:  # fmt: skip
    """Return the last point of a run, and the records of all its segments of `length` steps.

    Args:
        replayed: True to keep only the points between segments, and to recompute a segment for its gradient; never in
            a transform (`transforms.py`), where no values are read either.
        diverged: function (point, first step, end) that raises for a segment whose state became non-finite.
    """
    recorded: list[Motion] = []
    hidden = transformed()
    for first in range(problem.start_step, problem.end, length):
        before, end = point, min(first + length, problem.end)
        if replayed and not hidden:
            point, records = checkpoint(segment, before, first, end, use_reentrant=False, preserve_rng_state=False)
        else:
            point, records = segment(before, first, end)
        recorded += records
        if not hidden and not all_finite(point.motion[0]):
            diverged(before, first, end)
    return point, recorded


@torch.no_grad()
def report_divergence(
    problem: Problem, step: Callable[[Tensor, int], Tensor], state: Tensor, first: int, end: int
) -> None:
    """Repeat the steps one by one, and raise the error of the first that gives a non-finite state."""
    for number in range(first, end):
        after = step(state, number)
        if not all_finite(after):
            raise divergence(problem, number, state, after)
        state = after


def stacked(problem: Problem, recorded: list[Motion], which: int = 0) -> Tensor | None:
    """Return the recorded states [record, batch, unit] or another variable of `Motion`, or None without a record."""
    if problem.record is None:
        return None
    if not recorded:
        return problem.state.new_empty(0, *problem.state.shape)
    return torch.stack([motion[which] for motion in recorded])
