"""The fast backends: a whole run as one call of an operator of `operators/`, implemented for the device.

With a time-dependent drive or observers, the run proceeds in chunks of steps whose states are all recorded.
"""

from collections.abc import Sequence
from importlib import import_module
from math import ceil, sqrt
from typing import Any

import torch
from torch import Tensor

from thermotorch.dynamics import splitting
from thermotorch.dynamics.cpu import operators as cpu
from thermotorch.dynamics.loop import Motion, Point, observe, report_divergence, run_segments
from thermotorch.dynamics.noise import seed_bits
from thermotorch.dynamics.operators import langevin as op
from thermotorch.dynamics.operators import reverse_action as action_op
from thermotorch.dynamics.path_weights import PathWeights, PathWeightsResult, log_width
from thermotorch.dynamics.problem import Problem, Trajectory, all_finite, wants_gradient
from thermotorch.potential import Potential
from thermotorch.transforms import transformed

_DEVICES = ("cpu", "cuda")
_CHUNK_ELEMENTS = 1 << 15  # steps x units of a chunk; not x batch, since no sample's result may depend on its batch
_KEEP_ELEMENTS = 1 << 25  # kept states up to 128 MB spare the backward pass a second forward pass


def _most_kept(device: torch.device) -> int:
    """Return the most elements of kept states, on a GPU at least a fortieth of its memory."""
    if device.type != "cuda":
        return _KEEP_ELEMENTS
    return max(_KEEP_ELEMENTS, torch.cuda.get_device_properties(device).total_memory // (40 * 4))


def refusal(problem: Problem, device: str) -> str | None:
    """Return why the operators on `device` do not cover this problem, or None."""
    actual = problem.state.device.type
    if not problem.potential.quartic:
        return (
            f"{type(problem.potential).__name__} has an energy or field of its own, which only the reference supports"
        )
    if device not in _DEVICES:
        return f"there is no fast backend for {device}"
    if actual != device:
        return f"the state is on {actual}; write state.to({device!r}) and potential.to({device!r})"
    if problem.state.dtype != torch.float32:
        return f"it computes in float32, but the state is {problem.state.dtype}"
    reason, integrators = _backend(device)
    if reason is None and problem.integrator_name not in integrators:
        return f"it does not have the integrator {problem.integrator_name!r}"
    return reason


def covers_action(path: Tensor) -> bool:
    """Return True if the operator `reverse_action` is implemented for this path."""
    device = path.device.type
    return not transformed() and path.dtype == torch.float32 and device in _DEVICES and _backend(device)[0] is None


def reverse_action(potential: Potential, path: Tensor, dt: float, temperature: float) -> Tensor:
    """Compute `objectives.reverse_action` by the operator; gradients reach the potential, not the path."""
    couplings = op.placed(potential.couplings.pieces())
    units = [
        value.expand(potential.num_units).contiguous()
        for value in (potential.live_bias(), potential.j2, potential.j3, potential.j4)
    ]
    action: Tensor = action_op.reverse_action(path.detach().contiguous(), *couplings, *units, dt, temperature)[0]
    return action


_Backend = tuple[str | None, Sequence[str]]  # reason for its absence, or None; names of its integrators


def _cuda() -> _Backend:
    try:
        cuda = import_module("thermotorch.dynamics.cuda")  # registers its kernels; needs Triton
    except ImportError as error:
        return f"it needs triton ({error})", ()
    return None, cuda.INTEGRATORS


_known: dict[str, _Backend] = {}  # torch.compile can read a dict, but not build a library


def _backend(device: str) -> _Backend:
    if device not in _known:
        _known[device] = _cuda() if device == "cuda" else (cpu.unavailable(), cpu.INTEGRATORS)
    return _known[device]


def run(problem: Problem) -> Trajectory:
    """Advance `problem.state` by `problem.steps` steps."""
    steps = _OPERATORS.get(problem.integrator_name, _Langevin)(problem)
    changing = problem.drive is not None and problem.drive.constant is None
    if (changing or problem.observers) and isinstance(steps, _Langevin) and _sums_alone(problem, steps):
        state, work, recorded, observed = _run_with_sums(problem, steps)
    elif changing or problem.observers:
        state, work, recorded, observed = _run_in_chunks(problem, steps)
    else:
        state, recorded = steps(problem.state, problem.start_step, problem.steps, problem.record or 0)
        work = state.new_zeros(len(state))
        if steps.constant is not None:  # the sum of the work over steps telescopes
            work = (steps.constant[0] * (state - problem.state)).sum(-1)
        observed = {}
        if not torch.compiler.is_compiling() and not all_finite(state):
            steps.diverged(Point.start(problem), problem.start_step, problem.end)
    heat = _energy_at_start(problem) - problem.potential.energy(state) + work
    states = None if problem.record is None else recorded
    times = problem.record_times()
    return Trajectory(state, heat, work, problem.end, states, times, observed, **problem.noise_of_run)


def _energy_at_start(problem: Problem) -> Tensor:
    state = problem.state
    if not torch.compiler.is_compiling() and not state.requires_grad and not state.any():
        return state.new_zeros(len(state))  # zero without a product with the couplings
    return problem.potential.energy(state)


class _Operator:
    """A problem as the arguments of an operator.

    `force` [1 or steps, 1 or batch, unit] is the drive of some steps, or None for the problem's constant drive.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem, self.gradient = problem, torch.is_grad_enabled() and wants_gradient(problem)
        constant = problem.drive.constant if problem.drive else None
        self.constant = None if constant is None else constant.view(1, -1, problem.state.shape[1])
        self.seed, self.stream = seed_bits(problem.seed), int(problem.stream)

    def __call__(
        self, state: Tensor, first: int, steps: int, record: int, force: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the state after `steps` steps, and the recorded states."""
        raise NotImplementedError

    def per_unit(self, value: Tensor | float) -> Tensor:
        state = self.problem.state
        return torch.as_tensor(value, dtype=state.dtype, device=state.device).expand(state.shape[1]).contiguous()

    def timeline(self, state: Tensor, first: int, steps: int, record: int, keep: int) -> tuple[Any, ...]:
        """Return the fields of `arguments.Timeline`."""
        ids, precision = self.problem.sample_ids, self.problem.precision
        return state.contiguous(), ids, steps, self.seed, first, self.stream, record, keep, precision

    def keep(self, state: Tensor, steps: int) -> int:
        """Return the interval between states kept for the gradient: 1 if memory allows, else about sqrt(steps)."""
        if not self.gradient or steps == 0:
            return 0
        if torch.compiler.is_compiling():  # reading the batch size would specialise the graph to it
            return ceil(sqrt(steps))
        return 1 if steps * state.numel() <= _most_kept(state.device) else ceil(sqrt(steps))

    def diverged(self, before: Point, first: int, end: int) -> None:
        def step(x: Tensor, number: int) -> Tensor:
            drive = self.problem.drive
            return self(x, number, 1, 0, None if drive is None else drive(number).view(1, -1, x.shape[1]))[0]

        report_divergence(self.problem, step, before.motion[0], first, end)


class _Langevin(_Operator):
    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        potential = problem.potential
        units = potential.live_bias(), potential.j2, potential.j3, potential.j4, problem.mobility
        # The fields of `arguments.Langevin` after the drive.
        self.machine: tuple[Any, ...] = (
            *op.placed(potential.couplings.pieces()), *map(self.per_unit, units),
            problem.dt, problem.temperature, problem.integrator_name,
        )  # fmt: skip

    def __call__(
        self, state: Tensor, first: int, steps: int, record: int, force: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        timeline = self.timeline(state, first, steps, record, self.keep(state, steps))
        end, recorded, _ = op.langevin(*timeline, self.constant if force is None else force, *self.machine)
        return end, recorded

    def with_sums(
        self, state: Tensor, first: int, steps: int, record: int, force: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the same two and the sums of the operator `path_weights`."""
        drive, timeline = self.constant if force is None else force, self.timeline(state, first, steps, record, 0)
        end, recorded, sums = op.path_weights(*timeline, drive, *self.machine)
        return end, recorded, sums


class _Splitting(_Operator):
    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.flows = flows = splitting.flows(
            problem.potential, dt=problem.dt, temperature=problem.temperature, mobility=problem.mobility
        )
        matrices = (None, None) if flows.coupling is None else (flows.coupling.whole, flows.coupling.half)
        # The fields of `arguments.Splitting` after the pushes.
        self.machine = *matrices, *map(self.per_unit, (flows.decay, flows.spread, flows.stiffness, flows.shift))
        self.pushes = self._pushes(self.constant)

    def _pushes(self, force: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the displacements by drive and biases in C, between two steps and in half a step.

        [1 or steps, 1 or batch, unit] each.
        """
        half = self.flows.push(force)
        half = half.expand(1, 1, -1) if force is None else half
        following = half if len(half) == 1 else torch.cat([half[1:], half[-1:]])
        # In float64, like the pushes themselves: torch's float32 products change with the number of threads.
        between = self.flows.couple(half.double(), following.double()).to(half.dtype)
        return between, half

    def __call__(
        self, state: Tensor, first: int, steps: int, record: int, force: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        pushes = self.pushes if force is None else self._pushes(force)
        timeline = self.timeline(state, first, steps, record, self.keep(state, steps))
        end, recorded, _ = op.splitting(*timeline, *pushes, *self.machine)
        return end, recorded


_OPERATORS: dict[str, type[_Operator]] = {"splitting": _Splitting}  # all other schemes: _Langevin


def _forces(problem: Problem, first: int, count: int) -> tuple[list[Tensor] | None, Tensor | None]:
    """Return the drive of `count` steps, as a list and as [count, 1 or batch, unit]."""
    if problem.drive is None:
        return None, None
    forces = [problem.drive(step) for step in range(first, first + count)]
    return forces, torch.stack(torch.broadcast_tensors(*forces)).view(count, -1, problem.state.shape[1])


def _joined(problem: Problem, recorded: list[Motion]) -> Tensor:
    """Return the recorded states of all chunks, [record, batch, unit]."""
    return torch.cat([problem.state.new_empty(0, *problem.state.shape), *(states for (states,) in recorded)])


def _sums_alone(problem: Problem, steps: _Operator) -> bool:
    """Return True if nothing but the work and the path weights of the run itself needs its single steps."""
    if problem.state.device.type != "cpu" or problem.integrator_name not in cpu.SUMMED or steps.gradient:
        return False
    observers = problem.observers.values()
    return all(isinstance(observer, PathWeights) and observer.of_run(problem.potential) for observer in observers)


def _run_with_sums(problem: Problem, steps: _Langevin) -> tuple[Tensor, Tensor, Tensor, dict[str, Any]]:
    """Run with work and weights summed by the operator, in chunks only if the drive depends on time."""
    changing = problem.drive is not None and steps.constant is None

    def chunk(before: Point, first: int, end: int) -> tuple[Point, list[Motion]]:
        force = _forces(problem, first, end - first)[1] if changing else None
        state, recorded, added = steps.with_sums(before.motion[0], first, end - first, problem.record or 0, force)
        return Point((state,), before.work + added, {}), [(recorded,)]

    sums = problem.state.new_zeros(len(problem.state), 3, dtype=torch.float64)
    length = max(1, _CHUNK_ELEMENTS // problem.state.shape[1] if changing else problem.steps)
    point, recorded = run_segments(
        problem, Point((problem.state,), sums, {}), chunk,
        length=length, replayed=False, diverged=steps.diverged,
    )  # fmt: skip
    state, (work, forward, ratio) = point.motion[0], point.work.unbind(1)
    if steps.constant is not None:
        work = (steps.constant[0] * (state - problem.state)).sum(-1)
    observed: dict[str, Any] = {}
    if problem.observers:
        width = log_width(
            problem.potential, integrator=problem.integrator_name, dt=problem.dt, temperature=problem.temperature,
            mobility=problem.mobility,
        )  # fmt: skip
        observed = dict.fromkeys(problem.observers, PathWeightsResult(forward - problem.steps * width, ratio))
    return state, work.to(state), _joined(problem, recorded), observed


def _run_in_chunks(problem: Problem, steps: _Operator) -> tuple[Tensor, Tensor, Tensor, dict[str, Any]]:
    """Return state, work, recorded states and observations, chunk by chunk; with gradients each is a checkpoint."""

    def chunk(point: Point, first: int, end: int) -> tuple[Point, list[Motion]]:
        (before,), work, carries = point
        forces, force = _forces(problem, first, end - first)
        after, states = steps(before, first, end - first, 1, force)
        path = torch.cat([before[None], states])
        if force is not None:
            work = work + (force * (path[1:] - path[:-1])).sum((0, 2))
        for k in range(end - first if carries else 0):
            pushed = None if forces is None else forces[k]
            carries = observe(problem, carries, problem.transition(first + k, path[k], path[k + 1], pushed))
        every = problem.record
        records = states[:0] if every is None else states[every - 1 - first % every :: every]
        return Point((after,), work, carries), [(records,)]

    length = max(1, ceil(sqrt(problem.steps)) if steps.gradient else _CHUNK_ELEMENTS // problem.state.shape[1])
    point, recorded = run_segments(
        problem, Point.start(problem), chunk,
        length=length, replayed=steps.gradient, diverged=steps.diverged,
    )  # fmt: skip
    return point.motion[0], point.work, _joined(problem, recorded), point.observed(problem)
