"""Many machines of one topology in a single simulation, each with its own parameters."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from thermotorch.couplings import Couplings, Field
from thermotorch.dynamics import simulate
from thermotorch.potential import Potential, require_quartic


class PopulationCouplings(Couplings):
    """Independent machines side by side: member p has the units p n ... (p + 1) n - 1.

    Args:
        matrices: J of every member, [member, unit, unit], symmetric with zero diagonal; not trained.

    Field cost: n^2 multiply-adds per sample and member, in one batched product.
    """

    matrices: Tensor

    def __init__(self, matrices: Tensor) -> None:
        super().__init__()
        self.register_buffer("matrices", matrices.detach(), persistent=False)
        self.members, self.size = matrices.shape[0], matrices.shape[1]
        self.num_units = self.members * self.size

    def bind(self) -> Field:
        def field(x: Tensor) -> Tensor:
            each = x.reshape(-1, self.members, self.size).transpose(0, 1)
            return (each @ self.matrices).transpose(0, 1).reshape(x.shape)

        return field

    def pieces(self) -> list[tuple[int, int, Tensor]]:
        return [(number * self.size, number * self.size, matrix) for number, matrix in enumerate(self.matrices)]

    def matrix(self) -> Tensor:
        return torch.block_diag(*self.matrices)

    def mask(self) -> Tensor:
        return self.matrix() != 0

    def frobenius_norm(self) -> float:
        """Return the largest norm of a member, which bounds the spectral norm too."""
        return self.matrices.square().sum((1, 2)).amax().sqrt().item()


@torch.no_grad()
def run_population(potential: Potential, members: Mapping[str, Tensor], drive: Tensor, **simulation: Any) -> Tensor:
    """Run every member from x = 0 on every input, in one simulation.

    Args:
        potential: topology and on-site coefficients; its couplings and biases are not used.
        members: parameters of the potential by name, each with a leading [member].
        drive: force on every unit, [batch, member, unit] or [batch, 1, unit].
        simulation: further arguments of `simulate`. Every member has its own noise.

    Returns:
        End states, [batch, member, unit].

    Cost: batch x members runs.
    """
    require_quartic(potential, "run_population")
    prefix = "couplings."
    bonds = {name.removeprefix(prefix): values for name, values in members.items() if name.startswith(prefix)}
    unit_vectors = torch.eye(potential.num_units).to(drive)
    # The fields of unit vectors are the columns of J.
    matrices = torch.vmap(lambda bonds: torch.func.functional_call(potential.couplings, bonds, (unit_vectors,)))(bonds)
    bias = members["bias"]
    together = Potential(
        PopulationCouplings(matrices), potential.j2, potential.j3, potential.j4, bias=bias.flatten().cpu()
    ).to(drive)
    force = drive.expand(-1, len(bias), -1).flatten(1)
    return simulate(together, torch.zeros_like(force), drive=force, **simulation).state.unflatten(1, bias.shape)
