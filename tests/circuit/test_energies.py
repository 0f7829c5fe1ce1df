"""Energies that ngspice integrates in the ideal rendering: closed forms, the first law and Tellegen's theorem."""

from math import exp

import pytest
import torch

import thermotorch as tt
from thermotorch.circuit import Scale, circuit_energies, from_potential, netlist, run_netlist
from thermotorch.circuit.export import write_netlist
from thermotorch.circuit.ngspice import raw_file
from thermotorch.evaluation.energy.thermodynamic import device

T, TIME = 0.3, 5.0


def linear(units: int = 1, coupling: float = 0.0) -> tt.Potential:
    """Units of relaxation rate one, so that V of a unit is C v^2 / 2."""
    matrix = coupling * (1 - torch.eye(units)).double()
    return tt.Potential(tt.DenseCouplings.from_matrix(matrix), 0.5, 0.0, 0.0).double().requires_grad_(False)


def test_a_unit_that_discharges_dissipates_what_it_stored(ngspice):
    machine = from_potential(linear(), 3.0, 1e-3, 0.0, start=torch.tensor([1.5]).double())
    found = circuit_energies(machine, step=0.002, reltol=1e-7)
    lost = 1.5**2 / 2 * (1 - exp(-6))
    assert (found.wells, -found.stored, found.heat) == pytest.approx((lost, lost, lost), rel=1e-5)
    assert found.noise == found.bonds == 0.0
    assert found.kT == Scale(0.0).joule > 0  # without a kT, the machine's unit of energy


def test_the_step_of_a_driver_charges_a_unit(ngspice):
    """A held unit at x = 1 steps a unit up: x = 1 - e^-t, of which every energy is an integral."""
    driven = from_potential(
        linear(2, -1.0), TIME, 1e-3, 0.0, start=torch.tensor([0.0, 1.0]).double(), held=torch.tensor([False, True])
    )
    found = circuit_energies(driven, step=0.002, reltol=1e-7)
    given = TIME - 1 + exp(-TIME)
    lost = TIME - 2 * (1 - exp(-TIME)) + (1 - exp(-2 * TIME)) / 2
    assert (-found.bonds, found.wells) == pytest.approx((given, lost), rel=1e-5)
    assert found.stored == pytest.approx((1 - exp(-TIME)) ** 2 / 2, rel=1e-5)
    assert given - lost == pytest.approx(found.stored, rel=1e-5)
    assert found.drivers == pytest.approx(0.0, abs=1e-9)  # transconductors draw nothing from what they read
    assert found.heat == pytest.approx((1 - exp(-2 * TIME)) / 2, rel=1e-5)  # C v^2 / 2 of a resistor to the driver


def test_noise_gives_a_resistor_one_kT_for_each_time_constant(ngspice):
    """Work of the noise in a time t: kT t / tau, less 7 step / 15 of it for its finite band; 400 units of time."""
    step, time, units = 0.02, 100.0, 4
    found = circuit_energies(from_potential(linear(units), time, 1e-3, T), step=step, reltol=1e-6)
    expected = units * time * (1 - 7 * step / 15)
    # wells take the integral of x^2 / kT: variance 2, correlation time 1/2, so 2 t in all
    assert abs(found.wells - expected) < 5 * (2 * units * time) ** 0.5
    assert found.noise == pytest.approx(found.wells + found.stored, abs=1e-3)
    assert found.heat == pytest.approx(-found.stored, abs=1e-2)  # V is C v^2 / 2 here: bath heat is what was stored


def test_sources_are_heat_and_charge(ngspice, three_units):
    machine, scale = from_potential(three_units, TIME, 1e-3, T), Scale(T)
    found = circuit_energies(machine, scale, step=0.01, reltol=1e-8)  # errs by 1e-4; by 1e-3 at a tolerance of 1e-7
    x = found.run.states(3, scale.volt)
    held = (x[-1] ** 2 - x[0] ** 2).sum().item() / (2 * T)
    assert found.stored == pytest.approx(held, abs=1e-3)
    assert abs(found.residual) < 1e-5 < abs(found.wells)
    assert found.kT == pytest.approx(1.380649e-23 * 300)
    fall = (three_units.energy(x[0]) - three_units.energy(x[-1])).item() / T
    assert found.heat == pytest.approx(fall, abs=0.1)  # first law of stochastic thermodynamics


def test_units_of_other_mobilities_have_the_same_ledgers(ngspice, three_units):
    """A unit of mobility mu has mu times the conductances: its bias currents are mu times as large, its heat is not."""
    mobility, start = torch.tensor([0.5, 1.0, 3.0]).double(), torch.tensor([0.2, 0.4, -0.6]).double()
    machine = from_potential(three_units, 2.0, 1e-3, 0.0, start=start, mobility=mobility)
    found, scale = circuit_energies(machine, step=0.002, reltol=1e-7), Scale(0.0)
    x, time = found.run.states(3, scale.volt), found.run.waveforms["time"] / scale.second
    assert found.heat == pytest.approx((three_units.energy(start) - three_units.energy(x[-1])).item(), rel=1e-3)
    slope = 2 * machine.j2.abs() + 12 * machine.j4 * x**2 + machine.couplings.abs().sum(1)
    rc = device("rc_analog")
    joule = rc.supply.value * rc.capacitance.value / rc.gm_over_current.value * torch.trapezoid(slope, time, dim=0)
    assert found.supply * found.kT == pytest.approx((mobility * joule).sum().item(), rel=2e-3)


def test_the_fall_of_V_is_not_that_of_the_capacitors(ngspice, three_units):
    start = torch.tensor([0.2, 0.4, -0.6]).double()
    found = circuit_energies(from_potential(three_units, TIME, 1e-3, 0.0, start=start), step=0.002, reltol=1e-7)
    assert found.wells + found.bonds == pytest.approx(-found.stored, abs=1e-6)
    end = found.run.states(3, Scale(0.0).volt)[-1]
    assert found.heat == pytest.approx((three_units.energy(start) - three_units.energy(end)).item(), rel=1e-3)
    assert abs(found.heat + found.stored) > 0.1 and min(abs(found.wells), abs(found.bonds)) > 0.1


def test_bias_currents_are_those_of_the_formula_along_the_path(ngspice, three_units):
    machine, scale = from_potential(three_units, TIME, 1e-3, T), Scale(T)
    found = circuit_energies(machine, scale, step=0.01, reltol=1e-7)
    x, time = found.run.states(3, scale.volt), found.run.waveforms["time"] / scale.second
    square = torch.trapezoid(x**2, time, dim=0) / (time[-1] - time[0])
    slope = machine.couplings.abs().sum() + (2 * machine.j2.abs() + 12 * machine.j4 * square).sum()
    rc = device("rc_analog")
    joule = rc.supply.value * rc.capacitance.value / rc.gm_over_current.value * slope * TIME
    assert found.supply * found.kT == pytest.approx(joule.item(), rel=2e-3)


def test_the_export_writes_its_energies(ngspice, tmp_path):
    torch.manual_seed(0)
    model = tt.create_model("generator", image_shape=[1, 2, 2], hidden=3, hidden_hidden=False, num_classes=2)
    files = write_netlist(model, tmp_path, metered=True, run=True)
    table = dict(line.split() for line in (tmp_path / "energy.txt").read_text().splitlines())
    assert tmp_path / "energy.txt" in files and table.pop("contribution") == "kT"
    energy = {name: float(value) for name, value in table.items()}
    assert energy["noise"] - energy["wells"] - energy["bonds"] == pytest.approx(energy["stored"], abs=1e-3)
    assert energy["noise"] > 1 and energy["drivers"] == 0.0
    ends = {name: wave[-1].item() for name, wave in raw_file(tmp_path / "waveform.raw").items()}
    assert energy == pytest.approx({name: ends[f"v(m_{name})"] for name in energy}, rel=1e-5)  # six digits


def test_meters_do_not_change_the_path(ngspice, three_units):
    machine = from_potential(three_units, 4.0, 1e-3, 0.0, start=torch.tensor([0.2, 0.4, -0.6]).double())
    plain, metered = (
        run_netlist(netlist(machine, step=0.002, reltol=1e-7, metered=metered)).read for metered in (False, True)
    )
    assert (plain - metered).abs().max() < 1e-6
