"""Energies from the supplies of machines of devices: tail currents, and a balance that closes over every device."""

import re
from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch

import thermotorch as tt
from thermotorch.circuit import circuit_energies, from_potential, run_netlist
from thermotorch.circuit.cell import CELL_SCALE, DOUBLE_WELL, SINGLE_WELL
from thermotorch.circuit.cell_netlist import cell_energies, cell_netlist, supplied

SECOND = CELL_SCALE.second


def units(j2: list[float], coupling: float = 0.0) -> tt.Potential:
    n = len(j2)
    matrix = coupling * (1 - torch.eye(n)).double()
    return tt.Potential(
        tt.DenseCouplings.from_matrix(matrix), torch.tensor(j2).double(), 0.0, 1.0, bias=0.1
    ).requires_grad_(False)


def taken(text: str, waves: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Return the power that resistors, diodes, transistors and current sources take, [time]."""
    volt = {"0": torch.zeros(())} | {name[2:-1]: wave for name, wave in waves.items() if name.startswith("v(")}
    total = torch.zeros_like(waves["time"])
    for line in text.splitlines():
        name, *words = line.split()
        if re.match(r"[RDMI]\w+$", name):
            plus, minus = (words[0], words[2]) if name[0] == "M" else words[:2]  # drain and source
            across = volt[plus] - volt[minus]
            if name[0] == "R":
                total += across**2 / float(words[2])
            elif name[0] == "I":
                total += across * float(words[3])
            else:
                total += (across * waves[f"i(@{name.lower()}[id])"]).abs()  # which sign the simulator gives a PMOS
    return total


def test_supplies_give_what_every_device_takes(ngspice):
    machine = from_potential(units([0.5]), 5.0, 0.01, 0.0, start=torch.tensor([1.0]).double())
    text = cell_netlist(machine, step=0.01, reltol=1e-7)
    currents = [f"@{name}[id]" for name in re.findall(r"^([DM]\w+) ", text, re.MULTILINE)]
    text = re.sub(r"^(tran .*)$", f"save all {' '.join(currents)}\n\\1", text, flags=re.MULTILINE)
    text = re.sub(r"^write waveform.raw.*$", "write waveform.raw", text, flags=re.MULTILINE)
    waves = run_netlist(text).waveforms
    lost = torch.trapezoid(taken(text, waves), waves["time"]).item()
    given, stored = ((sum(waves[f"v(m_{meter})"][-1].item() for meter in meters) * 1e-12)
                     for meters in (("wells", "bonds"), ("stored",)))  # fmt: skip
    assert given == pytest.approx(lost + stored, rel=2e-5)
    assert abs(stored) > 1e-4 * given  # so that a balance without the capacitor does not close


@pytest.mark.parametrize(("j2", "cell"), [(0.5, SINGLE_WELL), (-0.5, DOUBLE_WELL)])
def test_a_cell_draws_its_tail_current_from_the_supplies(ngspice, j2, cell):
    """On average over both sides: on one of them the mirror takes more, on the other ground gives the rest."""
    found = [
        cell_energies(from_potential(units([j2]), 20.0, 0.01, 0.0, start=torch.tensor([start]).double()))
        for start in (-0.6, 0.6)
    ]
    mean = sum(energies.wells for energies in found) / 2
    assert mean == pytest.approx(CELL_SCALE.supply * cell.tail * 20 * SECOND, rel=0.02)
    assert found[0].noise == 0.0


@pytest.mark.parametrize("overdrive", [0.2, 0.4])
def test_a_pair_draws_its_slope_times_its_overdrive(ngspice, overdrive):
    machine = from_potential(units([0.5, 0.5], -0.7), 20.0, 0.01, 0.0)
    found = cell_energies(machine, pairs=overdrive)
    tails = 2 * 0.7 * CELL_SCALE.siemens * overdrive
    bias = 2 * 0.1 * CELL_SCALE.siemens * CELL_SCALE.volt / 2  # between a rail and the middle
    expected = CELL_SCALE.supply * (tails + bias) * 20 * SECOND
    assert found.bonds == pytest.approx(expected, rel=0.02)
    assert supplied(machine, pairs=overdrive)[1] * 20 * SECOND == pytest.approx(expected)


def test_cells_are_the_machine(ngspice):
    """With ideal couplings: within the distance of the cells' force from the quartic one."""
    potential = units([0.5, -0.5], 0.6)
    start = torch.tensor([0.3, -0.4]).double()
    found = cell_energies(from_potential(potential, 6.0, 0.01, 0.0, start=start)).run.read
    exact = tt.simulate(potential.double(), start[None], steps=6000, dt=1e-3, temperature=0.0).state[0]
    assert (found - exact).abs().max() < 0.04
    assert exact.abs().min() > 0.1


def test_the_read_out_averages_over_the_end_of_the_run(ngspice):
    machine = from_potential(units([0.5]), 4.0, 0.01, 0.0, start=torch.tensor([1.0]).double())
    run = cell_energies(replace(machine, readout_time=2.0)).run
    time, volt = run.waveforms["time"] / SECOND, run.waveforms["v(x0)"] / CELL_SCALE.volt
    late = time >= 2.0
    mean = torch.trapezoid(volt[late], time[late]) / 2.0
    assert run.read.item() == pytest.approx(mean.item(), abs=2e-3)
    assert abs(run.read.item() - volt[-1]) > 0.02  # it still falls


def test_machines_without_cells_are_refused():
    with pytest.raises(ValueError, match="unit 1 has j2 = 0.7, j3 = 0, j4 = 1, mobility 1; there are cells"):
        cell_netlist(from_potential(units([0.5, 0.7]), 1.0, 0.01, 0.0))


@pytest.mark.parametrize(
    ("scale", "options", "message"),
    [
        (CELL_SCALE, {"step": 0.5}, r"step: noise in steps of 0.5 ends below the fastest rate, [\d.]+ per time unit"),
        (
            replace(CELL_SCALE, supply=0.1),
            {},
            r"supply: units reach [\d.]+ V on either side, and half the supply is 0.05",
        ),
        (CELL_SCALE, {"pairs": 0.0}, "pairs"),
        (CELL_SCALE, {"pairs": -0.2}, "pairs"),
    ],
)
def test_units_that_do_not_fit_are_refused(scale, options, message):
    with pytest.raises(ValueError, match=message):
        cell_netlist(from_potential(units([0.5, -0.5], 0.6), 1.0, 0.01, 0.03), scale, **options)


def test_without_ngspice_the_package_is_named(monkeypatch):
    monkeypatch.setenv("PATH", "")
    machine = from_potential(units([0.5]), 1.0, 0.01, 0.03)
    for run in (cell_energies, circuit_energies):
        with pytest.raises(FileNotFoundError, match="ngspice is not installed.*apt-get install ngspice"):
            run(machine)
