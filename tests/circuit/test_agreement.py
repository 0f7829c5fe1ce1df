"""Moments and histograms of noisy circuits against quadrature, `simulate` and Lyapunov's equation.

ngspice cannot be seeded, so every comparison allows five standard errors, from 40 blocks of the run, and the cold of
the noise's finite band, 7 k step / 15.
"""

import numpy as np
import pytest
import torch

import thermotorch as tt
from thermotorch.circuit import Scale, from_potential, netlist, run_netlist
from thermotorch.circuit.board import board_netlist
from thermotorch.linear_algebra.board.spu import StochasticProcessingUnit

BLOCKS, STEP, T = 40, 0.01, 0.2


def states(potential: tt.Potential, time: float) -> torch.Tensor:
    """Return states 0.05 apart, [time, unit], without the first ten time units."""
    run = run_netlist(netlist(from_potential(potential, time, STEP, T), step=STEP))
    at = run.waveforms["time"].numpy() / 1e-6
    grid = np.arange(10.0, time, 0.05)
    x = run.states(potential.num_units, Scale(T).volt).numpy()
    return torch.from_numpy(np.stack([np.interp(grid, at, x[:, unit]) for unit in range(x.shape[1])], 1))


def mean_and_error(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    size = len(values) // BLOCKS
    means = values[: size * BLOCKS].unflatten(0, (BLOCKS, size)).mean(1)
    return means.mean(0), means.std(0) / BLOCKS**0.5


def quadrature(potential: tt.Potential, points: int = 400) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a grid of states [point, unit] and their Boltzmann weights."""
    axis = torch.linspace(-2.5, 2.5, points).double()
    grid = torch.cartesian_prod(*[axis] * potential.num_units).view(-1, potential.num_units)
    return grid, (-potential.energy(grid) / T).softmax(0)


def test_histogram_of_one_unit(ngspice):
    potential = tt.Potential(tt.DenseCouplings(1), 1.0, 0.0, 1.0, bias=0.3).double().requires_grad_(False)
    found = states(potential, 400.0)
    grid, weight = quadrature(potential, 20_001)
    edges = torch.linspace(-0.75, 0.55, 8).double()
    expected = torch.zeros(9).double().index_add(0, torch.bucketize(grid[:, 0], edges), weight)
    inside = torch.nn.functional.one_hot(torch.bucketize(found[:, 0], edges), 9).double()
    # V'' >= 2 everywhere, so that no relaxation is slower: the variance of a time average is at most 2 var / (2 time).
    error = (expected * (1 - expected) / 390.0).sqrt()
    assert ((inside.mean(0) - expected).abs() < 5 * error + 0.03 * expected).all()
    second, error = mean_and_error(found**2)
    exact = weight @ grid**2
    assert abs(second - exact) < 5 * error + 0.02 * exact
    assert error < 0.1 * exact


def test_moments_of_two_units(ngspice):
    coupling = torch.tensor([[0.0, 0.7], [0.7, 0.0]]).double()
    potential = tt.Potential(tt.DenseCouplings.from_matrix(coupling), 1.0, 0.0, 1.0, bias=torch.tensor([0.2, -0.1]))
    potential = potential.double().requires_grad_(False)
    found = states(potential, 400.0)
    grid, weight = quadrature(potential)
    for moment in (lambda x: x, lambda x: (x[:, :, None] * x[:, None]).flatten(1)):
        mean, error = mean_and_error(moment(found))
        exact = weight @ moment(grid)
        assert ((mean - exact).abs() < 5 * error + 0.03 * exact.abs()).all()


def test_covariance_of_ten_units_is_that_of_simulate(ngspice):
    generator = torch.Generator().manual_seed(0)
    matrix = 0.4 * torch.randn(10, 10, generator=generator).double()
    potential = tt.Potential(tt.DenseCouplings.from_matrix((matrix + matrix.T).fill_diagonal_(0.0)), 1.0, 0.0, 1.0)
    potential = potential.double().requires_grad_(False)
    found = states(potential, 300.0)
    run = tt.simulate(potential, torch.zeros(4000, 10).double(), steps=1000, dt=0.01, temperature=T, seed=0)
    for moment in (lambda x: x, lambda x: (x[:, :, None] * x[:, None]).flatten(1)):
        mean, error = mean_and_error(moment(found))
        exact, spread = moment(run.state).mean(0), moment(run.state).std(0) / 4000**0.5
        assert ((mean - exact).abs() < 5 * (error**2 + spread**2).sqrt() + 0.05 * exact.abs()).all()


def test_the_board_has_the_covariance_of_its_components(ngspice):
    generator = torch.Generator().manual_seed(1)
    matrix = torch.rand(8, 8, generator=generator).double() - 0.5
    matrix = (matrix + matrix.T).fill_diagonal_(0.0) * 0.2 + torch.eye(8)
    (board,), _ = StochasticProcessingUnit().circuits(matrix)
    circuit = type(board)(board.inductance[0], board.resistance[0], board.capacitance[0], board.noise)
    step, time = 0.05 * circuit.units.second, 3000 * circuit.units.second
    waves = run_netlist(board_netlist(circuit, time, step)).waveforms
    grid = np.arange(20 * circuit.units.second, time, circuit.units.second / 2)
    volts = torch.from_numpy(
        np.stack([np.interp(grid, waves["time"].numpy(), waves[f"v(x{cell})"].numpy()) for cell in range(8)], 1)
    )
    exact = circuit.stationary()[1]
    mean, error = mean_and_error((volts[:, :, None] * volts[:, None]).flatten(1))
    scale = exact.diagonal().mean()
    assert ((mean - exact.flatten()).abs() < 5 * error + 0.04 * scale).all()
    assert (error < 0.05 * scale).all()
    with pytest.raises(ValueError, match="step: expected at most"):
        board_netlist(circuit, time, circuit.units.second)
