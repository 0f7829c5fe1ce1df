"""The start of a run's noise: a fresh seed, an explicit one, or the end of an earlier trajectory."""

import warnings
import weakref
from collections import deque

import torch
from torch import Tensor

from thermotorch.arguments import sample_numbers
from thermotorch.dynamics.noise import Stream, fresh_seed
from thermotorch.dynamics.problem import Problem, Trajectory

_REMEMBERED = 8  # end states of recent runs


def begin(
    state: Tensor | Trajectory,
    seed: int | Tensor | None,
    start_step: int | None,
    stream: int | None,
    sample_ids: Tensor | None,
) -> tuple[Tensor, int | Tensor, int, int, Tensor | None]:
    """Return the state, seed, first step, stream and sample numbers of a run, or refuse those of another trajectory."""
    if not isinstance(state, Trajectory):
        seed = fresh_seed() if seed is None else seed
        stream = Stream.DYNAMICS if stream is None else stream
        return state, seed, 0 if start_step is None else start_step, stream, sample_ids
    expected = {"seed": state.seed, "start_step": state.step, "stream": state.stream}
    if state.seed is None:
        raise ValueError(
            "state: this Trajectory does not know its seed; pass trajectory.state with seed= and start_step="
        )
    for name, value in {"seed": seed, "start_step": start_step, "stream": stream}.items():
        if value is not None and value != expected[name]:
            raise ValueError(
                f"{name}={value!r} contradicts the trajectory, which continues with {name}={expected[name]!r}; "
                f"leave {name} out, or pass trajectory.state"
            )
    if sample_ids is not None and not (
        state.sample_ids is not None
        and torch.equal(sample_numbers(sample_ids, state.sample_ids.shape, state.sample_ids.device), state.sample_ids)
    ):
        raise ValueError("sample_ids contradict those of the trajectory; leave them out, or pass trajectory.state")
    return state.state, state.seed, state.step, state.stream, state.sample_ids


_ended: deque[tuple[weakref.ref[Tensor], "_Noise"]] = deque(maxlen=_REMEMBERED)


class _Noise:
    """The noise that a finished run used, detached from its graph."""

    def __init__(self, problem: Problem) -> None:
        self.seed, self.stream = problem.seed, problem.stream
        self.first, self.end = problem.start_step, problem.start_step + problem.steps
        self.sample_ids = problem.sample_ids

    def overlaps(self, other: "_Noise") -> bool:
        return (
            (self.seed, self.stream) == (other.seed, other.stream)
            and max(self.first, other.first) < min(self.end, other.end)
            and torch.equal(self.sample_ids, other.sample_ids)
        )


def warn_of_repeated_noise(state: Tensor, problem: Problem) -> None:
    """Warn if a run starts from the very tensor that a recent run returned and repeats the noise of that run."""
    noise = _Noise(problem)
    for ended, used in _ended:
        if ended() is state and problem.temperature > 0 and used.overlaps(noise):
            warnings.warn(
                f"this run starts from the end of another and repeats its noise (seed={noise.seed}, step "
                f"{max(noise.first, used.first)} on); pass the Trajectory in place of its state, or "
                f"start_step={used.end}",
                stacklevel=3,
            )
            return


def remember(trajectory: Trajectory, problem: Problem) -> None:
    """Store the noise that produced this end state, with a weak reference to the state."""
    _ended.append((weakref.ref(trajectory.state), _Noise(problem)))
