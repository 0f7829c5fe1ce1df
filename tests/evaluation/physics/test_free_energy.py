import math

import pytest
import torch

import thermotorch as tt
from tests.physics import Boltzmann, float64, random_potential, single_unit
from thermotorch.evaluation.physics.free_energy import independent_free_energy, quadratic_free_energy


@pytest.mark.parametrize(
    "j2, j3, j4, bias, temperature",
    [(1.0, 0.0, 1.0, 0.0, 1.0), (-2.0, 0.3, 0.5, 0.4, 0.1), (1.0, 0.0, 0.0, -3.0, 0.03), (0.0, 0.0, 2.0, 1.0, 2.0)],
)
def test_a_unit_by_itself(j2, j3, j4, bias, temperature):
    potential = tt.Potential(tt.DenseCouplings(1).double(), j2, j3, j4, bias)
    expected = Boltzmann(j2, j3, j4, force=-bias, temperature=temperature).free_energy
    assert independent_free_energy(potential, temperature) == pytest.approx(expected, abs=1e-9)


def test_units_far_apart_and_narrow_are_found():
    """A stiff unit pushed to x = -500: V = 1000 (x + 500)^2 - constant, whose width at kT = 1e-3 is 1e-3."""
    potential = tt.Potential(tt.DenseCouplings(1).double(), 1000.0, 0.0, 0.0, 1e6)
    expected = -1e12 / 4000 - 0.5e-3 * math.log(math.pi * 1e-3 / 1000)
    assert independent_free_energy(potential, 1e-3) == pytest.approx(expected, abs=1e-6)


def test_free_energies_of_independent_units_add_up():
    bias = torch.tensor([0.0, 1.0, 0.0, -2.0], dtype=float64)
    potential = tt.Potential(tt.BlockCouplings({"unit": 4}, []).double(), 1.0, 0.0, 0.5, bias)
    alone = [tt.Potential(tt.DenseCouplings(1).double(), 1.0, 0.0, 0.5, b) for b in bias.tolist()]
    expected = sum(independent_free_energy(unit, 0.4) for unit in alone)
    assert independent_free_energy(potential, 0.4) == pytest.approx(expected, abs=1e-10)


def test_two_coupled_linear_units_by_quadrature():
    potential, temperature = random_potential(2, 0.8, j2=0.7, j4=0.0), 0.6
    x = torch.linspace(-15, 15, 1501, dtype=float64)
    grid = torch.stack(torch.meshgrid(x, x, indexing="ij"), -1)
    weight = torch.exp(-potential.energy(grid) / temperature).sum() * (x[1] - x[0]) ** 2
    assert quadratic_free_energy(potential, temperature) == pytest.approx(-temperature * weight.log().item(), abs=1e-10)


def test_what_has_no_free_energy_or_needs_another_function_is_refused():
    with pytest.raises(ValueError, match="j3 = j4 = 0"):
        quadratic_free_energy(single_unit(), 1.0)
    with pytest.raises(ValueError, match="not positive"):
        strong = tt.DenseCouplings.from_matrix(torch.tensor([[0.0, 3.0], [3.0, 0.0]]))
        quadratic_free_energy(tt.Potential(strong, 1.0, 0.0, 0.0), 1.0)
    with pytest.raises(ValueError, match="couplings of zero"):
        independent_free_energy(random_potential(2), 1.0)
    with pytest.raises(ValueError, match="is unbound"):
        independent_free_energy(tt.Potential(tt.DenseCouplings(1), -1.0, 0.0, 0.0), 1.0)
