"""The noising protocol of the generative thermodynamic computer: images decay into noise under a fading force.

Couplings and biases are off. An image p pulls on the units with the force h = strength x p, which fades linearly over
the first `ramp` of the run and is zero afterwards:

    dx = (-2 j2 x - 4 j4 x^3 + s(t) h) dt + sqrt(2 kT dt) xi,   s(t) = max(0, 1 - t / (ramp t_final))

The run starts from an equilibration of the same length at s = 1. Hidden unit k feels the force of pixel k (modulo the
number of pixels). Source: Whitelam, PRL 136, 037101 (2026), Eq. 7, and the program published with it.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from thermotorch.arguments import count_of, number_of, steps_until, whole_steps
from thermotorch.couplings import BlockCouplings
from thermotorch.dynamics import INTEGRATORS, Observer, Stream, Trajectory, simulate
from thermotorch.dynamics.noise import seed_or_fresh
from thermotorch.dynamics.problem import choose
from thermotorch.potential import Potential


@dataclass(frozen=True)
class Noising:
    """Parameters of the protocol: times in units of 1 / (mobility x energy), `strength` in energy per pixel unit."""

    hidden: int
    temperature: float = 0.1
    t_final: float = 2.5
    dt: float = 1e-3
    j2: float = 1.0
    j4: float = 1.0
    strength: float = 2.0
    ramp: float = 0.75
    integrator: str = "euler_maruyama"

    def __post_init__(self) -> None:
        count_of("hidden", self.hidden, 0)
        for name in ("temperature", "j2", "j4", "strength", "ramp"):
            number_of(name, getattr(self, name), signed=name in ("j2", "strength"), positive=name == "ramp")
        steps_until(self.t_final, self.dt)
        choose("integrator", self.integrator, (*INTEGRATORS, "auto"))

    def coarser(self, times: int) -> "Noising":
        """Return the protocol with a step `times` as long, in the splitting scheme.

        At 20 times the step the error is that of Euler-Maruyama at the original one.
        """
        return replace(self, dt=count_of("times", times) * self.dt, integrator="splitting")

    @property
    def steps(self) -> int:
        """Return the number of steps of the decay."""
        return whole_steps("t_final", self.t_final, self.dt)

    def schedule(self, step: int) -> float:
        """Return s(t) at the start of a step, counted from the start of the decay."""
        return max(0.0, 1.0 - step * self.dt / (self.ramp * self.t_final))

    def force(self, pixels: Tensor) -> Tensor:
        """Return the force h [batch, visible + hidden] of normalised pixels [batch, visible]."""
        unit = torch.arange(pixels.shape[1] + self.hidden, device=pixels.device)
        pixel = torch.where(unit < pixels.shape[1], unit, (unit - pixels.shape[1]) % pixels.shape[1])
        return self.strength * pixels[:, pixel]

    @torch.no_grad()
    def run(
        self,
        pixels: Tensor,
        *,
        seed: int | None = None,
        sample_ids: Tensor | None = None,
        record: int | None = None,
        observers: Mapping[str, Observer] | None = None,
    ) -> tuple[Tensor, Trajectory]:
        """Equilibrate to the images, then let them decay: return the state between the two and the decay's trajectory.

        Args:
            pixels: normalised pixels, [batch, visible].
            seed, sample_ids, record, observers: as in `simulate`.
        """
        force = self.force(pixels)
        potential = uncoupled(force.shape[1], self.j2, self.j4).to(force)
        # Stream.DATA, so that a machine never generates with the same noise, whatever its seed.
        go = partial(
            simulate, potential, steps=self.steps, dt=self.dt, temperature=self.temperature, integrator=self.integrator,
            seed=seed_or_fresh(seed), sample_ids=sample_ids, stream=Stream.DATA,
        )  # fmt: skip
        start = go(torch.zeros_like(force), drive=force).state
        fading = lambda step: self.schedule(step - self.steps) * force  # noqa: E731
        return start, go(start, drive=fading, start_step=self.steps, record=record, observers=observers)


def uncoupled(num_units: int, j2: float | Tensor, j4: float | Tensor) -> Potential:
    """Return a potential with couplings and biases off."""
    return Potential(BlockCouplings({"unit": num_units}, []), j2, 0.0, j4).requires_grad_(False)


def wells_of(potential: Potential) -> Potential:
    """Return a potential with its couplings and biases off, and with its own on-site law where it has one."""
    if not potential.own_law:
        return uncoupled(potential.num_units, potential.j2, potential.j4).to(potential.bias)
    wells = deepcopy(potential).requires_grad_(False)
    wells.couplings = BlockCouplings({"unit": potential.num_units}, []).to(potential.bias)
    wells.bias.zero_()
    return wells
