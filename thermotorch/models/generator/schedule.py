"""A run under a fixed program: global knobs, the same for all units, that change from segment to segment.

A machine with one segment is autonomous; one with more is not, and is never counted among the autonomous ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from itertools import pairwise
from operator import add
from typing import NamedTuple

import torch
from torch import Tensor

from thermotorch.arguments import number_of
from thermotorch.dynamics import Trajectory, simulate
from thermotorch.dynamics.functional import simulate_with
from thermotorch.potential import Potential


class Segment(NamedTuple):
    """A part of a scheduled run, with constant knobs."""

    first: int  # steps first ... last - 1
    last: int
    temperature: float
    gain: float  # of couplings and biases


def segments_of(schedule: Mapping[str, Sequence[float]] | None, steps: int, temperature: float) -> list[Segment]:
    """The equally long segments of a schedule, factors of kT and of couplings and biases by knob;
    None is a single one.
    """
    if schedule is None:
        return [Segment(0, steps, temperature, 1.0)]
    if unknown := set(schedule) - {"temperature", "gain"}:
        raise ValueError(f"schedule: unknown knobs {sorted(unknown)}, expected temperature and gain")
    lengths = {len(factors) for factors in schedule.values()}
    if len(lengths) != 1 or not 1 <= (count := lengths.pop()) <= steps:
        raise ValueError(f"schedule: expected equally many factors for each knob, 1 ... {steps}, got {dict(schedule)}")
    if steps % count:
        raise ValueError(
            f"schedule: {count} segments of {steps} steps are not equally long; write a number of factors that divides "
            f"{steps}, or a t_final of {steps - steps % count} or {steps - steps % count + count} steps"
        )
    for number, factor in enumerate(schedule.get("temperature", ())):
        number_of(f"schedule['temperature'][{number}]", factor)
    for number, factor in enumerate(schedule.get("gain", ())):
        number_of(f"schedule['gain'][{number}]", factor, signed=True)
    ones = [1.0] * count
    bounds = range(0, steps + 1, steps // count)
    knobs = zip(schedule.get("temperature", ones), schedule.get("gain", ones), strict=True)
    return [
        Segment(first, last, temperature * heat, float(gain))
        for (first, last), (heat, gain) in zip(pairwise(bounds), knobs, strict=True)
    ]


def simulate_scaled(potential: Potential, gain: float, state: Tensor, **arguments) -> Trajectory:
    """`simulate` with couplings and biases multiplied by `gain`."""
    if gain == 1.0:
        return simulate(potential, state, **arguments)
    scaled = {name: gain * value for name, value in potential.named_parameters()}
    return simulate_with(scaled, simulate, potential, state, **arguments)


def run_program(
    potential: Potential, segments: Sequence[Segment], state: Tensor, *, first: int, last: int, **arguments
) -> Trajectory:
    """Steps first ... last - 1 of a program, from `state`.

    Turning the gain from g to g' at a state x does the work (g' - g) (V_J(x) + b.x), V_J the energy of the couplings.
    It is counted with the first step of a segment, except the very first of the program, before which nothing is known;
    so the first law holds for a whole run, V_last(end) - V_first(start) = work - heat, and for every part of it.

    Args:
        first, last: within the program, first < last.
        arguments: of `simulate`, but for steps, start_step and temperature. What the observers give must add up from
            segment to segment, as `PathWeights` do, where there are several.
    """
    runs: list[Trajectory] = []
    gains = [None, *(segment.gain for segment in segments)]
    for before, segment in zip(gains, segments, strict=False):
        begin, end = max(first, segment.first), min(last, segment.last)
        if begin >= end:
            continue
        turned = before is not None and begin == segment.first and before != segment.gain
        work = (segment.gain - before) * interaction(potential, state) if turned else None
        run = simulate_scaled(
            potential, segment.gain, state, steps=end - begin, start_step=begin, temperature=segment.temperature,
            **arguments,
        )  # fmt: skip
        runs.append(run if work is None else replace(run, work=run.work + work))
        state = run.state
    return runs[0] if len(runs) == 1 else joined(runs)


def interaction(potential: Potential, state: Tensor) -> Tensor:
    """Energy of couplings and biases, [..., unit] -> [...]: the work of switching them on at `state`."""
    return state @ potential.live_bias() + potential.couplings.energy(state)


def joined(runs: list[Trajectory]) -> Trajectory:
    """Consecutive runs as one. Heat, work and what was observed add up."""
    recorded = runs[0].states is not None
    return Trajectory(
        state=runs[-1].state,
        heat=torch.stack([run.heat for run in runs]).sum(0),
        work=torch.stack([run.work for run in runs]).sum(0),
        step=runs[-1].step,
        states=torch.cat([run.states for run in runs]) if recorded else None,
        times=torch.cat([run.times for run in runs]) if recorded else None,
        observed={name: reduce(add, (run.observed[name] for run in runs)) for name in runs[0].observed},
    )
