"""Generative thermodynamic computers: images from noise by the natural dynamics of fluctuating units."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from thermotorch.arguments import (
    count_of,
    counts_of,
    flags,
    number_of,
    real,
    sample_numbers,
    seed_of,
    steps_until,
    whole_steps,
)
from thermotorch.buffers import DerivedBuffers
from thermotorch.dynamics import INTEGRATORS, Observer, Stream, Trajectory, simulate
from thermotorch.dynamics.noise import seed_or_fresh
from thermotorch.dynamics.problem import choose
from thermotorch.models.classifier.groups import by_group, layered_couplings, plain_by_group
from thermotorch.models.generator.noising import Noising, uncoupled
from thermotorch.models.generator.schedule import interaction, run_program, segments_of
from thermotorch.models.labels import class_labels
from thermotorch.models.protocol import Progress, Samples, Thermodynamic
from thermotorch.potential import Potential


class Reading(NamedTuple):
    """A machine at its observation time."""

    state: Tensor  # [sample, unit], averaged over the read-out time
    heat: Tensor  # [sample], given to the bath until then, in the potential's unit
    work: Tensor  # [sample], done until then by turning the gain, in that unit


class ThermodynamicGenerator(Thermodynamic, DerivedBuffers):
    """Visible, hidden and label units with couplings that are constant in time: an autonomous machine.

    Generation: from x = 0 run `t_final` with couplings and biases off (that is noise), switch them on, run `t_final`;
    the visible units are the image. Generation heat is V(start) - V(end), since nothing drives the run.

        pixel = (x - low) / (high - low), clipped to [0, 1],   x averaged over the last `readout_time`

    Args:
        image_shape: (channels, height, width); the visible units in that order.
        hidden: number of hidden units, or a list of them: layers, each coupled to the next, the first to the image.
        hidden_hidden: whether hidden units of one layer couple to each other.
        visible_bias: whether visible units have trainable biases; in the paper they stay zero.
        num_classes: label units, coupled to the last hidden layer and held at one for the class that is asked for and
            at zero for the others; 0 for a machine that is told nothing.
        temperature, t_final, dt: kT, observation time, time step.
        j2, j4: on-site coefficients of all units, or a dict of them by group ("visible", "hidden" or "hidden1", ...).
        mobility: mu of all units, or by group: how fast a group moves, beside the others.
        display_range: states of a visible unit that are shown black and white; linear between, clipped outside. The
            defaults are the noiseless answers of a unit to the darkest and brightest pixel of a normalised digit.
        integrator: see `simulate`.
        readout_time: the read-out integrates over this last part of the run; 0 reads a snapshot.
        schedule: makes it a scheduled machine, which is not autonomous: global knobs follow a fixed program of equally
            long segments, `{"temperature": [...], "gain": [...]}`, each knob with one factor for each segment, of kT
            and of all couplings and biases. None: nothing changes during the run.

    Cost of a sample at the defaults: 5000 steps, 1.07 M multiply-adds in each of 2500.
    Source: Whitelam, PRL 136, 037101 (2026), Eqs. 1-4; 784 visible + 512 hidden units, 532,736 trained parameters.
    Layers, labels, double wells and the integrating read-out are ours.
    """

    def __init__(
        self,
        image_shape: Sequence[int] = (1, 28, 28),
        hidden: int | Sequence[int] = 512,
        hidden_hidden: bool = True,
        visible_bias: bool = False,
        num_classes: int = 0,
        temperature: float = 0.1,
        t_final: float = 2.5,
        dt: float = 1e-3,
        j2: float | Mapping[str, float] = 1.0,
        j4: float | Mapping[str, float] = 1.0,
        mobility: float | Mapping[str, float] = 1.0,
        display_range: Sequence[float] = (-0.35, 0.95),
        integrator: str = "euler_maruyama",
        readout_time: float = 0.0,
        schedule: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        super().__init__()
        several = isinstance(hidden, Sequence) and not isinstance(hidden, str)
        layers = counts_of("hidden", hidden) if several else [count_of("hidden", hidden)]
        image_shape, num_classes = counts_of("image_shape", image_shape), count_of("num_classes", num_classes, 0)
        temperature, readout_time = number_of("temperature", temperature), number_of("readout_time", readout_time)
        steps, t_final, dt = steps_until(t_final, dt), float(t_final), float(dt)
        low, high = _display_range(display_range)
        j2, j4 = plain_by_group("j2", j2, signed=True), plain_by_group("j4", j4, signed=True)
        mobility = plain_by_group("mobility", mobility)
        choose("integrator", integrator, {**INTEGRATORS, "auto": None})
        self.config = {
            "image_shape": image_shape,
            "hidden": layers if several else layers[0],
            "hidden_hidden": hidden_hidden,
            "visible_bias": visible_bias,
            "num_classes": num_classes,
            "temperature": temperature,
            "t_final": t_final,
            "dt": dt,
            "j2": j2,
            "j4": j4,
            "mobility": mobility,
            "display_range": [low, high],
            "integrator": integrator,
            "readout_time": readout_time,
            "schedule": None if schedule is None else {knob: list(factors) for knob, factors in schedule.items()},
        }
        self.image_shape, self.num_classes = tuple(image_shape), num_classes
        self.temperature, self.t_final, self.dt, self.integrator = temperature, t_final, dt, integrator
        self.steps = steps
        self.readout_steps = whole_steps("readout_time", readout_time, dt)
        if not 0 <= self.readout_steps < self.steps:
            raise ValueError(f"readout_time: expected at least 0 and less than t_final = {t_final}, got {readout_time}")
        self.precision = "ieee"  # of products in `simulate`; training may lower it
        self.segments = segments_of(schedule, self.steps, temperature)
        couplings = layered_couplings(prod(self.image_shape), layers, hidden_hidden, num_classes)
        self.responds_at_once = len(layers) == 1 and not hidden_hidden  # hidden units are independent, given the others
        self.visible = couplings.slices["visible"]
        self.hidden = slice(self.visible.stop, self.visible.stop + sum(layers))
        unit = torch.arange(couplings.num_units, device="cpu")
        held = unit >= self.hidden.stop
        fixed_bias = held if visible_bias else held | (unit < self.visible.stop)
        self.potential = Potential(
            couplings, by_group("j2", j2, couplings), 0.0, by_group("j4", j4, couplings),
            fixed_bias=fixed_bias if num_classes or not visible_bias else None,
        )  # fmt: skip
        self.register_derived_buffers()

    def derived_buffers(self) -> dict[str, Tensor]:
        return {"mobility": torch.as_tensor(by_group("mobility", self.config["mobility"], self.potential.couplings))}

    def noising(self, strength: float = 2.0, ramp: float = 0.75) -> Noising:
        """The noising protocol whose reverse this machine is to follow: same units, temperature and clock.

        Raises:
            ValueError: a machine with layers, labels or different wells, for which the protocol is not defined.
        """
        if self.num_classes or any(not isinstance(self.config[name], int | float) for name in ("hidden", "j2", "j4")):
            raise ValueError("noising: defined for one hidden layer, no labels, and the same wells everywhere")
        names = ("hidden", "temperature", "t_final", "dt", "j2", "j4")
        return Noising(**{name: self.config[name] for name in names}, strength=strength, ramp=ramp)

    def noise(self, num_samples: int, *, seed: int | None = None, sample_ids: Tensor | None = None) -> Tensor:
        """Starting states: from x = 0, run `t_final` with couplings and biases off. [sample, unit], labels at zero."""
        potential = uncoupled(self.potential.num_units, self.potential.j2, self.potential.j4).to(self.potential.bias)
        state = self.potential.bias.new_zeros(num_samples, self.potential.num_units)
        return simulate(
            potential,
            state,
            steps=self.steps,
            dt=self.dt,
            temperature=self.temperature,
            mobility=self.mobility,
            seed=seed,
            sample_ids=sample_ids,
            clamp=self.held(),
            integrator=self.integrator,
            stream=Stream.INITIAL,
        ).state

    def start(
        self,
        num_samples: int,
        *,
        seed: int | None = None,
        sample_ids: Tensor | None = None,
        labels: Tensor | None = None,
        known: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Return `noise`, with the classes on the label units and the known pixels on theirs. Arguments of `sample`."""
        state = self.noise(num_samples, seed=seed, sample_ids=sample_ids)
        if self.num_classes:
            state[:, self.hidden.stop :] = nn.functional.one_hot(labels, self.num_classes).to(state)
        if known is not None:
            state[:, self.visible] = torch.where(mask.flatten(), self.to_state(known), state[:, self.visible])
        return state

    def denoise(
        self,
        state: Tensor,
        *,
        seed: int | None = None,
        sample_ids: Tensor | None = None,
        record: int | None = None,
        mask: Tensor | None = None,
        steps: int | None = None,
        start_step: int = 0,
        stream: Stream = Stream.DYNAMICS,
        observers: Mapping[str, Observer] | None = None,
    ) -> Trajectory:
        """Run the trained machine from `state` [sample, unit] for its observation time, or for `steps` of it.

        Label units are held, and visible units where `mask` [channel, height, width] says so. `work` is that of turning
        the gain of a scheduled machine; observers of such a machine must be of the kind whose results add up.
        """
        last = self.steps if steps is None else start_step + steps
        return run_program(
            self.potential, self.segments, state, first=start_step, last=last, dt=self.dt, seed=seed_or_fresh(seed),
            sample_ids=sample_ids, clamp=self.held(mask), integrator=self.integrator, record=record, stream=stream,
            precision=self.precision, mobility=self.mobility, observers=observers,
        )  # fmt: skip

    def read(
        self,
        state: Tensor,
        *,
        seed: int | None = None,
        sample_ids: Tensor | None = None,
        mask: Tensor | None = None,
        start_step: int = 0,
    ) -> Reading:
        """Run from `state` to the observation time and read out; differentiable. Arguments of `denoise`."""
        common = {"seed": seed, "sample_ids": sample_ids, "mask": mask}
        return self.readings(state, [self.steps], start_step=start_step, **common)[-1]

    def readings(
        self,
        state: Tensor,
        at: Sequence[int],
        *,
        seed: int | None = None,
        sample_ids: Tensor | None = None,
        mask: Tensor | None = None,
        start_step: int = 0,
    ) -> list[Reading]:
        """`read` at each of the steps `at`, in increasing order, of one run, which goes on as if nobody had looked.

        A reading averages over the read-out time before it, or since the last reading if that was later.
        """
        common = {"seed": seed_or_fresh(seed), "sample_ids": sample_ids, "mask": mask}
        found, step = [], start_step
        heat = work = state.new_zeros(len(state))
        for end in at:
            first = max(step, end - self.readout_steps)
            if first > step:
                run = self.denoise(state, steps=first - step, start_step=step, **common)
                state, heat, work = run.state, heat + run.heat, work + run.work
            shown = state
            if end > first:
                run = self.denoise(state, steps=end - first, start_step=first, record=1, **common)
                state, heat, work, shown = run.state, heat + run.heat, work + run.work, run.states.mean(0)
            found.append(Reading(shown, heat, work))
            step = end
        return found

    @torch.no_grad()
    def sample(
        self,
        num_samples: int,
        *,
        seed: int = 0,
        sample_ids: Tensor | None = None,
        labels: Tensor | None = None,
        known: Tensor | None = None,
        mask: Tensor | None = None,
        batch_size: int = 256,
        progress: Progress | None = None,
        times: Sequence[float] = (),
    ) -> Samples:
        """Generate images and account for their energy.

        Args:
            num_samples: how many.
            seed, sample_ids: image i is a pure function of the weights, the seed (0 unless given) and `sample_ids[i]`
                (default: i).
            labels: int64 [num_samples], classes to draw, for a machine with label units; default `id % num_classes`.
            known, mask: images [num_samples, channel, height, width] in [0, 1] of which the pixels where `mask`
                [channel, height, width] is true are given, and held while the machine draws the others (inpainting).
            batch_size: how many are simulated together.
            progress: called with (samples done, num_samples) after each batch.
            times: increasing, 0 ... t_final: what the machine would have shown, had it been read then, goes into
                `frames`, on the CPU. The samples are the same with and without.

        Raises:
            ValueError: ids, labels, known, mask or times that do not fit.
        """
        num_samples, batch_size = count_of("num_samples", num_samples, 0), count_of("batch_size", batch_size)
        seed, ids = seed_of(seed), sample_numbers(sample_ids, (num_samples,))
        labels = self._check_labels(labels, ids)
        self.check_known(known, mask, num_samples)
        at = self._steps_at(times)
        ends = at if self.steps in at else [*at, self.steps]
        device, batches = self.potential.bias.device, []
        for rows in torch.arange(num_samples).split(batch_size):
            chunk = ids[rows].to(device)
            told = None if labels is None else labels[rows].to(device)
            given = {} if known is None else {"known": known[rows].to(device), "mask": mask.to(device)}
            start = self.start(len(rows), seed=seed, sample_ids=chunk, labels=told, **given)
            seen = self.readings(start, ends, seed=seed, sample_ids=chunk, mask=given.get("mask"))
            work = self.segments[0].gain * interaction(self.potential, start) + seen[-1].work
            images, heat = self.to_images(seen[-1].state), seen[-1].heat / self.temperature
            frames = [self.to_images(reading.state).cpu() for reading in seen[: len(at)]]
            batches.append((images, heat, work / self.temperature, *([torch.stack(frames, 1)] if at else [])))
            if progress is not None:
                progress(int(rows[-1]) + 1, num_samples)
        if not batches:
            empty = self.potential.bias.new_empty(0)
            return Samples(empty.view(0, *self.image_shape), empty, empty)
        images, heat, work, *frames = (torch.cat(parts) for parts in zip(*batches, strict=True))
        return Samples(images, heat, work, frames[0].transpose(0, 1) if at else None)

    def generate(
        self,
        num_samples: int,
        *,
        seed: int = 0,
        sample_ids: Tensor | None = None,
        labels: Tensor | None = None,
        known: Tensor | None = None,
        mask: Tensor | None = None,
        batch_size: int = 256,
        progress: Progress | None = None,
    ) -> Tensor:
        """The images of `sample`, of seed 0 unless given: [sample, channel, height, width] in [0, 1]."""
        return self.sample(
            num_samples, seed=seed, sample_ids=sample_ids, labels=labels, known=known, mask=mask, batch_size=batch_size,
            progress=progress,
        ).images  # fmt: skip

    def to_images(self, state: Tensor) -> Tensor:
        """Visible units as pictures: [..., unit] -> [..., channel, height, width] in [0, 1]."""
        low, high = self.config["display_range"]
        shown = ((state[..., self.visible] - low) / (high - low)).clamp(0.0, 1.0)
        return shown.reshape(*state.shape[:-1], *self.image_shape)

    def to_state(self, images: Tensor) -> Tensor:
        """Pictures as states of the visible units: [..., channel, height, width] in [0, 1] -> [..., visible]."""
        low, high = self.config["display_range"]
        return low + (high - low) * images.flatten(-3)

    def forward(self, state: Tensor) -> Tensor:
        """Energy of the trained machine, [..., unit] -> [...]."""
        return self.potential.energy(state)

    def held(self, mask: Tensor | None = None) -> Tensor | None:
        """Which units do not move: labels, and the visible ones in `mask`."""
        if mask is None and not self.num_classes:
            return None
        held = torch.arange(self.potential.num_units, device=self.potential.bias.device) >= self.hidden.stop
        if mask is not None:
            held[self.visible] = mask.flatten().to(held.device)
        return held

    def readable_times(self, fractions: Sequence[float]) -> list[float]:
        """Return the `times` of `sample` nearest to these fractions of `t_final`, a read-out time or more apart."""
        steps = sorted({round(fraction * self.steps) for fraction in fractions}, reverse=True)
        kept = steps[:1]
        for step in steps[1:]:
            if kept[-1] - step >= max(1, self.readout_steps):
                kept.append(step)
        return [step * self.dt for step in reversed(kept)]

    def _steps_at(self, times: Sequence[float]) -> list[int]:
        at = [whole_steps("times", time, self.dt) for time in times]
        if any(a >= b for a, b in pairwise(at)) or not all(0 <= step <= self.steps for step in at):
            raise ValueError(
                f"times: expected increasing ones, 0 ... {self.t_final}, a step of {self.dt} apart, got {times}"
            )
        if any(self.steps - self.readout_steps < step < self.steps for step in at):
            raise ValueError(f"times: the read-out takes the last {self.readout_steps * self.dt:g}, got {times}")
        return at

    def _check_labels(self, labels: Tensor | None, ids: Tensor) -> Tensor | None:
        if not self.num_classes:
            if labels is not None:
                raise ValueError(
                    "labels: this machine has no label units (num_classes = 0) and cannot be asked for a class"
                )
            return None
        return ids % self.num_classes if labels is None else class_labels(labels, len(ids), self.num_classes)

    def check_known(self, known: Tensor | None, mask: Tensor | None, num_samples: int) -> None:
        """Refuse known pixels and a mask that do not fit; arguments of `sample`."""
        if known is None and mask is None:
            return
        if known is None or mask is None:
            raise ValueError("known and mask go together: the images, and which of their pixels are given")
        if real("known", known).shape != (num_samples, *self.image_shape):
            raise ValueError(f"known: expected shape {(num_samples, *self.image_shape)}, got {tuple(known.shape)}")
        flags("mask", mask, self.image_shape)


def _display_range(states: Sequence[float]) -> tuple[float, float]:
    found = [number_of("display_range", state, signed=True) for state in states]
    if len(found) != 2 or not found[0] < found[1]:
        raise ValueError(f"display_range: expected two increasing states, black and white, got {found}")
    return found[0], found[1]
