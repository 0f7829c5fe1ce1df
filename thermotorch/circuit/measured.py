"""Measured wells: a force curve in place of 2 j2 x + 4 j4 x^3."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from thermotorch.arguments import number_of
from thermotorch.couplings import Couplings
from thermotorch.potential import Potential


class MeasuredWells(Potential):
    """V(x) = sum_i U_k(i)(x_i) + b.x + sum over pairs J_ij x_i x_j, with the wells U by their measured forces.

    A force is linear between its points and beyond the last ones, and U is its exact integral with U(0) = 0, so that
    energy, force and heat belong to one potential. Runs take place on the reference backend.

    Args:
        couplings: bonds.
        force: dV/dx of each kind of well at equally distant states from -`reach` to `reach`, [kind, point].
        reach: largest state that was measured.
        kind: kind of each unit, a number for each; None for one kind.
        **potential: `bias` and `fixed_bias` of `Potential`.

    Raises:
        ValueError: forces of another shape, that are not finite or that do not hold a unit, or an unknown kind.

    Cost: as the quartic well and two look-ups a unit.
    """

    force: Tensor
    area: Tensor
    kind: Tensor
    zero: Tensor

    def __init__(
        self, couplings: Couplings, force: Tensor, reach: float, kind: Sequence[int] | None = None, **potential: Any
    ) -> None:
        super().__init__(couplings, 0.0, 0.0, 0.0, **potential)
        if force.dim() != 2 or force.shape[1] < 3 or not force.isfinite().all():
            raise ValueError(
                f"force: expected finite values, [kind, point], 3 points or more, got {tuple(force.shape)}"
            )
        if not ((force[:, -1] > force[:, -2]) & (force[:, 0] < force[:, 1])).all():
            raise ValueError("force: expected wells that hold a unit, with forces that grow at both ends")
        kinds = [0] * self.num_units if kind is None else list(kind)
        if len(kinds) != self.num_units or not all(0 <= number < len(force) for number in kinds):
            raise ValueError(f"kind: expected {self.num_units} numbers below {len(force)}, got {kinds}")
        self.reach = number_of("reach", reach, positive=True)
        self.spacing = 2 * self.reach / (force.shape[1] - 1)
        force = force.detach().to(self.bias)
        area = torch.cumsum((force[:, 1:] + force[:, :-1]) / 2 * self.spacing, 1)
        self.register_buffer("force", force)
        self.register_buffer("area", torch.cat([area.new_zeros(len(area), 1), area], 1))
        self.register_buffer("kind", torch.tensor(kinds))
        with torch.no_grad():
            self.register_buffer("zero", self._integral(torch.zeros(self.num_units).to(force)))

    def energy(self, x: Tensor) -> Tensor:
        self._check(x)
        return (self._integral(x) - self.zero + self.live_bias() * x).sum(-1) + self.couplings.energy(x)

    def on_site_gradient(self, x: Tensor) -> Tensor:
        cell, left, slope = self._segment(x)
        return left + slope * (x - self._edge(cell))

    def bind(self) -> Callable[[Tensor], Tensor]:
        field, bias = self.couplings.bind(), self.live_bias()
        return lambda x: self.on_site_gradient(x) + bias + field(x)

    def _edge(self, cell: Tensor) -> Tensor:
        return cell * self.spacing - self.reach

    def _segment(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the number of the segment of each state, the force at its left edge and its slope."""
        cell = ((x.detach() + self.reach) / self.spacing).floor().clamp(0, self.force.shape[1] - 2).long()
        left = self.force[self.kind, cell]
        return cell, left, (self.force[self.kind, cell + 1] - left) / self.spacing

    def _integral(self, x: Tensor) -> Tensor:
        cell, left, slope = self._segment(x)
        along = x - self._edge(cell)
        return self.area[self.kind, cell] + along * (left + 0.5 * slope * along)
