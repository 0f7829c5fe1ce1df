"""The reference backend: plain torch, any device, float32 or float64. It defines what correct means.

Cost per step: one coupling field (two for Heun), the normals, and about ten passes over the state. Memory: a few states
    and
one chunk of noise; with gradients, one state per segment of sqrt(steps) steps plus the inside of a single segment,
because a segment is recomputed, noise and all, when its gradient is asked for.
"""

from math import ceil, sqrt
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from thermotorch.dynamics import splitting
from thermotorch.dynamics.integrators import System
from thermotorch.dynamics.noise import NormalStream, Stream
from thermotorch.dynamics.problem import Problem, Trajectory, divergence, wants_gradient
from thermotorch.transforms import transformed


def run(problem: Problem) -> Trajectory:
    """Advance `problem.state` by `problem.steps` steps, in segments of about sqrt(steps)."""
    loop = _Loop(problem)
    x, work = problem.state, problem.state.new_zeros(len(problem.state))
    carries = {name: observer.start(x) for name, observer in problem.observers.items()}
    recorded: list[Tensor] = []
    hidden = transformed()  # where neither checkpoints nor values can be had
    differentiable = torch.is_grad_enabled() and not hidden and wants_gradient(problem)
    end = problem.start_step + problem.steps
    length = max(1, ceil(sqrt(problem.steps)))
    for first in range(problem.start_step, end, length):
        last, before = min(first + length, end), x
        if differentiable:
            x, work, carries, kept = checkpoint(
                loop.segment, x, work, carries, first, last, use_reentrant=False, preserve_rng_state=False
            )
        else:
            x, work, carries, kept = loop.segment(x, work, carries, first, last)
        recorded += kept
        if not hidden and not torch.isfinite(x).all():
            loop.report_divergence(before, first, last)
    states = times = None
    if problem.record is not None:
        states = torch.stack(recorded) if recorded else x.new_empty(0, *x.shape)
        times = problem.record_times()
    heat = problem.potential.energy(problem.state) - problem.potential.energy(x) + work
    observed = {name: observer.result(carries[name]) for name, observer in problem.observers.items()}
    return Trajectory(x, heat, work, end, states, times, observed, **problem.noise_of_run)


class _Loop:
    """One problem made ready to step: couplings bound, noise opened."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        gradient, drive, mobility = problem.potential.bind(), problem.drive, problem.mobility

        def drift(x: Tensor, step: int) -> Tensor:
            force = -gradient(x) if drive is None else drive(step) - gradient(x)
            return mobility * force

        noise = NormalStream(
            problem.seed,
            problem.sample_ids,
            problem.potential.num_units,
            problem.start_step + problem.steps,
            Stream(problem.stream),
            problem.state.dtype,
        )
        kick = (2 * problem.temperature * problem.dt * torch.as_tensor(mobility).to(problem.state)).sqrt()
        physics = {"dt": problem.dt, "temperature": problem.temperature, "mobility": mobility}
        parts: dict[str, Any] = {}
        if problem.integrator_name == "splitting":
            flows = splitting.flows(problem.potential, **physics)
            constant = flows.push(drive and drive.constant)

            def push(step: int) -> Tensor:
                return constant if drive is None or drive.constant is not None else flows.push(drive(step))

            parts = {"flows": flows, "push": push}
        if problem.integrator_name == "alternating":
            flows, field = splitting.on_site(problem.potential, **physics), problem.potential.couplings.bind()

            def force(x: Tensor, step: int) -> Tensor:
                return (0.0 if drive is None else drive(step)) - flows.bias - field(x)

            parts = {"flows": flows, "force": force, "second": problem.second_colour()}
        self.system = System(drift, noise, kick, problem.dt, **parts)

    def segment(self, x: Tensor, work: Tensor, carries: dict[str, Any], first: int, last: int) -> tuple:
        """Steps first ... last - 1. Pure, so that it can be replayed."""
        problem, kept = self.problem, []
        for step in range(first, last):
            after = problem.integrator(x, step, self.system)
            force = None if problem.drive is None else problem.drive(step)
            if force is not None:
                work = work + (force * (after - x)).sum(-1)
            if problem.observers:
                seen = problem.transition(step, x, after, force)
                carries = {name: observer.update(carries[name], seen) for name, observer in problem.observers.items()}
            if problem.record is not None and (step + 1) % problem.record == 0:
                kept.append(after)
            x = after
        return x, work, carries, kept

    @torch.no_grad()
    def report_divergence(self, x: Tensor, first: int, last: int) -> None:
        """Replay the segment to find the step and the unit that left the finite numbers, and raise."""
        problem = self.problem
        for step in range(first, last):
            after = problem.integrator(x, step, self.system)
            if not torch.isfinite(after).all():
                raise divergence(problem, step, x, after)
            x = after
