"""Energies that ngspice integrates: the heat of the path, and the bias currents of the ledger's formula."""

import pytest
import torch

from thermotorch.circuit import Scale, from_potential, netlist, run_netlist
from thermotorch.evaluation.energy import device

T, TIME = 0.3, 5.0


def test_heat_and_bias_currents(ngspice, three_units):
    machine, scale = from_potential(three_units, TIME, 1e-3, T), Scale(T)
    run = run_netlist(netlist(machine, scale, step=0.01, metered=True, reltol=1e-7))
    x, waves = run.states(3, scale.volt), run.waveforms
    fall = (three_units.energy(x[0]) - three_units.energy(x[-1])) / T
    assert abs(waves["v(m_heat)"][-1] - fall) < 0.1  # first law, kT; the path's heat fluctuates by several
    time = waves["time"] / scale.second
    square = torch.trapezoid(x**2, time, dim=0) / (time[-1] - time[0])
    slope = machine.couplings.abs().sum() + (2 * machine.j2.abs() + 12 * machine.j4 * square).sum()
    rc = device("rc_analog")
    joule = rc.supply.value * rc.capacitance.value / rc.gm_over_current.value * slope * TIME
    assert waves["v(m_supply)"][-1] * T * scale.joule == pytest.approx(joule.item(), rel=2e-3)
