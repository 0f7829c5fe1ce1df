"""A chain of thermodynamic machines: each undoes a part of the noise, and noise restarts the next one."""

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from thermotorch.arguments import count_of, counts_of, entries_of, mapping_of, number_of, steps_until
from thermotorch.dynamics import PathWeights
from thermotorch.models.drawing import ImageDevice
from thermotorch.models.generator.machine import ThermodynamicGenerator
from thermotorch.models.generator.stage import DenoisingStage


class Phase(NamedTuple):
    """A relaxation of a chain in constant couplings, with the work before it. Energies in the potential's unit."""

    name: str  # "first", "noising K" or "stage K", K the number of the stage
    begin: Tensor  # [sample, visible], visible units at the start
    end: Tensor  # [sample, visible], at the end
    shown: Tensor  # [sample, visible], as read: averaged over the read-out time of a stage
    work: Tensor  # [sample], done by loading and switching before the relaxation
    heat: Tensor  # [sample], given to the bath
    standby: Tensor  # [sample], heat of the hidden units on their way back to noise, after they are switched off
    temperature: float  # kT
    entropy: Tensor | None  # [sample], log ratio of the path weights, in units of k: heat / kT up to the time step
    states: Tensor | None = None  # [1 + step, sample, unit] of a stage, if recorded


class ThermodynamicChain(ImageDevice):
    """An autonomous machine draws an image from noise; then each stage noises the image and draws it again.

    For each stage the visible units, couplings off, turn into cos(angle) v + a sin(angle) xi, held units keep that
    noisy image, and the units run for the observation time of the stage with its couplings on (`DenoisingStage`).
    Between stages the image is read, limited to black and white, and loaded again. With exact posteriors the images
    would follow the law of the data whatever the first machine does.

    Switching couplings or wells does work. By the first law, work - heat of a sample, in the chain's kT, is the energy
    of the last machine at its end, couplings on, less that of the uncoupled units at the start.

    Args:
        image_shape: (channels, height, width).
        first: arguments of the first `ThermodynamicGenerator`. Its `num_classes` holds for the stages too; its black
            and white, by default -0.75 and 0.75, must be opposite.
        angles: noising angles of the stages in degrees; a stage starts with cos(angle) of the image.
        order: numbers of the stages in running order, each at least once; None runs each once. A repeated stage mixes
            better and costs no weights.
        hidden: number of hidden units of each stage.
        t_stage: observation time of each stage.
        dt: time step of the stages.
        temperature: kT of the chain; the first machine has its own.
        readout_time: last part of each stage, over which the image is averaged.
        hidden_spread: standard deviation of the hidden units at the start of a stage.

    Raises:
        ValueError: angles, times or counts that do not fit.

    Cost of a sample: that of the first machine, and for each run of a stage t_stage / dt steps of 2 pixels x hidden
    multiply-adds.
    Source: diffusion recovery likelihood (Gao et al., ICLR 2021); Extropic's denoising thermodynamic models chain
    Boltzmann machines in this way.
    """

    def __init__(
        self,
        image_shape: Sequence[int] = (1, 28, 28),
        first: Mapping[str, Any] | None = None,
        angles: Sequence[float] = (68.0, 52.0, 38.0, 26.0, 16.0),
        order: Sequence[int] | None = None,
        hidden: int = 896,
        t_stage: float = 2.4,
        dt: float = 0.06,
        temperature: float = 0.03,
        readout_time: float = 0.24,
        hidden_spread: float = 0.1,
    ) -> None:
        super().__init__()
        image_shape, hidden = counts_of("image_shape", image_shape), count_of("hidden", hidden)
        first = {"display_range": [-0.75, 0.75], **({} if first is None else mapping_of("first", first))}
        angles = [
            number_of(f"angles[{k}]", angle, positive=True) for k, angle in enumerate(entries_of("angles", angles))
        ]
        order = None if order is None else counts_of("order", order, 0)
        temperature = number_of("temperature", temperature, positive=True)
        hidden_spread = number_of("hidden_spread", hidden_spread)
        steps_until(t_stage, dt, "t_stage")
        t_stage, dt, readout_time = float(t_stage), float(dt), number_of("readout_time", readout_time)
        self.config: dict[str, Any] = {
            "image_shape": image_shape, "first": first, "angles": angles,
            "order": None if order is None else list(order), "hidden": hidden, "t_stage": t_stage, "dt": dt,
            "temperature": temperature, "readout_time": readout_time, "hidden_spread": hidden_spread,
        }  # fmt: skip
        self.image_shape, self.temperature = tuple(image_shape), temperature
        self.first = ThermodynamicGenerator(image_shape=image_shape, **first)
        self.num_classes = self.first.num_classes
        if self.first.config["schedule"] is not None:
            raise ValueError("first.schedule: expected an autonomous machine, got one under a program")
        if self.first.black != -self.first.white:
            raise ValueError(
                f"first.display_range: expected black and white at -a and a, got {[self.first.black, self.first.white]}"
            )
        self.stages = nn.ModuleList(
            DenoisingStage(
                prod(image_shape), hidden, self.num_classes, angle, temperature, t_stage, dt, readout_time,
                amplitude=self.first.white, hidden_spread=hidden_spread,
            )
            for angle in angles
        )  # fmt: skip
        numbers = range(len(self.stages))
        self.order = list(numbers if order is None else order)
        if set(self.order) != set(numbers):
            raise ValueError(f"order: expected each of 0 ... {len(numbers) - 1} at least once, got {order}")
        self.t_final = self.first.t_final + sum(stage.noising_time + t_stage for stage in self._sequence())

    def readable_times(self, fractions: Sequence[float]) -> list[float]:
        """Return the times at which `sample` can show an image, nearest to these fractions of `t_final`.

        Those are the start, the end of the first machine, and for each stage the end of the noising and of the run.
        They are not evenly spaced; a list of at least as many fractions, as for a film, gives all of them.
        """
        clock = self._clock()
        if len(fractions) >= len(clock):
            return clock
        nearest = {min(clock, key=lambda time: abs(time - fraction * self.t_final)) for fraction in fractions}
        return sorted(nearest)

    @property
    def draws_class(self) -> bool:
        return self.first.draws_class

    def with_die(self, **settings: float) -> "ThermodynamicChain":
        """Return this chain with a die in its first machine, see `ThermodynamicGenerator.with_die`."""
        return self._beginning_with(self.first.with_die(**settings))

    def without_die(self) -> "ThermodynamicChain":
        """Return this chain with held labels in its first machine."""
        return self._beginning_with(self.first.without_die()) if self.first.die else self

    def _beginning_with(self, first: ThermodynamicGenerator) -> "ThermodynamicChain":
        config = {name: value for name, value in first.config.items() if name != "image_shape"}
        other = type(self)(**{**self.config, "first": config}).to(first.potential.bias)
        other.first = first
        other.stages.load_state_dict(self.stages.state_dict())
        return other.train(self.training)

    def stage(self, number: int) -> DenoisingStage:
        """Return the stage of angle `number`."""
        return cast(DenoisingStage, self.stages[number])

    def _sequence(self) -> Iterator[DenoisingStage]:
        return map(self.stage, self.order)

    def _clock(self) -> list[float]:
        clock = [0.0, self.first.t_final]
        for stage in self._sequence():
            clock.append(clock[-1] + stage.noising_time)
            clock.append(clock[-1] + stage.steps * stage.dt)
        return clock

    def phases(
        self,
        ids: Tensor,
        labels: Tensor | None,
        *,
        seed: int,
        known: Tensor | None = None,
        mask: Tensor | None = None,
        weigh: bool = False,
        record: bool = False,
        precision: str = "ieee",
    ) -> Iterator[Phase]:
        """Yield every relaxation of a batch in turn: the first machine, then noising and run of each stage.

        Between runs the hidden units return to noise in opened wells: that heat, `standby`, is preparation and in no
        heat of `sample`. With E the energy of all units at the end of a cycle, noise to noise, the first law reads
        E(end) - E(start) = work - heat, standby being the same in both.

        Args:
            ids, labels: numbers and classes [sample]; labels count only for a chain with classes, and None is for a die
                in the first machine, whose label units are read with its image.
            seed, known, mask, precision: as in `sample`.
            weigh: True to add up the path weights, at a tenth more time on the CPU backend.
            record: True to keep the states of the stages, at the start and after every step.
        """
        first = self.first
        fixed: dict[str, Any] = {"seed": seed, "sample_ids": ids, "precision": precision}
        start = first.start(len(ids), labels=labels, known=known, mask=mask, **fixed)
        weights = {"weights": PathWeights(first.potential)} if weigh else None
        run = first.denoise(start, mask=mask, observers=weights, **fixed)
        energy, shown = first.potential.energy(run.state), run.state[:, first.visible]
        wells = first.resting()
        begin, moved = start.clone(), run.state.clone()
        begin[:, first.visible] = moved[:, first.visible] = 0.0
        standby = wells.energy(moved) - wells.energy(begin)
        entropy = run.observed["weights"].log_ratio if weigh else None
        yield Phase("first", start[:, first.visible], shown, shown, first.interaction(start), run.heat,
                    standby, first.temperature, entropy)  # fmt: skip
        labels = first.drawn_class(run.state) if labels is None else labels
        one_hot = nn.functional.one_hot(labels, self.num_classes).to(shown) if self.num_classes else None
        pinned = None if mask is None else mask.flatten()
        values = None if known is None else first.to_state(known)
        step, noise_step = first.steps, first.steps
        for number in self.order:
            stage = self.stage(number)
            loaded = shown.clamp(first.black, first.white)
            noisy, warmth = stage.noised(loaded, seed=seed, sample_ids=ids, step=noise_step)
            # Loading and switching do the work by which the energy changes. Noising obeys detailed balance.
            yield Phase(f"noising {number}", loaded, noisy, noisy, stage.opened(loaded) - energy, warmth, 0 * warmth,
                        stage.temperature, warmth.double() / stage.temperature if weigh else None)  # fmt: skip
            draw = stage.draw(
                noisy, one_hot, start_step=step, noise_step=noise_step + 1, mask=pinned, known=values, weigh=weigh,
                record=record, **fixed,
            )  # fmt: skip
            yield Phase(f"stage {number}", noisy, draw.state[:, stage.visible], draw.shown,
                        draw.start - stage.opened(noisy), draw.heat, draw.standby, stage.temperature,
                        draw.entropy, draw.states)  # fmt: skip
            energy, shown = draw.end, draw.shown
            step, noise_step = step + stage.steps, noise_step + 2

    def _moments(self, times: Sequence[float]) -> list[float]:
        at, clock = [number_of("times", time) for time in entries_of("times", times)], self._clock()
        if at != sorted(set(at)) or not set(at) <= set(clock):
            raise ValueError(f"times: expected some of {clock}, increasing, got {at}")
        return at

    def _draw(
        self,
        ids: Tensor,
        labels: Tensor | None,
        seed: int,
        known: Tensor | None,
        mask: Tensor | None,
        at: list[float],
        precision: str,
    ) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
        phases = list(self.phases(ids, labels, seed=seed, known=known, mask=mask, precision=precision))
        heat = torch.stack([phase.heat for phase in phases]).sum(0)
        work = torch.stack([phase.work for phase in phases]).sum(0)
        states = dict(zip(self._clock(), [phases[0].begin, *(phase.shown for phase in phases)], strict=True))
        return self.to_images(phases[-1].shown), heat, work, [self.to_images(states[time]) for time in at]

    def to_images(self, visible: Tensor) -> Tensor:
        """Return visible units [..., visible] as pictures [..., channel, height, width] in [0, 1]."""
        return self.first.to_images(visible)  # whose visible units come first
