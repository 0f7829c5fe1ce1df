"""A network of thermally fluctuating units as a layer for any torch model."""

from math import sqrt
from typing import Any

import torch
from torch import Tensor, nn

from thermotorch.arguments import count_of, integers, number_of, steps_until
from thermotorch.couplings import BlockCouplings
from thermotorch.dynamics import Trajectory, simulate
from thermotorch.potential import Potential


class ThermodynamicLayer(nn.Module):
    """A layer whose features push the units, whose noise shakes them, and whose output is read at the observation time.

        dx = mu (W u - dV/dx) dt + sqrt(2 mu kT dt) xi,   x(0) = 0,   y = x_output(t_final)

    Units are `hidden` followed by `out_features`; all pairs are coupled, and V is that of `potential.py`. The gradient
    is pathwise, exact for the simulated dynamics with fixed noise.

    Args:
        in_features, out_features: sizes of u and y.
        hidden: number of units that the features push but nobody reads; 0 is allowed.
        t_final: observation time, in units of 1 / (mobility x energy).
        dt: time step, which divides `t_final`.
        temperature: kT in the potential's energy unit.
        j2, j3, j4: on-site coefficients of all units.
        mobility: mu.
        integrator: see `simulate`.

    Input [..., in_features], output [..., out_features]. Sample i of the flattened batch is a pure function of its
    features, the seed and `sample_ids[i]`.

    Cost: t_final / dt coupling fields, memory for 2 sqrt(t_final / dt) states.
    Source: Whitelam & Casert, Nat. Commun. 17, 1189 (2026), Eqs. S8-S9; sizes and times of Whitelam, PNAS 123 (2026).
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        hidden: int = 64,
        t_final: float = 0.2,
        dt: float = 1e-3,
        temperature: float = 1.0,
        j2: float = 1.0,
        j3: float = 0.0,
        j4: float = 1.0,
        mobility: float = 1.0,
        integrator: str = "euler_maruyama",
    ) -> None:
        super().__init__()
        in_features, out_features = count_of("in_features", in_features), count_of("out_features", out_features)
        hidden = count_of("hidden", hidden, 0)
        groups = {"hidden": hidden, "output": out_features} if hidden else {"output": out_features}
        pairs = [("hidden", "hidden"), ("hidden", "output"), ("output", "output")] if hidden else [("output", "output")]
        couplings = BlockCouplings(groups, pairs)
        self.potential, self._output = Potential(couplings, j2, j3, j4), couplings.slices["output"]
        # The force on each unit; the potential holds the biases.
        self.input = nn.Linear(in_features, hidden + out_features, bias=False)
        self.in_features, self.out_features, self.hidden = in_features, out_features, hidden
        self.steps, self.t_final = steps_until(t_final, dt), float(t_final)
        self.dt = self.t_final / self.steps
        self.temperature, self.mobility = number_of("temperature", temperature), number_of("mobility", mobility)
        self.integrator = integrator
        self.reset_parameters()
        if self.potential.bias.is_meta:
            return
        # Without rows and steps, to raise the errors of `simulate` here rather than in the first forward.
        simulate(
            self.potential, torch.empty(0, self.potential.num_units), steps=0, dt=self.dt, temperature=temperature,
            mobility=mobility, seed=0, integrator=integrator,
        )  # fmt: skip

    def reset_parameters(self) -> None:
        """Set input weights for forces of order one, couplings of a tenth of the spectral edge, and zero biases."""
        nn.init.normal_(self.input.weight, std=1.0 / sqrt(self.in_features))
        for bonds in self.potential.couplings.parameters():
            nn.init.normal_(bonds, std=0.1 / sqrt(self.potential.num_units))
        nn.init.zeros_(self.potential.bias)

    def forward(self, features: Tensor, seed: int | None = None, sample_ids: Tensor | None = None) -> Tensor:
        """Run the dynamics once for each row of `features`.

        Args:
            features: [..., in_features].
            seed: seed of the thermal noise; None draws one from torch's generator, which `torch.manual_seed` controls.
            sample_ids: int64 [...], number of the noise stream of each row; None counts the rows.
        """
        output = self.run(features, seed, sample_ids).state[:, self._output]
        return output.reshape(*features.shape[:-1], self.out_features)

    def run(
        self,
        features: Tensor,
        seed: int | None = None,
        sample_ids: Tensor | None = None,
        *,
        dt: float | None = None,
        integrator: str | None = None,
        **simulation: Any,
    ) -> Trajectory:
        """Return the whole run whose end `forward` reads, with all units and the heat of every row.

        Args:
            features, seed, sample_ids: as in `forward`; rows are flattened.
            dt, integrator: settings instead of the layer's own, such as a coarser step for training.
            simulation: further arguments of `simulate`: `record`, `observers`, `backend`.
        """
        if not isinstance(features, Tensor):
            raise TypeError(f"features: expected a tensor, got {type(features).__name__}")
        if features.dim() == 0 or features.shape[-1] != self.in_features:
            raise ValueError(f"features: expected [..., {self.in_features}], got {tuple(features.shape)}")
        steps = self.steps if dt is None else steps_until(self.t_final, dt)
        if sample_ids is not None:
            sample_ids = integers("sample_ids", sample_ids, features.shape[:-1]).reshape(-1)
        force = self.input(features).reshape(-1, self.potential.num_units)
        return simulate(
            self.potential,
            torch.zeros_like(force),
            steps=steps,
            dt=self.t_final / steps,
            temperature=self.temperature,
            mobility=self.mobility,
            seed=seed,
            sample_ids=sample_ids,
            drive=force,
            integrator=integrator or self.integrator,
            **simulation,
        )

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, hidden={self.hidden}, "
            f"t_final={self.t_final}, dt={self.dt}, temperature={self.temperature}, mobility={self.mobility}, "
            f"integrator={self.integrator!r}"
        )
