"""A run under a program of global knobs, temperature and gain, that change from segment to segment.

A machine with a single segment is autonomous.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from itertools import pairwise
from operator import add
from typing import Any, NamedTuple

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
    gain: float  # factor of couplings and biases


def segments_of(schedule: Mapping[str, Sequence[float]] | None, steps: int, temperature: float) -> list[Segment]:
    """Return the equally long segments of a schedule: factors of "temperature" and "gain"; None is one segment."""
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
    for knob, factors in schedule.items():
        for number, factor in enumerate(factors):
            number_of(f"schedule[{knob!r}][{number}]", factor, signed=knob == "gain")
    ones = [1.0] * count
    bounds = range(0, steps + 1, steps // count)
    knobs = zip(schedule.get("temperature", ones), schedule.get("gain", ones), strict=True)
    return [
        Segment(first, last, temperature * heat, float(gain))
        for (first, last), (heat, gain) in zip(pairwise(bounds), knobs, strict=True)
    ]


def run_program(
    potential: Potential, segments: Sequence[Segment], state: Tensor, *, first: int, last: int, **arguments: Any
) -> Trajectory:
    """Run steps first ... last - 1 of a program from `state`.

    Turning the gain from g to g' at a state x does the work (g' - g) (V_J(x) + b.x), with V_J the energy of the
    couplings. It counts with the first step of a segment, the first segment excepted. The first law holds for every
    part of a run: V(end) - V(start) = work - heat, each with the gain of its segment.

    Args:
        potential: potential at a gain of one.
        segments: program.
        state: [batch, unit].
        first, last: range of steps, first < last.
        arguments: further arguments of `simulate`, without steps, start_step and temperature. The results of observers
            add up over several segments, so they must be sums, such as those of `PathWeights`.
    """
    runs: list[Trajectory] = []
    for number, segment in enumerate(segments):
        begin, end = max(first, segment.first), min(last, segment.last)
        if begin >= end:
            continue
        arguments |= {"steps": end - begin, "start_step": begin, "temperature": segment.temperature}
        if segment.gain == 1.0:
            run = simulate(potential, state, **arguments)
        else:
            scaled = {name: segment.gain * value for name, value in potential.named_parameters()}
            run = simulate_with(scaled, simulate, potential, state, **arguments)
        turned = segment.gain - segments[number - 1].gain if number and begin == segment.first else 0.0
        if turned:
            run = replace(run, work=run.work + turned * interaction(potential, state))
        runs.append(run)
        state = run.state
    return runs[0] if len(runs) == 1 else joined(runs)


def interaction(potential: Potential, state: Tensor) -> Tensor:
    """Return the energy of couplings and biases, [..., unit] -> [...]: the work of switching them on at `state`."""
    return state @ potential.live_bias() + potential.couplings.energy(state)


def joined(runs: list[Trajectory]) -> Trajectory:
    """Return consecutive runs as one. Heat, work and observations add up."""
    states = [run.states for run in runs if run.states is not None]
    times = [run.times for run in runs if run.times is not None]
    return Trajectory(
        state=runs[-1].state,
        heat=torch.stack([run.heat for run in runs]).sum(0),
        work=torch.stack([run.work for run in runs]).sum(0),
        step=runs[-1].step,
        states=torch.cat(states) if states else None,
        times=torch.cat(times) if times else None,
        observed={name: reduce(add, (run.observed[name] for run in runs)) for name in runs[0].observed},
    )
