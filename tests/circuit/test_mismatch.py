"""Capacitors that miss their values: the path of a spread of mobilities, and nodes of kT / C."""

from dataclasses import replace

import pytest
import torch

import thermotorch as tt
from thermotorch.circuit import Scale, circuit_energies, from_potential, netlist, run_netlist
from thermotorch.circuit.machine import mismatched_capacitors
from thermotorch.models.imperfections import realise

START = torch.tensor([0.2, 0.4, -0.6]).double()


def test_a_spread_of_capacitances_is_one_of_mobilities(ngspice, three_units):
    """With a spread of transconductances of the same device beside it."""
    device = realise(three_units, mismatch=0.1, seed=3, device_id=2)
    machine = mismatched_capacitors(from_potential(device, 1.0, 1e-3, 0.0, start=START), 0.2, seed=3, device_id=2)
    arguments = {"steps": 1000, "dt": 1e-3, "temperature": 0.0, "integrator": "heun"}
    nominal = tt.simulate(device, START[None], **arguments).state
    exact = tt.simulate(device, START[None], mobility=1 / machine.sizes, **arguments).state
    assert (run_netlist(netlist(machine, step=0.002, reltol=1e-7)).read - exact[0]).abs().max() < 1e-5
    assert (exact - nominal).abs().max() > 5e-3  # another device


def test_a_node_has_the_noise_of_its_own_capacitance(ngspice):
    """<x^2> = kT / (2 j2 c): 800 units of time for each size."""
    potential, n = tt.Potential(tt.DenseCouplings(12), 1.0, 0.0, 0.0).double().requires_grad_(False), 12
    potential.couplings.bonds.data.zero_()
    sizes = torch.tensor([0.5, 1.0, 2.0]).double().repeat_interleave(4)
    machine = replace(from_potential(potential, 200.0, 1e-3, 0.2), capacitance=sizes)
    run = run_netlist(netlist(machine, step=0.02))
    x, time = run.states(n, Scale(0.2).volt), run.waveforms["time"]
    square = torch.trapezoid(x**2, time, dim=0) / time[-1]
    found, exact = square.view(3, 4).mean(1), torch.tensor([0.2, 0.1, 0.05])
    rate = 2 / torch.tensor([0.5, 1.0, 2.0])
    error = exact * (1 / (rate * 800)).sqrt() + exact * (7 * rate * 0.02 / 15 + 1 / (2 * rate * 200))
    assert ((found - exact).abs() < 5 * error).all()
    assert (found[0] / found[2] - 4).abs() < 1


def test_heat_of_mismatched_nodes_is_the_fall_of_V(ngspice, three_units):
    machine = mismatched_capacitors(from_potential(three_units, 3.0, 1e-3, 0.3), 0.3, seed=0)
    found = circuit_energies(machine, step=0.01, reltol=1e-7)
    x = found.run.states(3, Scale(0.3).volt)
    assert found.heat == pytest.approx((three_units.energy(x[0]) - three_units.energy(x[-1])).item() / 0.3, abs=0.1)
    held = ((x[-1] ** 2 - x[0] ** 2) * machine.sizes).sum().item() / (2 * 0.3)
    assert found.stored == pytest.approx(held, abs=1e-3)


def test_the_draw_is_that_of_the_device_and_its_seed(three_units):
    machine = from_potential(three_units, 1.0, 1e-2, 0.1)
    first, same, other = (mismatched_capacitors(machine, 0.1, seed=0, device_id=device).sizes for device in (0, 0, 1))
    assert torch.equal(first, same) and not torch.equal(first, other)
    many = mismatched_capacitors(from_potential(tt.Potential(tt.DenseCouplings(2000)), 1.0, 1e-2, 0.1), 0.1, seed=1)
    assert many.sizes.std().item() == pytest.approx(0.1, rel=0.08)
    assert machine.sizes.eq(1).all()


def test_a_capacitor_that_is_gone_is_refused(three_units):
    with pytest.raises(ValueError, match=r"mismatch: at 50 unit \d has no capacitance left"):
        mismatched_capacitors(from_potential(three_units, 1.0, 1e-2, 0.1), 50.0, seed=0)
    with pytest.raises(ValueError, match="mismatch"):
        mismatched_capacitors(from_potential(three_units, 1.0, 1e-2, 0.1), -0.1, seed=0)
