"""Generative thermodynamic computers: images from noise by the natural dynamics of fluctuating units."""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from math import prod, sqrt
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from thermotorch.arguments import count_of, counts_of, entries_of, mapping_of, number_of, steps_until, whole_steps
from thermotorch.buffers import DerivedBuffers
from thermotorch.dynamics import INTEGRATORS, Observer, Stream, Trajectory, simulate
from thermotorch.dynamics.noise import seed_or_fresh
from thermotorch.dynamics.problem import choose
from thermotorch.models.classifier.groups import by_group, layered_couplings, plain_by_group
from thermotorch.models.drawing import ImageDevice
from thermotorch.models.generator.die import GROUPS, ClassDie, die_of, relabel
from thermotorch.models.generator.noising import Noising, wells_of
from thermotorch.models.generator.schedule import interaction, run_program, segments_of
from thermotorch.potential import Potential


class Reading(NamedTuple):
    """A machine at its observation time."""

    state: Tensor  # [sample, unit], averaged over the read-out time
    heat: Tensor  # [sample], heat given to the bath so far, in the potential's unit
    work: Tensor  # [sample], work of turning the gain so far, in that unit


class ThermodynamicGenerator(ImageDevice, DerivedBuffers):
    """An autonomous machine: visible, hidden and label units with couplings that are constant in time.

    Generation runs `t_final` from x = 0 with couplings and biases off, which gives noise, switches them on and runs
    `t_final` again; the visible units are the image. Nothing drives the run, so that its heat is V(start) - V(end).

        pixel = (x - low) / (high - low), clipped to [0, 1],   x averaged over the last `readout_time`

    Args:
        image_shape: (channels, height, width); the visible units in that order.
        hidden: number of hidden units, or of those of each layer: layers couple to the next, the first to the image.
        hidden_hidden: True to couple the hidden units of a layer to each other.
        visible_bias: True to train the biases of visible units, which are zero in the paper.
        num_classes: number of label units, coupled to the last hidden layer and held at one for the chosen class, at
            zero for the others. 0 for a machine without classes.
        temperature, t_final, dt: kT, observation time, time step.
        j2, j4: on-site coefficients of all units, or a dict of them by group ("visible", "hidden" or "hidden1", ...).
        mobility: mu of all units, or a dict by group.
        display_range: states of a visible unit that show black and white, linear between and clipped outside. The
            defaults are the noiseless answers of a unit to the darkest and brightest pixel of a normalised digit.
        integrator: as in `simulate`.
        readout_time: last part of the run, over which the read-out averages; 0 reads a snapshot.
        schedule: program of equally long segments, `{"temperature": [...], "gain": [...]}`, with one factor of kT and
            one of all couplings and biases for each. Such a machine is not autonomous. None: nothing changes.
        die: settings of a `ClassDie`, by which the machine draws its own class: its label units move, are never off,
            and stand at the class when the other couplings are switched on. None: labels are held at what is asked for.

    Cost of a sample at the defaults: 5000 steps, 1.07 M multiply-adds in each of 2500.
    Source: Whitelam, PRL 136, 037101 (2026), Eqs. 1-4; 784 visible + 512 hidden units, 532,736 trained parameters.
    Layers, labels, double wells and the integrating read-out are ours.
    """

    mobility: Tensor

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
        die: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        several = isinstance(hidden, Sequence)
        layers = counts_of("hidden", hidden) if several else [count_of("hidden", hidden)]
        image_shape, num_classes = counts_of("image_shape", image_shape), count_of("num_classes", num_classes, 0)
        temperature, readout_time = number_of("temperature", temperature), number_of("readout_time", readout_time)
        steps, t_final, dt = steps_until(t_final, dt), float(t_final), float(dt)
        self.black, self.white = _display_range(display_range)
        j2, j4 = plain_by_group("j2", j2, signed=True), plain_by_group("j4", j4, signed=True)
        mobility = plain_by_group("mobility", mobility)
        choose("integrator", integrator, (*INTEGRATORS, "auto"))
        schedule = None if schedule is None else mapping_of("schedule", schedule)
        self.die: ClassDie | None = die_of(None if die is None else mapping_of("die", die), num_classes)
        if self.die:
            whole_steps("die.time", self.die.time, dt)
            if schedule is not None:
                raise ValueError("die: expected an autonomous machine, got one with a schedule")
        self.config: dict[str, Any] = {
            "image_shape": image_shape, "hidden": layers if several else layers[0], "hidden_hidden": hidden_hidden,
            "visible_bias": visible_bias, "num_classes": num_classes, "temperature": temperature, "t_final": t_final,
            "dt": dt, "j2": j2, "j4": j4, "mobility": mobility, "display_range": [self.black, self.white],
            "integrator": integrator, "readout_time": readout_time,
            "schedule": None if schedule is None else {knob: list(factors) for knob, factors in schedule.items()},
            "die": None if self.die is None else self.die.settings,
        }  # fmt: skip
        self.image_shape, self.num_classes = tuple(image_shape), num_classes
        self.temperature, self.t_final, self.dt, self.integrator = temperature, t_final, dt, integrator
        self.steps = steps
        self.readout_steps = whole_steps("readout_time", readout_time, dt)
        if not 0 <= self.readout_steps < self.steps:
            raise ValueError(f"readout_time: expected at least 0 and less than t_final = {t_final}, got {readout_time}")
        self.precision = "ieee"  # of products, unless given; training may lower it
        self.segments = segments_of(schedule, self.steps, temperature)
        mediators = num_classes if self.die else 0
        couplings = layered_couplings(prod(self.image_shape), layers, hidden_hidden, num_classes, mediators)
        self.responds_at_once = len(layers) == 1 and not hidden_hidden  # hidden units are independent, given the others
        self.groups = couplings.slices
        self.visible = self.groups["visible"]
        self.hidden = slice(self.visible.stop, self.visible.stop + sum(layers))
        unit = torch.arange(couplings.num_units, device="cpu")
        held = unit >= self.hidden.stop
        fixed_bias = held if visible_bias else held | (unit < self.visible.stop)
        wells = {"j2": j2, "j4": j4}
        if self.die:
            wells = {name: self.die.joining(name, value, self.groups) for name, value in wells.items()}
        self.potential = Potential(
            couplings, by_group("j2", wells["j2"], self.groups), 0.0, by_group("j4", wells["j4"], self.groups),
            fixed_bias=fixed_bias if num_classes or not visible_bias else None,
        )  # fmt: skip
        if self.die:
            with torch.no_grad():
                couplings.block(*GROUPS).copy_(self.die.couplings())
                self.potential.bias[self.groups["label"]] = self.die.bias
        self.register_derived_buffers()

    def derived_buffers(self) -> dict[str, Tensor]:
        return {"mobility": torch.as_tensor(by_group("mobility", self.config["mobility"], self.groups))}

    def at_step(self, dt: float) -> "ThermodynamicGenerator":
        """Return this machine, with the same potential, in steps `dt` that divide observation and read-out time."""
        other = type(self)(**{**self.config, "dt": dt}).to(self.potential.bias)
        other.potential, other.precision = self.potential, self.precision
        return other

    def with_die(self, amplitude: float | None = None, **settings: float) -> "ThermodynamicGenerator":
        """Return this machine with a `ClassDie` of these settings in the place of its held labels.

        At rest in a class the die acts on the hidden units as the label of that class did. The default amplitude makes
        wells of 1,100 kT, for which the other defaults are meant.
        """
        amplitude = 66.0 * sqrt(self.temperature) if amplitude is None else amplitude
        return self._relabelled({"amplitude": amplitude, **settings})

    def without_die(self) -> "ThermodynamicGenerator":
        """Return this machine with held labels, which act on the hidden units as its die does at rest."""
        return self._relabelled(None) if self.die else self

    def _relabelled(self, die: Mapping[str, float] | None) -> "ThermodynamicGenerator":
        other = type(self)(**{**self.config, "die": die}).to(self.potential.bias)
        relabel(other.potential, self.potential, other.die, self.die)
        other.precision = self.precision
        return other.train(self.training)

    def noising(self, strength: float = 2.0, ramp: float = 0.75) -> Noising:
        """Return the noising protocol that this machine reverses; ValueError for layers, labels or several wells."""
        if self.num_classes or any(not isinstance(self.config[name], int | float) for name in ("hidden", "j2", "j4")):
            raise ValueError("noising: defined for one hidden layer, no labels, and the same wells everywhere")
        names = ("hidden", "temperature", "t_final", "dt", "j2", "j4")
        return Noising(**{name: self.config[name] for name in names}, strength=strength, ramp=ramp)

    def noise(
        self,
        num_samples: int,
        *,
        seed: int | Tensor | None = None,
        sample_ids: Tensor | None = None,
        precision: str | None = None,
    ) -> Tensor:
        """Return starts [sample, unit] with labels at zero: run `t_final` from x = 0, couplings and biases off."""
        labels = torch.arange(self.potential.num_units, device=self.potential.bias.device) >= self.hidden.stop
        state = self.potential.bias.new_zeros(num_samples, self.potential.num_units)
        return simulate(
            wells_of(self.potential), state, steps=self.steps, dt=self.dt, temperature=self.temperature,
            mobility=self.mobility, seed=seed, sample_ids=sample_ids, clamp=labels if self.num_classes else None,
            integrator=self.integrator, stream=Stream.INITIAL, precision=precision or self.precision,
        ).state  # fmt: skip

    def start(
        self,
        num_samples: int,
        *,
        seed: int | Tensor | None = None,
        sample_ids: Tensor | None = None,
        labels: Tensor | None = None,
        known: Tensor | None = None,
        mask: Tensor | None = None,
        precision: str | None = None,
    ) -> Tensor:
        """Return `noise` with classes on the label units and known pixels on theirs. Arguments as in `sample`.

        Without `labels` a die is thrown, and held labels stay at zero.
        """
        seed = seed_or_fresh(seed)
        state = self.noise(num_samples, seed=seed, sample_ids=sample_ids, precision=precision)
        if labels is None:
            if self.die:
                # Units share counters of the noise with the first pixels, so that their steps come after the others.
                state[:, self.hidden.stop :] = self.die.throw(
                    state, dt=self.dt, temperature=self.temperature, integrator=self.integrator, seed=seed,
                    sample_ids=sample_ids, start_step=self.steps,
                )  # fmt: skip
        elif self.num_classes:
            told = self.die.told(labels) if self.die else nn.functional.one_hot(labels, self.num_classes)
            state[:, self.hidden.stop :] = told.to(state)
        if known is not None and mask is not None:
            state[:, self.visible] = torch.where(mask.flatten(), self.to_state(known), state[:, self.visible])
        return state

    def denoise(
        self,
        state: Tensor,
        *,
        seed: int | Tensor | None = None,
        sample_ids: Tensor | None = None,
        record: int | None = None,
        mask: Tensor | None = None,
        steps: int | None = None,
        start_step: int = 0,
        stream: Stream = Stream.DYNAMICS,
        observers: Mapping[str, Observer] | None = None,
        precision: str | None = None,
    ) -> Trajectory:
        """Run the trained machine from `state` [sample, unit] for its observation time, or for `steps` of it.

        Label units are held, and the visible units in `mask` [channel, height, width]. `work` is that of turning the
        gain of a scheduled machine, whose observers must be sums over steps. A precision of None is `self.precision`.
        Other arguments as in `simulate`.
        """
        last = self.steps if steps is None else start_step + steps
        return run_program(
            self.potential, self.segments, state, first=start_step, last=last, dt=self.dt, seed=seed_or_fresh(seed),
            sample_ids=sample_ids, clamp=self.held(mask), integrator=self.integrator, record=record, stream=stream,
            precision=precision or self.precision, mobility=self.mobility, observers=observers,
        )  # fmt: skip

    def read(
        self,
        state: Tensor,
        *,
        seed: int | None = None,
        sample_ids: Tensor | None = None,
        mask: Tensor | None = None,
        start_step: int = 0,
        precision: str | None = None,
    ) -> Reading:
        """Run from `state` to the observation time and read out; differentiable. Arguments as in `denoise`."""
        (reading,) = self.readings(
            state, [self.steps], seed=seed, sample_ids=sample_ids, mask=mask, start_step=start_step, precision=precision
        )
        return reading

    def readings(
        self,
        state: Tensor,
        at: Sequence[int],
        *,
        seed: int | None = None,
        sample_ids: Tensor | None = None,
        mask: Tensor | None = None,
        start_step: int = 0,
        precision: str | None = None,
    ) -> list[Reading]:
        """Return the reading at each of the steps `at`, in increasing order, of one run that goes on unchanged.

        A reading averages over the read-out time before it, or since the last reading if that was later.
        """
        go = partial(self.denoise, seed=seed_or_fresh(seed), sample_ids=sample_ids, mask=mask, precision=precision)
        readings, step = [], start_step
        heat = work = state.new_zeros(len(state))
        for end in at:
            first = max(step, end - self.readout_steps)
            if first > step:
                run = go(state, steps=first - step, start_step=step)
                state, heat, work = run.state, heat + run.heat, work + run.work
            shown = state
            if end > first:
                run = go(state, steps=end - first, start_step=first, record=1)
                state, heat, work, shown = run.state, heat + run.heat, work + run.work, run.recorded.mean(0)
            readings.append(Reading(shown, heat, work))
            step = end
        return readings

    def _draw(
        self,
        ids: Tensor,
        labels: Tensor | None,
        seed: int,
        known: Tensor | None,
        mask: Tensor | None,
        at: list[int],
        precision: str,
    ) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
        fixed: dict[str, Any] = {"seed": seed, "sample_ids": ids, "mask": mask, "precision": precision}
        start = self.start(len(ids), labels=labels, known=known, **fixed)
        ends = at if self.steps in at else [*at, self.steps]
        readings = self.readings(start, ends, **fixed)
        work = self.segments[0].gain * self.interaction(start) + readings[-1].work
        images = [self.to_images(reading.state) for reading in readings]
        return images[-1], readings[-1].heat, work, images[: len(at)]

    def to_images(self, state: Tensor) -> Tensor:
        """Return the visible units of states [..., unit] as images [..., channel, height, width] in [0, 1]."""
        shown = ((state[..., self.visible] - self.black) / (self.white - self.black)).clamp(0.0, 1.0)
        return shown.reshape(*state.shape[:-1], *self.image_shape)

    def to_state(self, images: Tensor) -> Tensor:
        """Return images [..., channel, height, width] in [0, 1] as states of the visible units [..., visible]."""
        return self.black + (self.white - self.black) * images.flatten(-3)

    def forward(self, state: Tensor) -> Tensor:
        """Return the energy of the trained machine, [..., unit] -> [...]."""
        return self.potential.energy(state)

    def held(self, mask: Tensor | None = None) -> Tensor | None:
        """Return the units that do not move, bool [unit], None for none: labels without a die, and those in `mask`."""
        labels = bool(self.num_classes) and not self.die
        if mask is None and not labels:
            return None
        unit = torch.arange(self.potential.num_units, device=self.potential.bias.device)
        held = (unit >= self.hidden.stop) & labels
        if mask is not None:
            held[self.visible] = mask.flatten().to(held.device)
        return held

    @property
    def draws_class(self) -> bool:
        return self.die is not None

    def drawn_class(self, state: Tensor) -> Tensor:
        """Return the label unit that is highest, [..., unit] -> int64 [...]."""
        return state[..., self.groups["label"]].argmax(-1)

    def resting(self) -> Potential:
        """Return the potential during the preparation: the wells, and the couplings and biases of a die."""
        return wells_of(self.potential) if self.die is None else self.die.alone_in(self.potential)

    def interaction(self, state: Tensor) -> Tensor:
        """Return the energy that is switched on and off with a run, [..., unit] -> [...]."""
        if self.die is None:
            return interaction(self.potential, state)
        return self.potential.energy(state) - self.resting().energy(state)

    def readable_times(self, fractions: Sequence[float]) -> list[float]:
        """Return `times` for `sample` nearest to these fractions of `t_final`, at least a read-out time apart."""
        steps = sorted({round(fraction * self.steps) for fraction in fractions}, reverse=True)
        kept = steps[:1]
        for step in steps[1:]:
            if kept[-1] - step >= max(1, self.readout_steps):
                kept.append(step)
        return [step * self.dt for step in reversed(kept)]

    def _moments(self, times: Sequence[float]) -> list[int]:
        at = [whole_steps("times", time, self.dt) for time in entries_of("times", times)]
        if any(a >= b for a, b in pairwise(at)) or not all(0 <= step <= self.steps for step in at):
            raise ValueError(
                f"times: expected increasing ones, 0 ... {self.t_final}, a step of {self.dt} apart, got {times}"
            )
        if any(self.steps - self.readout_steps < step < self.steps for step in at):
            raise ValueError(f"times: the read-out takes the last {self.readout_steps * self.dt:g}, got {times}")
        return at


def _display_range(states: Sequence[float]) -> tuple[float, float]:
    values = [number_of("display_range", state, signed=True) for state in entries_of("display_range", states)]
    if len(values) != 2 or not values[0] < values[1]:
        raise ValueError(f"display_range: expected two increasing states, black and white, got {values}")
    return values[0], values[1]
