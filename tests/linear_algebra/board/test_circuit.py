"""RLC cells in SI units: the Gibbs law of equal resistances, Lyapunov beyond it, Maxwell's matrix, filtered noise."""

import math

import pytest
import torch

from tests.linear_algebra.matrices import normal
from tests.physics import assert_within
from thermotorch.linear_algebra.board.circuit import Circuit, maxwell
from thermotorch.units import johnson_noise, kT_to_joule


def values(*numbers: float) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


OWN = values(8e-9, 10e-9, 9e-9)
COUPLING = torch.stack([values(0.0, 2e-9, 1e-9), values(2e-9, 0.0, 0.0), values(1e-9, 0.0, 0.0)])
EQUAL = {"inductance": values(1e-3, 1e-3, 1e-3), "resistance": values(330.0, 330.0, 330.0),
         "capacitance": maxwell(OWN, COUPLING), "noise": 3e-13}  # fmt: skip
UNEQUAL = {**EQUAL, "inductance": values(1e-3, 2e-3, 0.7e-3), "resistance": values(200.0, 330.0, 900.0)}


def one_cell(noise: float, bandwidth: float | None = None) -> Circuit:
    return Circuit(values(1e-3), values(330.0), values(1e-8).view(1, 1), noise, bandwidth)


def many(board: dict, count: int, bandwidth: float | None = None) -> Circuit:
    return Circuit(**{**board, "capacitance": board["capacitance"].expand(count, 3, 3).clone()}, bandwidth=bandwidth)


def test_maxwells_matrix_is_the_energy_of_the_capacitors():
    """Charge on capacitors between cells and to ground; a reversed winding turns one of the two voltages around."""
    v = normal(3)
    straight = 0.5 * (OWN @ v**2 + COUPLING[0, 1] * (v[0] - v[1]) ** 2 + COUPLING[0, 2] * (v[0] - v[2]) ** 2)
    assert 0.5 * v @ maxwell(OWN, COUPLING) @ v == pytest.approx(straight.item(), rel=1e-12)
    reverse = torch.zeros(3, 3, dtype=torch.bool)
    reverse[0, 1] = reverse[1, 0] = True
    turned = straight + 0.5 * COUPLING[0, 1] * ((v[0] + v[1]) ** 2 - (v[0] - v[1]) ** 2)
    assert 0.5 * v @ maxwell(OWN, COUPLING, reverse) @ v == pytest.approx(turned.item(), rel=1e-12)


def test_equal_resistances_rest_at_one_temperature():
    """v ~ N(0, kappa0 R0 C^-1), i ~ N(0, kappa0 R0 / L), uncorrelated, in ampere and volt."""
    circuit, joule = Circuit(**EQUAL), 3e-13 * 330
    current, voltage = circuit.stationary()
    torch.testing.assert_close(voltage, joule * torch.linalg.inv(EQUAL["capacitance"]), rtol=1e-10, atol=0)
    torch.testing.assert_close(current, joule / 1e-3 * torch.eye(3, dtype=torch.float64), rtol=1e-10, atol=1e-18)
    assert circuit.process.stationary()[1][:3, 3:].abs().max() < 1e-12


def test_resistors_at_room_temperature_store_half_a_kT_in_each_capacitor():
    """Johnson-Nyquist: kappa0 = k_B T / R gives 1/2 C <v^2> = 1/2 k_B T."""
    single = one_cell(johnson_noise(330.0))
    assert 1e-8 * single.stationary()[1].item() == pytest.approx(kT_to_joule(1.0), rel=1e-10, abs=0)


def test_unequal_resistances_solve_the_lyapunov_equation_in_si():
    """d<x x^T>/dt = 0 written with the component values themselves; and it is not the Gibbs law."""
    L, R, C = (UNEQUAL[name] for name in ("inductance", "resistance", "capacitance"))
    zero, inverse = torch.zeros(3, 3).double(), torch.linalg.inv(C)
    A = torch.cat([torch.cat([zero, -torch.diag(1 / L)], 1), torch.cat([inverse, inverse @ torch.diag(1 / R)], 1)])
    D = torch.block_diag(zero, 2 * 3e-13 * inverse @ inverse)
    circuit = Circuit(**UNEQUAL)
    unit = torch.tensor([circuit.units.ampere] * 3 + [circuit.units.volt] * 3, dtype=torch.float64)
    covariance = circuit.process.stationary()[1] * torch.outer(unit, unit)
    residual = A @ covariance + covariance @ A.T - D
    assert residual.abs().max() < 1e-9 * (A @ covariance).abs().max()
    assert (covariance[3:, 3:] / (3e-13 * R.mean() * inverse) - 1).abs().max() > 0.1
    torch.testing.assert_close(circuit.stationary()[1], covariance[3:, 3:], rtol=1e-10, atol=0)


@pytest.mark.parametrize("board", [EQUAL, UNEQUAL], ids=["equal", "unequal"])
@pytest.mark.parametrize("bandwidth", [None, 3e5])
def test_voltages_have_the_stationary_law(board, bandwidth):
    """8000 boards, one read each, in volt."""
    count = 8000
    truth = Circuit(**board, bandwidth=bandwidth).stationary()[1]
    v = many(board, count, bandwidth).voltages(1, 2e-5)[0]
    error = ((truth**2 + torch.outer(truth.diagonal(), truth.diagonal())) / count).sqrt()
    assert_within(v.T @ v / count, truth, error, 4.5)


def test_filtered_noise_has_the_energy_of_its_spectrum():
    """One cell: <v^2> is the integral over frequencies of the noise spectrum times |impedance|^2 times the filter."""
    single = one_cell(3e-13, bandwidth=2e5)
    omega = torch.linspace(-3e7, 3e7, 2_000_001).double()
    impedance = 1 / (1 / 330.0 + 1j * omega * 1e-8 + 1 / (1j * omega * 1e-3 + 1e-30))
    spectrum = 2 * 3e-13 * impedance.abs() ** 2 / (1 + (omega / (2 * math.pi * 2e5)) ** 2)
    power = torch.trapezoid(spectrum, omega).item() / (2 * math.pi)
    assert single.stationary()[1].item() == pytest.approx(power, rel=1e-4)


def test_wide_noise_is_white_noise():
    """The deficit falls as one over the bandwidth."""
    white = Circuit(**EQUAL).stationary()[1]
    deficit = [(1 - Circuit(**EQUAL, bandwidth=f).stationary()[1] / white).diagonal().mean().item() for f in (1e7, 2e7)]
    assert 0 < deficit[1] < 0.01
    assert deficit[0] / deficit[1] == pytest.approx(2.0, rel=0.02)


def test_a_board_forgets_in_its_relaxation_time():
    """2 R C for an underdamped cell."""
    assert one_cell(3e-13).relaxation_time() == pytest.approx(2 * 330 * 1e-8, rel=1e-9)


def test_reads_in_two_parts_share_no_noise():
    circuit = many(EQUAL, 4)
    first, second = circuit.voltages(5, 2e-5, seed=0), circuit.voltages(5, 2e-5, seed=0, start_step=5)
    assert not torch.allclose(first, second)
    torch.testing.assert_close(circuit.voltages(8, 2e-5, seed=0)[:5], first)


def test_a_stream_in_pieces_is_that_in_one_and_starts_after_twenty_relaxation_times(monkeypatch):
    circuit, arguments = many(EQUAL, 2), {"seed": 3, "start_step": 4}
    whole = circuit.voltages(7, 2e-5, **arguments)
    waited = circuit.voltages(7, 2e-5, warmup=20 * circuit.relaxation_time(), **arguments)
    assert torch.equal(whole, waited) and whole.shape == (7, 2, 3)
    monkeypatch.setattr("thermotorch.linear_algebra.board.circuit._STATE_NUMBERS", 2 * 12)  # two reads at a time
    pieces = list(circuit.stream(7, 2e-5, **arguments))
    assert [len(piece) for piece in pieces] == [1, 2, 2, 2]
    torch.testing.assert_close(torch.cat(pieces), whole, rtol=1e-9, atol=1e-12)
    for wrong in ({"reads": 0}, {"interval": 0.0}, {"warmup": 0.0}, {"start_step": -1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            circuit.voltages(**{"reads": 7, "interval": 2e-5, **wrong})
