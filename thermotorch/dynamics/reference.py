"""The reference backend: plain torch, any device, float32 or float64. It defines the correct result.

Cost per step: one coupling field (two for Heun), the normals, and about ten passes over the state. Memory: a few states
and one chunk of noise; with gradients, one state per segment of sqrt(steps) steps plus the inside of a single segment,
because the backward pass recomputes a segment with its noise.
"""

from math import ceil, sqrt
from typing import Any

import torch
from torch import Tensor

from thermotorch.dynamics.integrators import System
from thermotorch.dynamics.loop import Motion, Point, report_divergence, run_segments, stacked, step_by_step
from thermotorch.dynamics.noise import NormalStream, Stream
from thermotorch.dynamics.observe import Transition
from thermotorch.dynamics.problem import Problem, Trajectory, wants_gradient


def run(problem: Problem) -> Trajectory:
    """Advance `problem.state` by `problem.steps` steps, in segments of about sqrt(steps)."""
    scheme, system = problem.integrator.step, _system(problem)

    def seen(step: int, before: Motion, after: Motion, force: Tensor | None) -> Transition:
        return problem.transition(step, before[0], after[0], force)

    def diverged(before: Point, first: int, end: int) -> None:
        report_divergence(problem, lambda x, step: scheme(x, step, system), before.motion[0], first, end)

    point, recorded = run_segments(
        problem,
        Point.start(problem),
        step_by_step(problem, lambda motion, step: (scheme(motion[0], step, system),), seen),
        length=max(1, ceil(sqrt(problem.steps))),
        replayed=torch.is_grad_enabled() and wants_gradient(problem),
        diverged=diverged,
    )
    x = point.motion[0]
    states, times = stacked(problem, recorded), problem.record_times()
    heat = problem.potential.energy(problem.state) - problem.potential.energy(x) + point.work
    observed = point.observed(problem)
    return Trajectory(x, heat, point.work, problem.end, states, times, observed, **problem.noise_of_run)


def _system(problem: Problem) -> Any:
    """Return the system of a problem's scheme, with bound couplings and its noise stream."""
    gradient, drive, mobility = problem.potential.bind(), problem.drive, problem.mobility

    def drift(x: Tensor, step: int) -> Tensor:
        force = -gradient(x) if drive is None else drive(step) - gradient(x)
        return mobility * force

    units, stream = problem.potential.num_units, Stream(problem.stream)
    noise = NormalStream(problem.seed, problem.sample_ids, units, problem.end, stream, problem.state.dtype)
    amplitude = (2 * problem.temperature * problem.dt * torch.as_tensor(mobility).to(problem.state)).sqrt()
    system = System(drift, noise, amplitude, problem.dt)
    return problem.integrator.system(system, problem.potential, drive, problem.temperature, mobility)
