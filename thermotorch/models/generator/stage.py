"""One machine of a chain: it holds a noisy image and draws a clean one that could have become it."""

import warnings
from collections.abc import Sequence
from math import cos, log, prod, radians
from typing import NamedTuple

import torch
from torch import Tensor, nn

from thermotorch.arguments import whole_steps
from thermotorch.couplings import BlockCouplings
from thermotorch.dynamics import Stream, simulate
from thermotorch.dynamics.noise import normals
from thermotorch.dynamics.stability import StabilityWarning
from thermotorch.models.generator.noising import uncoupled
from thermotorch.potential import Potential

WELLS = {"visible": 0.5, "hidden": -0.5}  # j2 by group: single wells for pixels, double wells for hidden units


class Draw(NamedTuple):
    """The end of a stage."""

    shown: Tensor  # [sample, visible], averaged over the read-out time
    heat: Tensor  # [sample], given to the bath, in the potential's unit
    start: Tensor  # [sample], energy at the moment the couplings are switched on
    end: Tensor  # [sample], energy at the end


class DenoisingStage(nn.Module):
    """Visible and hidden units in the constant field of held ones: a sample of p(clean image | noisy image).

    The held units m keep the noisy image, sampled from the visible units when the couplings are switched on; labels l
    are held at one for the class that is asked for. Nothing changes during the run, so the stage is an ordinary
    machine:

        V = on-site wells + b.x + v J h + m W h + sum_i d_i m_i v_i + l L h

    The noise comes from the visible units themselves. With couplings off and wells opened to j2 = kT / (2 a^2) they
    relax from v to cos(angle) v + a sin(angle) xi, a the amplitude that displays white.

    Args:
        pixels: number of visible units.
        hidden: number of hidden units.
        num_classes: number of label units; 0 for a stage that is told nothing. All labels at zero asks for any class.
        angle: of the noising that the stage undoes, in degrees: 0 is no noise, 90 nothing but noise.
        temperature, t_final, dt: kT, observation time, time step.
        readout_time: the read-out integrates over this last part of the run.
        amplitude: a, the state of a visible unit that is shown white; -a is black.
        hidden_spread: standard deviation of the hidden units at the start, the thermal one of an opened well.

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
        self.steps, self.readout_steps = (
            whole_steps("t_final", t_final, dt),
            whole_steps("readout_time", readout_time, dt),
        )
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
        """How long the opened wells take to turn an image by `angle`, in units of 1 / mobility and energy."""
        return -log(cos(self.angle)) * self.amplitude**2 / self.temperature

    @property
    def softness(self) -> float:
        """j2 of an opened well, in which the thermal spread is `amplitude`."""
        return self.temperature / (2 * self.amplitude**2)

    def opened(self, visible: Tensor) -> Tensor:
        """Return the energy [sample] of visible units [sample, visible] in opened wells."""
        return self.softness * visible.square().sum(-1)

    def noised(self, visible: Tensor, *, seed: int, sample_ids: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Return the visible units [sample, visible] after the noising phase, and the heat [sample] that it gave off.

        Args:
            visible: the image so far.
            seed, sample_ids: as in `simulate`.
            step: number of this noise in the stream of initial states.
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
        """Return the energy V above of states [sample, unit] in the force of what is held, [sample]."""
        return self.potential.energy(state) - (force * state).sum(-1)

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
    ) -> Draw:
        """Hold the visible units, switch the couplings on and run.

        Args:
            visible: the noisy image, [sample, visible]: both what is held and where the visible units start.
            labels: one-hot or zero, [sample, class].
            start_step: number of the first step of the run, in the chain's own count.
            noise_step: number of the noise of the hidden units' start in the stream of initial states.
            mask, known: visible units [visible] that stay at known values [sample, visible].
        """
        state = torch.cat([visible, self.hidden_start(sample_ids, seed=seed, step=noise_step)], 1)
        clamp = None
        if mask is not None:
            state[:, self.visible] = torch.where(mask, known, visible)
            clamp = torch.cat([mask, mask.new_zeros(state.shape[1] - len(mask))])
        force = self.force(visible, labels)
        common = {
            "dt": self.dt, "temperature": self.temperature, "integrator": "alternating", "drive": force, "clamp": clamp,
            "seed": seed, "sample_ids": sample_ids,
        }  # fmt: skip
        before = self.steps - self.readout_steps
        with warnings.catch_warnings():
            # The bound takes the couplings at their worst; a card says what half and a quarter of the step give.
            warnings.simplefilter("ignore", StabilityWarning)
            run = simulate(self.potential, state, steps=before, start_step=start_step, **common)
            last = simulate(
                self.potential, run.state, steps=self.readout_steps, start_step=start_step + before, record=1, **common
            )
        # The force comes from units that are held, so what `simulate` calls its work is a change of the energy V above.
        start, end = self.energy(state, force), self.energy(last.state, force)
        return Draw(last.states[..., self.visible].mean(0), run.heat + last.heat, start, end)

    def whole(self) -> Potential:
        """Return the potential of all units, held ones and labels included, as one would build it."""
        pixels, hidden = self.held_hidden.shape
        groups = {"visible": pixels, "hidden": hidden, "held": pixels}
        pairs = [("visible", "hidden"), ("held", "hidden")]
        if len(self.label_hidden):
            groups["label"] = len(self.label_hidden)
            pairs.append(("label", "hidden"))
        couplings = BlockCouplings(groups, pairs, one_to_one=[("held", "visible")]).to(self.potential.bias)
        outside = couplings.num_units - self.potential.num_units
        zeros = self.potential.j2.new_zeros(outside)
        wells = self.potential.j2, self.potential.j4.expand(self.potential.num_units)
        whole = Potential(couplings, torch.cat([wells[0], zeros]), 0.0, torch.cat([wells[1], zeros]))
        with torch.no_grad():
            couplings.set_block("visible", "hidden", self.potential.couplings.block("visible", "hidden"))
            couplings.set_block("held", "hidden", self.held_hidden)
            couplings.set_block("held", "visible", torch.diag(self.held_visible))
            if len(self.label_hidden):
                couplings.set_block("label", "hidden", self.label_hidden)
            whole.bias[: self.potential.num_units] = self.potential.bias
        return whole.requires_grad_(False)


def stages_of(angles: Sequence[float], image_shape: Sequence[int], **arguments) -> nn.ModuleList:
    """Return one `DenoisingStage` for each angle, otherwise alike."""
    return nn.ModuleList(DenoisingStage(prod(image_shape), angle=angle, **arguments) for angle in angles)
