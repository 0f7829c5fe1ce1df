"""Free energies F = -kT ln integral exp(-V / kT) dx in closed form or by quadrature, to test estimators against."""

from math import log, pi

import torch
from torch import Tensor

from thermotorch.potential import Potential, require_quartic

_POINTS = 20_001


def quadratic_free_energy(potential: Potential, temperature: float) -> float:
    """Return F of a potential without cubic and quartic terms, V = x.A x / 2 + b.x with A = 2 j2 + J:

        F = -b.A^-1 b / 2 + (kT / 2) (ln det A - n ln 2 pi kT)

    Raises:
        ValueError: other terms, or an A that is not positive definite, for which the integral diverges.

    Cost: one Cholesky decomposition, O(unit^3), float64.
    """
    require_quartic(potential, "quadratic_free_energy")
    if potential.j3.any() or potential.j4.any():
        raise ValueError("potential: expected j3 = j4 = 0; without couplings use independent_free_energy")
    n, bias = potential.num_units, potential.bias.detach().double()
    matrix = potential.couplings.matrix().detach().double() + torch.diag(2 * potential.j2.double().expand(n))
    factor, failed = torch.linalg.cholesky_ex(matrix)
    if failed:
        raise ValueError("potential: 2 j2 + J is not positive, so that the states run away and there is no free energy")
    shift = torch.cholesky_solve(bias[:, None], factor)[:, 0]
    volume = 2 * factor.diagonal().log().sum().item() - n * log(2 * pi * temperature)
    return -0.5 * (bias @ shift).item() + 0.5 * temperature * volume


def independent_free_energy(potential: Potential, temperature: float) -> float:
    """Return F of units without couplings, by quadrature over each kind of unit, to about ten digits.

    Raises:
        ValueError: couplings, or an unbound unit.

    Cost: 20,001 points for each different set of j2, j3, j4 and bias.
    """
    require_quartic(potential, "independent_free_energy")
    if any(bonds.any() for bonds in potential.couplings.parameters()):
        raise ValueError("potential: expected couplings of zero; use quadratic_free_energy, or estimate the difference")
    n = potential.num_units
    units = (potential.j2, potential.j3, potential.j4, potential.bias.detach())
    kinds, counts = torch.stack([value.double().expand(n) for value in units], 1).unique(dim=0, return_counts=True)
    energies = torch.stack([_free_energy_of_unit(kind, temperature) for kind in kinds])
    return (counts * energies).sum().item()


def _free_energy_of_unit(kind: Tensor, temperature: float) -> Tensor:
    """Integrate by the trapezoidal rule, spectrally accurate here, where V is within 40 kT of its minimum."""
    j2, j3, j4, bias = kind

    def energy(x: Tensor) -> Tensor:
        return x * (bias + x * (j2 + x * (j3 + x * j4)))

    if j4 == 0 and j2 <= 0:
        raise ValueError("potential: a unit with j4 = 0 and j2 <= 0 is unbound and has no free energy")
    reach, x, v = 0.5, torch.zeros(1), torch.zeros(1)
    while min(v[0], v[-1]) <= v.min() + 40 * temperature:  # until no weight lies beyond
        reach *= 2
        x = torch.linspace(-reach, reach, _POINTS, dtype=torch.float64)
        v = energy(x)
    inside = x[v < v.min() + 60 * temperature]  # refined where the weight is, which may be narrow
    margin = 2 * reach / _POINTS
    x = torch.linspace(inside[0].item() - margin, inside[-1].item() + margin, _POINTS, dtype=torch.float64)
    return -temperature * (torch.logsumexp(-energy(x) / temperature, 0) + torch.log(x[1] - x[0]))
