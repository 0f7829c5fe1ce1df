"""One machine of a chain: given a noisy image, it draws a clean one."""

from functools import partial
from math import cos, log, radians
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from thermotorch.arguments import whole_steps
from thermotorch.couplings import BlockCouplings
from thermotorch.dynamics import PathWeights, Stream, simulate
from thermotorch.dynamics.noise import normals
from thermotorch.models.generator.noising import uncoupled
from thermotorch.potential import Potential

WELLS = {"visible": 0.5, "hidden": -0.5}  # j2 by group: single wells for pixels, double wells for hidden units


class Draw(NamedTuple):
    """The end of a stage."""

    shown: Tensor  # [sample, visible], averaged over the read-out time
    heat: Tensor  # [sample], given to the bath, in the potential's unit
    start: Tensor  # [sample], energy at the moment the couplings are switched on
    end: Tensor  # [sample], energy at the end
    state: Tensor  # [sample, unit], at the end
    standby: Tensor  # [sample], heat of the hidden units on their way back into opened wells, after the run
    entropy: Tensor | None = None  # [sample], log ratio of the path weights, on request
    states: Tensor | None = None  # [1 + step, sample, unit], the start and the state after every step, if recorded


class DenoisingStage(nn.Module):
    """Visible and hidden units in the constant field of held ones, which sample p(clean image | noisy image).

    Held units m keep the noisy image, the visible units at the moment the couplings are switched on; labels l are held
    at one for the chosen class. Nothing changes during the run, so the stage is an ordinary machine:

        V = on-site wells + b.x + v J h + m W h + sum_i d_i m_i v_i + l L h

    The noise comes from the visible units themselves. With couplings off and wells opened to j2 = kT / (2 a^2) they
    relax from v to cos(angle) v + a sin(angle) xi, a the amplitude that displays white.

    Args:
        pixels: number of visible units.
        hidden: number of hidden units.
        num_classes: number of label units, 0 for none. All labels at zero stand for any class.
        angle: angle of the noising that the stage undoes, in degrees: 0 is no noise, 90 is pure noise.
        temperature, t_final, dt: kT, observation time, time step.
        readout_time: last part of the run, over which the read-out averages.
        amplitude: a, the state of a white pixel; -a is black.
        hidden_spread: standard deviation of the hidden units at the start.

    Raises:
        ValueError: an angle outside 0 ... 90 degrees, or times that are no multiples of `dt`.
    """

    def __init__(
        self,
        pixels: int,
        hidden: int,
        num_classes: int,
        angle: float,
        temperature: float,
        t_final: float,
        dt: float,
        readout_time: float,
        amplitude: float = 0.75,
        hidden_spread: float = 0.1,
    ) -> None:
        super().__init__()
        if not 0 < angle < 90:
            raise ValueError(f"angle: expected more than 0 and less than 90 degrees, got {angle}")
        self.angle, self.temperature, self.dt = radians(angle), temperature, dt
        self.steps = whole_steps("t_final", t_final, dt)
        self.readout_steps = whole_steps("readout_time", readout_time, dt)
        if not 0 < self.readout_steps < self.steps:
            raise ValueError(f"readout_time: expected more than 0 and less than {t_final}, got {readout_time}")
        self.amplitude, self.hidden_spread = amplitude, hidden_spread
        couplings = BlockCouplings({"visible": pixels, "hidden": hidden}, [("visible", "hidden")])
        self.visible, self.hidden = couplings.slices["visible"], couplings.slices["hidden"]
        j2 = torch.cat([torch.full((pixels,), WELLS["visible"]), torch.full((hidden,), WELLS["hidden"])])
        self.potential = Potential(couplings, j2, 0.0, 1.0)
        self.held_hidden = nn.Parameter(torch.zeros(pixels, hidden))
        self.held_visible = nn.Parameter(torch.zeros(pixels))
        self.label_hidden = nn.Parameter(torch.zeros(num_classes, hidden))

    @property
    def noising_time(self) -> float:
        """Return the time in which opened wells turn an image by `angle`, in units of 1 / (mobility x energy)."""
        return -log(cos(self.angle)) * self.amplitude**2 / self.temperature

    @property
    def softness(self) -> float:
        """Return j2 of an opened well, in which the thermal spread is `amplitude`."""
        return self.temperature / (2 * self.amplitude**2)

    def opened(self, visible: Tensor) -> Tensor:
        """Return the energy [sample] of visible units [sample, visible] in opened wells."""
        return self.softness * visible.square().sum(-1)

    def noised(self, visible: Tensor, *, seed: int, sample_ids: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Return the visible units [sample, visible] after the noising, and its heat [sample].

        Args:
            visible: image, [sample, visible].
            seed, sample_ids: as in `simulate`.
            step: number of the noise in the stream of initial states.
        """
        opened = uncoupled(visible.shape[1], self.softness, 0.0).to(visible)
        run = simulate(
            opened, visible, steps=1, dt=self.noising_time, temperature=self.temperature, seed=seed,
            sample_ids=sample_ids, start_step=step, stream=Stream.INITIAL, integrator="splitting",
        )  # fmt: skip
        return run.state, run.heat

    def hidden_start(self, sample_ids: Tensor, *, seed: int, step: int) -> Tensor:
        """Return the hidden units [sample, hidden] in thermal equilibrium in opened wells, as in `noised`."""
        xi = normals(seed, sample_ids, step, 1, self.potential.num_units, Stream.INITIAL)[0, :, self.hidden]
        return self.hidden_spread * xi.to(self.potential.bias)

    def force(self, held: Tensor, labels: Tensor | None) -> Tensor:
        """Return the constant force [sample, unit] of held units [sample, visible] and labels [sample, class]."""
        hidden = -(held @ self.held_hidden)
        if labels is not None:
            hidden = hidden - labels @ self.label_hidden
        return torch.cat([-self.held_visible * held, hidden], 1)

    def energy(self, state: Tensor, force: Tensor) -> Tensor:
        """Return the energy V of states [sample, unit] in the force of the held units, [sample]."""
        return self.potential.energy(state) - (force * state).sum(-1)

    def machine(self) -> Potential:
        """Return the potential of all units: visible, hidden and held ones, and label units if there are classes.

        Held and label units have no wells: they are clamped.
        """
        (pixels, hidden), classes = self.held_hidden.shape, len(self.label_hidden)
        groups = {"visible": pixels, "hidden": hidden, "held": pixels} | ({"label": classes} if classes else {})
        blocks = {
            ("visible", "hidden"): cast(BlockCouplings, self.potential.couplings).block("visible", "hidden"),
            ("held", "hidden"): self.held_hidden,
            **({("label", "hidden"): self.label_hidden} if classes else {}),
        }
        couplings = BlockCouplings(groups, list(blocks), one_to_one=[("held", "visible")]).to(self.held_hidden)
        for pair, block in blocks.items():
            couplings.set_block(*pair, block)
        couplings.set_block("held", "visible", torch.diag(self.held_visible))
        wells = (self.potential.j2, self.potential.j3, self.potential.j4, self.potential.live_bias().detach())
        j2, j3, j4, bias = (F.pad(value.expand(pixels + hidden), (0, pixels + classes)) for value in wells)
        return Potential(couplings, j2, j3, j4, bias)

    def draw(
        self,
        visible: Tensor,
        labels: Tensor | None,
        *,
        seed: int,
        sample_ids: Tensor,
        start_step: int,
        noise_step: int,
        mask: Tensor | None = None,
        known: Tensor | None = None,
        weigh: bool = False,
        record: bool = False,
        precision: str = "ieee",
    ) -> Draw:
        """Hold the visible units, switch the couplings on and run.

        Args:
            visible: noisy image, [sample, visible], which the visible units start from.
            labels: one-hot or zero, [sample, class].
            seed, sample_ids: as in `simulate`.
            start_step: number of the first step of the run, counted over the chain.
            noise_step: number of the hidden units' noise in the stream of initial states.
            mask, known: visible units [visible] that stay at known values [sample, visible].
            weigh: True to add up the path weights, see `PathWeights`.
            record: True to keep the start and the state after every step.
            precision: of the products, as in `simulate`.
        """
        state = torch.cat([visible, self.hidden_start(sample_ids, seed=seed, step=noise_step)], 1)
        clamp = None
        if mask is not None and known is not None:
            state[:, self.visible] = torch.where(mask, known, visible)
            clamp = torch.cat([mask, mask.new_zeros(state.shape[1] - len(mask))])
        force = self.force(visible, labels)
        go = partial(
            simulate, self.potential, dt=self.dt, temperature=self.temperature, integrator="alternating", drive=force,
            clamp=clamp, seed=seed, sample_ids=sample_ids, precision=precision,
            observers={"weights": PathWeights(self.potential)} if weigh else None,
        )  # fmt: skip
        before = self.steps - self.readout_steps
        run = go(state, steps=before, start_step=start_step, record=1 if record else None)
        last = go(run.state, steps=self.readout_steps, start_step=start_step + before, record=1)
        # The force comes from held units, so that its work in `simulate` is a change of the energy V.
        start, end = self.energy(state, force), self.energy(last.state, force)
        hidden = last.state[:, self.hidden].square().sum(-1) - state[:, self.hidden].square().sum(-1)
        standby = self.temperature / (2 * self.hidden_spread**2) * hidden if self.hidden_spread else 0 * hidden
        entropy = (run.observed["weights"] + last.observed["weights"]).log_ratio if weigh else None
        shown = last.recorded[..., self.visible].mean(0)
        states = torch.cat([state[None], run.recorded, last.recorded]) if record else None
        return Draw(shown, run.heat + last.heat, start, end, last.state, standby, entropy, states)
