"""The noising protocol of the generative thermodynamic computer: images decay into noise under their own fading force.

Couplings and biases are off. An image p holds the units with the force h = strength x p, which fades linearly over the
first `ramp` of the run and is zero afterwards:

    dx = (-2 j2 x - 4 j4 x^3 + s(t) h) dt + sqrt(2 kT dt) xi,   s(t) = max(0, 1 - t / (ramp t_final))

The run starts from an equilibration of the same length at s = 1. Hidden unit k feels the force of pixel k (modulo the
number of pixels). Source: Whitelam, PRL 136, 037101 (2026), Eq. 7, and the program published with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from thermotorch.arguments import count_of, number_of, steps_until, whole_steps
from thermotorch.couplings import BlockCouplings
from thermotorch.dynamics import INTEGRATORS, Observer, Stream, Trajectory, simulate
from thermotorch.dynamics.noise import seed_or_fresh
from thermotorch.dynamics.problem import choose
from thermotorch.potential import Potential

_NUMBERS = {
    "temperature": {}, "j2": {"signed": True}, "j4": {}, "strength": {"signed": True}, "ramp": {"positive": True},
}  # fmt: skip


@dataclass(frozen=True)
class Noising:
    """The protocol's numbers; times in units of 1 / (mobility x energy), strength in energy per pixel unit."""

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
        for name, kind in _NUMBERS.items():
            number_of(name, getattr(self, name), **kind)
        steps_until(self.t_final, self.dt)
        choose("integrator", self.integrator, {**INTEGRATORS, "auto": None})

    def coarser(self, times: int) -> "Noising":
        """The same protocol in steps `times` as long, by the splitting scheme,
        whose error at 20 is that of Euler-Maruyama.
        """
        return replace(self, dt=count_of("times", times) * self.dt, integrator="splitting")

    @property
    def steps(self) -> int:
        return whole_steps("t_final", self.t_final, self.dt)

    def schedule(self, step: int) -> float:
        """s(t) at the start of a step, counted from the start of the decay."""
        return max(0.0, 1.0 - step * self.dt / (self.ramp * self.t_final))

    def force(self, pixels: Tensor) -> Tensor:
        """h, [batch, visible] normalised pixels -> [batch, visible + hidden]."""
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
        """Equilibrate to the images, then let them decay.

        Args:
            pixels: [batch, visible], normalised.
            seed, sample_ids, record, observers: as in `simulate`.

        Returns:
            The state at the start of the decay, [batch, unit], and its `Trajectory`.
        """
        force = self.force(pixels)
        potential = uncoupled(force.shape[1], self.j2, self.j4).to(force)
        common = {
            "steps": self.steps,
            "dt": self.dt,
            "temperature": self.temperature,
            "integrator": self.integrator,
            "seed": seed_or_fresh(seed),
            "sample_ids": sample_ids,
            "stream": Stream.DATA,  # never the noise that a machine generates with, whatever its seed
        }
        start = simulate(potential, torch.zeros_like(force), drive=force, **common).state
        decay = simulate(
            potential,
            start,
            drive=lambda step: self.schedule(step - self.steps) * force,
            start_step=self.steps,
            record=record,
            observers=observers,
            **common,
        )
        return start, decay


def uncoupled(num_units: int, j2: float, j4: float) -> Potential:
    """The potential with couplings and biases off."""
    return Potential(BlockCouplings({"unit": num_units}, []), j2, 0.0, j4).requires_grad_(False)
