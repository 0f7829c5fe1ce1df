"""A layered thermodynamic computer: a function of one number, read at a fixed time."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from thermotorch.arguments import count_of, counts_of, number_of, real, steps_until
from thermotorch.couplings import BlockCouplings
from thermotorch.dynamics import simulate
from thermotorch.potential import Potential


class LayeredComputer(nn.Module):
    """Layers of neurons with couplings between neighbouring layers and the input at the first layer.

        V(x; z) = sum_i (j2 x_i^2 + j4 x_i^4) + b.x + sum over bonds J_ij x_i x_j + sum over the first layer W_i z x_i
        y(z) = sum over the last layer of f_i <x_i(t_final)>,   x(0) = 0

    Args:
        layers: number of units in each layer, first to last.
        temperature, t_final, dt, j2, j4: kT, observation time, time step, on-site coefficients.

    Source: Whitelam & Casert, Nat. Commun. 17, 1189 (2026), Eqs. S8-S9 (where biases have a minus sign); the sizes are
    those of a re-implementation.
    """

    def __init__(
        self,
        layers: Sequence[int] = (8, 8, 8, 8, 1),
        temperature: float = 0.1,
        t_final: float = 1.0,
        dt: float = 1e-3,
        j2: float = 1.0,
        j4: float = 1.0,
    ) -> None:
        super().__init__()
        layers, temperature = counts_of("layers", layers), number_of("temperature", temperature)
        steps_until(t_final, dt)
        t_final, dt = float(t_final), float(dt)
        j2, j4 = number_of("j2", j2, signed=True), number_of("j4", j4)
        self.config: dict[str, Any] = {
            "layers": layers, "temperature": temperature, "t_final": t_final, "dt": dt, "j2": j2, "j4": j4,
        }  # fmt: skip
        if len(layers) < 2:
            raise ValueError(f"layers: expected at least two, found {layers}")
        names = [f"layer{number}" for number in range(len(layers))]
        couplings = BlockCouplings(dict(zip(names, layers, strict=True)), list(pairwise(names)))
        self.potential = Potential(couplings, j2, 0.0, j4)
        self.input = nn.Parameter(torch.zeros(layers[0]))
        self.output = nn.Parameter(torch.zeros(layers[-1]))
        self.layers, self.temperature, self.t_final, self.dt = layers, temperature, t_final, dt
        self.last = couplings.slices[names[-1]]
        self.reset_parameters(0.1)

    def reset_parameters(self, std: float) -> None:
        """Draw every parameter from a normal law of standard deviation `std`, as in the paper."""
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=std)

    def fan_in(self) -> dict[str, float]:
        """Return C of the paper's mutations by parameter: connections into a unit, for a bond the mean over its ends.

        A unit of the first layer has one, the input; a unit of another layer has as many as the layer before it has
        units. Biases, input and output weights count one.
        """
        entering = [1, *self.layers[:-1]]
        return {
            name: float(sum(entering[int(end.removeprefix("layer"))] for end in name.rpartition(".")[2].split("-")) / 2)
            if ".blocks." in name
            else 1.0
            for name, _ in self.named_parameters()
        }

    def drive(self, z: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return the force of inputs z [input] on every unit, [input, unit].

        With `weights` [member, first] of a population it is [input, member, unit].
        """
        weights = self.input if weights is None else weights
        pushed = -z.view(-1, *[1] * weights.dim()) * weights
        return nn.functional.pad(pushed, (0, self.potential.num_units - weights.shape[-1]))

    def steps_of(self, dt: float | None = None, t_final: float | None = None) -> dict[str, Any]:
        """Return the `steps` and the `dt` of `simulate` that reach the observation time exactly."""
        t_final = self.t_final if t_final is None else t_final
        steps = steps_until(t_final, self.dt if dt is None else dt)
        return {"steps": steps, "dt": float(t_final) / steps}

    def forward(
        self,
        z: Tensor,
        samples: int = 1,
        seed: int | None = None,
        first_sample: int = 0,
        *,
        dt: float | None = None,
        t_final: float | None = None,
        integrator: str = "euler_maruyama",
    ) -> Tensor:
        """Return y(z), the mean over `samples` runs on every input, differentiable: [input] -> [input].

        Args:
            z: inputs.
            samples: number of independent runs on each input.
            seed: seed of the thermal noise; None draws one from torch's global generator.
            first_sample: run r on input k has the noise of sample `first_sample + k samples + r`.
            dt, t_final: time step and observation time instead of the machine's own.
            integrator: as in `simulate`.
        """
        samples, first_sample = count_of("samples", samples), count_of("first_sample", first_sample, 0)
        if real("z", z).dim() != 1:
            raise ValueError(f"z: expected inputs [input], got shape {tuple(z.shape)}")
        drive = self.drive(z).repeat_interleave(samples, 0)
        ids = torch.arange(len(drive), device=z.device) + first_sample
        run = simulate(
            self.potential, torch.zeros_like(drive), temperature=self.temperature, seed=seed, sample_ids=ids,
            drive=drive, integrator=integrator, **self.steps_of(dt, t_final),
        )  # fmt: skip
        return (run.state[:, self.last] @ self.output).view(len(z), samples).mean(1)
