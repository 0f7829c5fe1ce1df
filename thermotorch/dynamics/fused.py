"""The fast backends: the whole run as one call of an operator in `op.py`, whose implementation is the device's.

A drive that changes in time, and observers, see the run in chunks of steps whose states are all recorded.
"""

from importlib import import_module
from math import ceil, sqrt
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from thermotorch.dynamics import splitting
from thermotorch.dynamics.cpu import operators as cpu
from thermotorch.dynamics.noise import seed_bits
from thermotorch.dynamics.operators import langevin as op
from thermotorch.dynamics.operators import path_weights as weights_op
from thermotorch.dynamics.operators import reverse_action as action_op
from thermotorch.dynamics.path_weights import PathWeights, PathWeightsResult, log_width
from thermotorch.dynamics.problem import Problem, Trajectory, all_finite, divergence, wants_gradient
from thermotorch.potential import Potential
from thermotorch.transforms import transformed

_CHUNK_ELEMENTS = 1 << 15  # steps x units of a chunk: not its batch, on which no sample's result may depend
_KEEP_ELEMENTS = 1 << 25  # kept states up to 128 MB spare the backward pass a second forward pass


def refusal(problem: Problem, device: str) -> str | None:
    """Why the operator on `device` does not cover this problem, or None."""
    found = problem.state.device.type
    if not problem.potential.quartic:
        return f"{type(problem.potential).__name__} has an energy or field of its own, which only the reference knows"
    if device not in _UNAVAILABLE:
        return f"there is no fast backend for {device}"
    if found != device:
        return f"the state is on {found}; write state.to({device!r}) and potential.to({device!r})"
    if problem.state.dtype != torch.float32:
        return f"it computes in float32 and the state is {problem.state.dtype}"
    if problem.integrator_name not in (*op.INTEGRATORS, "splitting"):
        return f"it does not have the integrator {problem.integrator_name!r}"
    if problem.integrator_name == "alternating":
        problem.second_colour()  # raises where there are no two colours
    return _unavailable(device)


_known: dict[str, str | None] = {}  # asked before any tracing: torch.compile can read a dict, but not build a library


def _unavailable(device: str) -> str | None:
    if device not in _known:
        _known[device] = _UNAVAILABLE[device]()
    return _known[device]


def covers_action(path: Tensor) -> bool:
    """Whether `reverse_action` has an implementation for this path."""
    device = path.device.type
    return not transformed() and path.dtype == torch.float32 and device in _UNAVAILABLE and _unavailable(device) is None


def reverse_action(potential: Potential, path: Tensor, dt: float, temperature: float) -> Tensor:
    """`objectives.reverse_action` by the operator; gradients reach the potential, not the path."""
    couplings = op.placed(potential.couplings.pieces())
    units = [
        value.expand(potential.num_units).contiguous()
        for value in (potential.live_bias(), potential.j2, potential.j3, potential.j4)
    ]
    return action_op.reverse_action(path.detach().contiguous(), *couplings, *units, dt, temperature)[0]


def _cuda_unavailable() -> str | None:
    try:
        import_module("thermotorch.dynamics.cuda")  # registers itself; needs Triton, which nothing else imports
    except ImportError as error:
        return f"it needs triton ({error})"
    return None


_UNAVAILABLE = {"cpu": cpu.unavailable, "cuda": _cuda_unavailable}


def run(problem: Problem) -> Trajectory:
    """Advance `problem.state` by `problem.steps` steps."""
    steps = (_Splitting if problem.integrator_name == "splitting" else _Langevin)(problem)
    changing = problem.drive is not None and problem.drive.constant is None
    if (changing or problem.observers) and _sums_alone(problem, steps):
        state, work, recorded, observed = _run_with_sums(problem, steps)
    elif changing or problem.observers:
        state, work, recorded, observed = _run_in_chunks(problem, steps)
    else:
        state, recorded = steps(problem.state, problem.start_step, problem.steps, problem.record or 0)
        work = state.new_zeros(len(state))
        if problem.drive is not None:  # a constant force: its work telescopes
            work = (problem.drive.constant * (state - problem.state)).sum(-1)
        observed = {}
        if not torch.compiler.is_compiling() and not all_finite(state):
            _report_divergence(problem, steps)
    end = problem.start_step + problem.steps
    times = None if problem.record is None else problem.record_times()
    heat = _energy_at_start(problem) - problem.potential.energy(state) + work
    states = None if problem.record is None else recorded
    return Trajectory(state, heat, work, end, states, times, observed, **problem.noise_of_run)


def _energy_at_start(problem: Problem) -> Tensor:
    state = problem.state
    if not torch.compiler.is_compiling() and not state.requires_grad and not state.any():
        return state.new_zeros(len(state))  # at rest: no product with the couplings
    return problem.potential.energy(state)


class _Operator:
    """The problem as arguments of an operator: `(state, first step, steps, record, force) -> end, recorded`.

    `force` [1 or steps, 1 or batch, unit] is the drive of these steps, or None for the problem's constant one.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem, self.gradient = problem, torch.is_grad_enabled() and wants_gradient(problem)
        self.seed, self.stream = seed_bits(problem.seed), int(problem.stream)
        constant = problem.drive and problem.drive.constant
        self.constant = None if constant is None else constant.view(1, -1, problem.state.shape[1])

    def per_unit(self, value: Tensor | float) -> Tensor:
        state = self.problem.state
        return torch.as_tensor(value, dtype=state.dtype, device=state.device).expand(state.shape[1]).contiguous()

    def keep(self, state: Tensor, steps: int) -> int:
        """Steps between states kept for the gradient: each one where memory is plenty, else sqrt(steps) apart."""
        if not self.gradient or steps == 0:
            return 0
        if torch.compiler.is_compiling():  # asking for the batch's size would tie the graph to it
            return ceil(sqrt(steps))
        return 1 if steps * state.numel() <= _KEEP_ELEMENTS else ceil(sqrt(steps))


class _Langevin(_Operator):
    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        potential = problem.potential
        self.couplings = op.placed(potential.couplings.pieces())
        units = potential.live_bias(), potential.j2, potential.j3, potential.j4, problem.mobility
        self.units = [self.per_unit(value) for value in units]

    def __call__(
        self, state: Tensor, first: int, steps: int, record: int, force: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        problem = self.problem
        end, recorded, _ = op.langevin(
            state.contiguous(), *self.couplings, *self.units, self.constant if force is None else force,
            problem.sample_ids, steps, problem.dt, problem.temperature, self.seed, first, self.stream,
            problem.integrator_name, record, self.keep(state, steps), problem.precision,
        )  # fmt: skip
        return end, recorded

    def with_sums(
        self, state: Tensor, first: int, steps: int, record: int, force: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Also the sums of `weights_op.path_weights`."""
        problem = self.problem
        return weights_op.path_weights(
            state.contiguous(), *self.couplings, *self.units, self.constant if force is None else force,
            problem.sample_ids, steps, problem.dt, problem.temperature, self.seed, first, self.stream,
            problem.integrator_name, record, problem.precision,
        )  # fmt: skip


class _Splitting(_Operator):
    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        flows = splitting.flows(
            problem.potential, dt=problem.dt, temperature=problem.temperature, mobility=problem.mobility
        )
        self.flows = flows
        self.kicks = (None, None) if flows.kick is None else (flows.kick.whole, flows.kick.half)
        self.units = [self.per_unit(value) for value in (flows.decay, flows.spread, flows.stiffness, flows.shift)]
        self.pushes = self._pushes(self.constant)

    def _pushes(self, force: Tensor | None) -> tuple[Tensor, Tensor]:
        """(between two steps, half a step) [1 or steps, 1 or batch, unit]:
        what C adds besides the couplings' product.
        """
        half = self.flows.push(force)
        half = half.expand(1, 1, -1) if force is None else half
        following = half if len(half) == 1 else torch.cat([half[1:], half[-1:]])
        # In float64 as the pushes themselves: torch's float32 products have other bits with other numbers of threads.
        between = self.flows.couple(half.double(), following.double()).to(half.dtype)
        return between, half

    def __call__(
        self, state: Tensor, first: int, steps: int, record: int, force: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        problem = self.problem
        end, recorded, _ = op.splitting(
            state.contiguous(), *self.kicks, *(self.pushes if force is None else self._pushes(force)), *self.units,
            problem.sample_ids, steps, self.seed, first, self.stream, record, self.keep(state, steps),
            problem.precision,
        )  # fmt: skip
        return end, recorded


def _forces(problem: Problem, first: int, count: int) -> tuple[list[Tensor] | None, Tensor | None]:
    """The drive of `count` steps, one by one and as [count, 1 or batch, unit]."""
    if problem.drive is None:
        return None, None
    forces = [problem.drive(step) for step in range(first, first + count)]
    return forces, torch.stack(torch.broadcast_tensors(*forces)).view(count, -1, problem.state.shape[1])


def _sums_alone(problem: Problem, steps: _Operator) -> bool:
    """Whether work and the path weights of the run itself are all that its single steps are wanted for."""
    if problem.state.device.type != "cpu" or problem.integrator_name not in weights_op.INTEGRATORS or steps.gradient:
        return False
    found = problem.observers.values()
    return all(isinstance(observer, PathWeights) and observer.of_run(problem.potential) for observer in found)


def _run_with_sums(problem: Problem, steps: _Langevin) -> tuple[Tensor, Tensor, Tensor, dict[str, Any]]:
    """As `_run_in_chunks`, with work and weights added up by the operator; in chunks only if the drive changes."""
    state, end, every = problem.state, problem.start_step + problem.steps, problem.record or 0
    changing = problem.drive is not None and problem.drive.constant is None
    length = max(1, _CHUNK_ELEMENTS // state.shape[1] if changing else problem.steps)
    sums, parts = state.new_zeros(len(state), 3, dtype=torch.float64), [state.new_empty(0, *state.shape)]
    for first in range(problem.start_step, end, length):
        count = min(length, end - first)
        force = _forces(problem, first, count)[1] if changing else None
        state, recorded, added = steps.with_sums(state, first, count, every, force)
        sums += added
        parts.append(recorded)
        if not all_finite(state):
            _report_divergence(problem, steps)
    work, forward, ratio = sums.unbind(1)
    if problem.drive is not None and not changing:
        work = (problem.drive.constant * (state - problem.state)).sum(-1)
    observed = {}
    if problem.observers:
        physics = {"dt": problem.dt, "temperature": problem.temperature, "mobility": problem.mobility}
        width = log_width(problem.potential, integrator=problem.integrator_name, **physics)
        observed = dict.fromkeys(problem.observers, PathWeightsResult(forward - problem.steps * width, ratio))
    return state, work.to(state), torch.cat(parts), observed


def _run_in_chunks(problem: Problem, steps: _Operator) -> tuple[Tensor, Tensor, Tensor, dict[str, Any]]:
    """State, work, recorded states and observations, chunk by chunk; with gradients each chunk is a checkpoint."""
    state = problem.state
    work = state.new_zeros(len(state))
    carries = {name: observer.start(state) for name, observer in problem.observers.items()}
    end, parts = problem.start_step + problem.steps, []
    length = max(1, ceil(sqrt(problem.steps)) if steps.gradient else _CHUNK_ELEMENTS // state.shape[1])

    def chunk(before: Tensor, work: Tensor, carries: dict[str, Any], first: int, count: int) -> tuple:
        forces, force = _forces(problem, first, count)
        after, states = steps(before, first, count, 1, force)
        path = torch.cat([before[None], states])
        if force is not None:
            work = work + (force * (path[1:] - path[:-1])).sum((0, 2))
        for k in range(count if carries else 0):
            pushed = None if forces is None else forces[k]
            seen = problem.transition(first + k, path[k], path[k + 1], pushed)
            carries = {name: observer.update(carries[name], seen) for name, observer in problem.observers.items()}
        every = problem.record
        kept = states[:0] if every is None else states[every - 1 - first % every :: every]
        return after, work, carries, kept

    for first in range(problem.start_step, end, length):
        arguments = state, work, carries, first, min(length, end - first)
        if steps.gradient:
            after = checkpoint(chunk, *arguments, use_reentrant=False, preserve_rng_state=False)
        else:
            after = chunk(*arguments)
        state, work, carries, kept = after
        parts.append(kept)
        if not all_finite(state):
            _report_divergence(problem, steps)
    recorded = torch.cat(parts) if parts else state.new_empty(0, *state.shape)
    observed = {name: observer.result(carries[name]) for name, observer in problem.observers.items()}
    return state, work, recorded, observed


@torch.no_grad()
def _report_divergence(problem: Problem, steps: _Operator) -> None:
    """Repeat the run one step at a time, up to the step that left the finite numbers, and raise."""
    before = problem.state
    for step in range(problem.start_step, problem.start_step + problem.steps):
        force = None if problem.drive is None else problem.drive(step).view(1, -1, before.shape[1])
        after, _ = steps(before, step, 1, 0, force)
        if not torch.isfinite(after).all():
            raise divergence(problem, step, before, after)
        before = after
