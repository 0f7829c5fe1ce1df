"""The input and the output of a backend, `Problem` and `Trajectory`; every check comes before any compute."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor

from thermotorch.arguments import STEPS, flags, integer_in, number_of, per_unit, sample_numbers, seed_of
from thermotorch.dynamics.integrators import INTEGRATORS, Force, Integrator
from thermotorch.dynamics.noise import Stream
from thermotorch.dynamics.observe import Observer, PathAction, Transition
from thermotorch.dynamics.operators.arguments import PRECISIONS
from thermotorch.dynamics.path_weights import PathWeights, refusal
from thermotorch.potential import Potential
from thermotorch.transforms import transformed, values_hidden

Drive = Tensor | Callable[[int], Tensor]

_STREAMS = tuple(Stream)  # evaluated outside of graphs, where some versions of torch cannot read an enumeration
_MOST_UNITS_IN_AN_EXPONENTIAL = 4096  # a dense matrix of this size takes 64 MB and its exponential under a TFLOP


@dataclass(frozen=True)
class Problem:
    """A checked simulation. `state` and all that depends on it is [batch, unit]; `mobility` is zero where clamped."""

    potential: Potential
    state: Tensor
    steps: int
    dt: float
    temperature: float
    mobility: Tensor | float
    seed: int | Tensor
    sample_ids: Tensor
    drive: Force | None
    integrator_name: str
    record: int | None
    start_step: int
    stream: int
    observers: Mapping[str, Observer]
    precision: str = "ieee"

    @property
    def integrator(self) -> Integrator[Any]:
        return INTEGRATORS[self.integrator_name]

    @property
    def end(self) -> int:
        """Return the number of the step after the last."""
        return self.start_step + self.steps

    def transition(self, step: int, before: Tensor, after: Tensor, drive: Tensor | None) -> Transition:
        """Return one step, for observers."""
        return Transition(step, before, after, drive, self.dt, self.temperature, self.mobility, self.integrator_name)

    @property
    def noise_of_run(self) -> dict[str, Any]:
        """Return the fields of a `Trajectory` that its continuation needs."""
        return {"seed": self.seed, "stream": self.stream, "sample_ids": self.sample_ids}

    def record_times(self) -> Tensor | None:
        """Return the times of the recorded states, float64 [record], or None if nothing is recorded."""
        if self.record is None:
            return None
        times = torch.arange(self.start_step // self.record + 1, self.end // self.record + 1, dtype=torch.float64)
        return times * (self.record * self.dt)


@dataclass(frozen=True)
class Trajectory:
    """The result of a run: its end, its energies, and records.

    Attributes:
        state: state at the end, [batch, unit].
        heat: energy given to the bath, `V(start) - V(end) + work`, in the potential's unit, [batch].
        work: work of the drive, the sum of f . dx over the steps, [batch]. V is the energy without the drive; the work
            on the energy V - f.x is `work` minus the change of f.x over the run.
        step: number of the next step, the `start_step` of a continuation.
        states: states after steps record, 2 record, ..., [record, batch, unit], if recorded.
        times: times of these states, step x dt, counted from step 0, [record].
        observed: results of the observers, by name.
        seed, stream, sample_ids: identity of the noise. A trajectory in place of a state continues with it at `step`;
            dt and temperature may change, and times are step x dt of the call that records them.
    """

    state: Tensor
    heat: Tensor
    work: Tensor
    step: int
    states: Tensor | None = None
    times: Tensor | None = None
    observed: dict[str, Any] = field(default_factory=dict)
    seed: int | Tensor | None = field(default=None, kw_only=True)
    stream: int = field(default=Stream.DYNAMICS, kw_only=True)
    sample_ids: Tensor | None = field(default=None, kw_only=True)

    @property
    def recorded(self) -> Tensor:
        """Return `states`, or raise a ValueError if the run recorded none."""
        if self.states is None:
            raise ValueError("states: this run kept none; write simulate(..., record=1)")
        return self.states


def check(
    potential: Potential,
    state: Tensor,
    *,
    steps: int,
    dt: float,
    temperature: float,
    mobility: float | Tensor,
    seed: int | Tensor,
    sample_ids: Tensor | None,
    drive: Drive | None,
    clamp: Tensor | None,
    integrator: str,
    record: int | None,
    start_step: int,
    stream: int,
    observers: Mapping[str, Observer] | None,
    precision: str = "ieee",
) -> Problem:
    """Return the problem of the arguments of `simulate`, or raise an error with the expected form."""
    if not isinstance(potential, Potential):
        raise TypeError(f"potential must be a Potential, got {type(potential).__name__}")
    batch, unit = _check_state(potential, state)
    if not torch.compiler.is_compiling():  # numbers of a graph may be symbolic
        steps = integer_in("steps", steps, 0, STEPS)
        seed = seed if transformed() and isinstance(seed, Tensor) else seed_of(seed)
        start_step = integer_in("start_step", start_step, 0, STEPS - steps)
        record = None if record is None else integer_in("record", record, 1, STEPS)
        dt, temperature = number_of("dt", dt, positive=True), number_of("temperature", temperature)
    if not isinstance(stream, int) or stream not in _STREAMS:
        raise ValueError(f"stream: expected one of {', '.join(map(str, Stream))}, got {stream!r}")
    if observers is not None and not isinstance(observers, Mapping):
        raise TypeError(f"observers: expected a dict from names to observers, got {type(observers).__name__}")
    observers = dict(observers or {})
    integrator = _check_integrator(integrator, potential, observers)
    for name, observer in observers.items():
        if isinstance(observer, PathWeights) and (reason := refusal(integrator, temperature)):
            raise ValueError(f"observers[{name!r}]: {reason}")
    return Problem(
        potential,
        state,
        steps,
        dt,
        temperature,
        _check_mobility(mobility, clamp, state),
        seed,
        sample_numbers(sample_ids, (batch,), state.device),
        _check_drive(drive, batch, unit, state),
        integrator,
        record,
        start_step,
        stream,
        observers,
        choose("precision", precision, PRECISIONS),
    )


def choose(what: str, name: str, options: Collection[str]) -> str:
    """Return a name that is one of `options`, or raise a ValueError that lists them and the closest match."""
    if not isinstance(name, str):
        raise TypeError(f"{what} must be a name, one of {', '.join(map(repr, options))}, got {name!r}")
    if name not in options:
        close = get_close_matches(str(name), options, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"{what}: unknown {name!r}, expected one of {', '.join(map(repr, options))}{hint}")
    return name


def wants_gradient(problem: Problem) -> bool:
    """Return True if checkpoints are worth their cost. A wrong answer costs only memory of the gradient."""
    inputs = [problem.state, *problem.potential.parameters()]
    if problem.drive is not None:
        inputs.append(problem.drive(problem.start_step))
    return bool(problem.observers) or any(tensor.requires_grad for tensor in inputs)


def all_finite(tensor: Tensor) -> bool:
    """Return True if no number is NaN or infinite, in most cases from their sum, at a tenth of the cost."""
    return bool(torch.isfinite(tensor.sum())) or bool(torch.isfinite(tensor).all())


def require_finite_heat(trajectory: Trajectory, problem: Problem) -> None:
    """Raise a FloatingPointError if the states are finite, as exact flows leave them, but their energy is not."""
    if not all_finite(trajectory.heat.detach()):
        problem.potential.require_finite()
        furthest = trajectory.state.detach().abs().max().item() if trajectory.state.numel() else 0.0
        raise FloatingPointError(
            f"the energy became non-finite: the state reached |x| = {furthest:.3g} (dt={problem.dt:.3g}); "
            f"try dt={0.5 * problem.dt:.2g} or smaller"
        )


def divergence(problem: Problem, step: int, before: Tensor, after: Tensor) -> FloatingPointError:
    """Return the error of a step to a non-finite state, unless a parameter, a buffer or the drive is at fault."""
    problem.potential.require_finite()
    if problem.drive is not None and not all_finite(problem.drive(step)):
        raise ValueError(f"drive: every value must be finite, found others at step {step}")
    # A unit that overflows makes its neighbours NaN (0 x inf): name the one that was furthest out.
    furthest = torch.where(torch.isfinite(after), -1.0, before.abs()).argmax()
    sample, unit = divmod(int(furthest), before.shape[1])
    force = None if problem.drive is None else problem.drive(step)
    fastest = float(torch.as_tensor(problem.mobility).max())
    quartic = problem.potential.quartic  # the stability of others is unknown
    stable = problem.potential.stable_dt(problem.state, force, problem.temperature) / fastest if quartic else problem.dt
    return FloatingPointError(
        f"the state became non-finite at step {step}, sample {int(problem.sample_ids[sample])}, unit {unit} "
        f"(dt={problem.dt:.3g}); try dt={0.5 * min(problem.dt, stable):.2g} or smaller"
    )


def _check_integrator(name: str, potential: Potential, observers: Mapping[str, Observer]) -> str:
    if choose("integrator", name, (*INTEGRATORS, "auto")) != "auto":
        if require := INTEGRATORS[name].require:
            require(potential, f"integrator={name!r}")
        return name
    if any(isinstance(observer, PathAction | PathWeights) for observer in observers.values()):
        return "euler_maruyama"  # their path weight is that of this scheme
    if not potential.quartic:
        return "heun"
    affordable = potential.num_units <= _MOST_UNITS_IN_AN_EXPONENTIAL or not potential.couplings.coupled
    return "splitting" if affordable else "heun"


def _check_state(potential: Potential, state: Tensor) -> tuple[int, int]:
    if not isinstance(state, Tensor):
        raise TypeError(f"state must be a tensor, got {type(state).__name__}")
    if state.dim() != 2 or state.shape[1] != potential.num_units:
        raise ValueError(f"state: expected shape (batch, {potential.num_units}), got {tuple(state.shape)}")
    if state.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"state: expected float32 or float64, got {state.dtype}; write state.float()")
    bias = potential.bias
    if (state.dtype, state.device) != (bias.dtype, bias.device):
        raise ValueError(
            f"state is {state.dtype} on {state.device} but the potential is {bias.dtype} on {bias.device}; "
            "write state.to(potential.bias) or potential.to(state)"
        )
    if not values_hidden() and not all_finite(state):
        raise ValueError("state: every value must be finite")
    return state.shape[0], state.shape[1]


def _check_mobility(mobility: float | Tensor, clamp: Tensor | None, state: Tensor) -> Tensor | float:
    """Return the mobility, zero for clamped units, which then stay exactly in place in any integrator."""
    unit = state.shape[1]
    if isinstance(mobility, float | int):
        mobility = mobility if torch.compiler.is_compiling() else number_of("mobility", mobility)
    else:
        mobility = per_unit("mobility", mobility, unit, state).detach()
    if clamp is None:
        return mobility
    clamped = flags("clamp", clamp, (unit,), ", one flag per unit").to(state.device)
    return torch.as_tensor(mobility, dtype=state.dtype, device=state.device).expand(unit).masked_fill(clamped, 0.0)


def _check_drive(drive: Drive | None, batch: int, unit: int, state: Tensor) -> Force | None:
    """Return the drive with a check of the shape of every value, [unit] or [batch, unit]."""
    if drive is None:
        return None
    if not (isinstance(drive, Tensor) or callable(drive)):
        raise TypeError(f"drive: expected a tensor or a function of the step number, got {type(drive).__name__}")

    def checked(force: Tensor) -> Tensor:
        if not isinstance(force, Tensor) or force.shape not in ((unit,), (batch, unit)):
            got = tuple(force.shape) if isinstance(force, Tensor) else type(force).__name__
            raise ValueError(f"drive: expected a force of shape ({unit},) or ({batch}, {unit}), got {got}")
        if force.is_complex():
            raise TypeError("drive: expected real forces, got complex ones; write drive.real for their real part")
        return force.to(state)

    if isinstance(drive, Tensor):
        constant = checked(drive)
        if not values_hidden() and not all_finite(constant):
            raise ValueError("drive: every value must be finite")
        return Force(lambda step: constant, constant)
    return Force(lambda step: checked(drive(step)))
