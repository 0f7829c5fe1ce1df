"""Energies from the supplies of machines of devices: tail currents, and a balance that closes over every device."""

import re
from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch

import thermotorch as tt
from tests.circuit.readback import currents
from thermotorch.circuit import AnalogMachine, Segment, circuit_energies, from_potential, run_netlist
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


def of_devices(**changed) -> AnalogMachine:
    """Return two cells and a held unit, with couplings and biases of both signs."""
    matrix = torch.tensor([[0.0, 0.6, -0.25], [0.6, 0.0, 0.5], [-0.25, 0.5, 0.0]]).double()
    potential = tt.Potential(
        tt.DenseCouplings.from_matrix(matrix), torch.tensor([0.5, -0.5, 0.0]).double(), 0.0, 1.0,
        bias=torch.tensor([0.25, -0.5, 0.125]).double(),
    ).requires_grad_(False)  # fmt: skip
    start, held = torch.tensor([0.3, -0.4, 0.75]).double(), torch.tensor([False, False, True])
    machine = from_potential(potential, 2.0, 0.01, 0.03, start=start, held=held)
    return replace(machine, capacitance=torch.tensor([2.0, 0.5, 1.0]).double(), **changed)


@pytest.mark.parametrize("gain", [None, 0.0])
def test_fields_and_capacitors_of_cells_are_those_of_the_machine(gain):
    """At voltages without a current through the wells but for their trim; meters read a picojoule as a volt."""
    x, scale = torch.tensor([0.4, -0.9, 0.7]).double(), CELL_SCALE
    program = () if gain is None else (Segment(0.5, 0.03, gain), Segment(1.5, 0.03))
    machine = of_devices(**({"program": program} if program else {}))
    text = cell_netlist(machine, step=0.002)
    volts = {name: value.item() * scale.volt for unit, value in enumerate(x) for name in (f"x{unit}", f"w{unit}")}
    volts |= {f"b{unit}": volts[f"x{unit}"] for unit in range(2)} | {"s0": 0.0, "s1": 0.0, "0": 0.0, "gain": 0.3}
    volts |= {"vddw": 0.9, "vssw": -0.9, "vddb": 0.8, "vssb": -0.7}
    amperes = {"Vddw": -2.0, "Vssw": 3.0, "Vddb": -5.0, "Vssb": 7.0, "Va0": 11.0, "Va1": 13.0, "Vb0": 17.0, "Vb1": 19.0}
    field = (machine.bias + machine.couplings @ x) * scale.siemens * scale.volt
    amperes |= {f"Vs{unit}": -field[unit].item() for unit in range(2)}  # what reaches the bus, switched
    found = currents(text, volts, amperes)
    factor = 1.0 if gain is None else 0.3
    for unit, trim in enumerate((SINGLE_WELL.trim, DOUBLE_WELL.trim)):
        assert found[f"x{unit}"] == pytest.approx(-factor * field[unit].item() + trim, rel=1e-6, abs=0)
        if gain is not None:
            assert found[f"s{unit}"] == pytest.approx(-field[unit].item(), rel=1e-6, abs=0)
    watt = {"wells": 0.9 * 2 + 0.9 * 3, "bonds": 0.8 * 5 + 0.7 * 7}
    watt |= {"stored": volts["x0"] * 11 + volts["x1"] * 13, "noise": volts["x0"] * 17 + volts["x1"] * 19}
    picojoule = {name: power * SECOND * 1e12 for name, power in watt.items()}
    assert {name: found[f"m_{name}"] for name in watt} == pytest.approx(picojoule, rel=1e-6)
    lines = text.splitlines()
    for unit, size in ((0, 2.0), (1, 0.5)):
        start = machine.start[unit].item() * scale.volt
        assert f"C{unit} c{unit} 0 {size * scale.farad:.12g} ic={start:.12g}" in lines
        assert f"Va{unit} x{unit} c{unit} dc 0" in lines and f"Rw{unit} x{unit} w{unit} {(378.6, 384.6)[unit]}" in lines
    assert f"V2 x2 0 dc {0.75 * scale.volt:.12g}" in lines and "C2" not in text
    assert {"Vddw vddw 0 dc 0.9", "Vssw vssw 0 dc -0.9", "Vddb vddb 0 dc 0.9", "Vssb vssb 0 dc -0.9"} <= set(lines)
    assert all(f"Cm_{meter} m_{meter} 0 {SECOND:.12g} ic=0" in lines for meter in watt)
    assert "write waveform.raw v(x0) v(x1) v(x2) v(m_wells) v(m_bonds) v(m_noise) v(m_stored)" in lines
    assert f"tran {0.002 * SECOND:.12g} {2 * SECOND:.12g} 0 {0.002 * SECOND:.12g} uic" in lines
    rms = (2 * 1.380649e-23 * scale.kelvin * scale.siemens / (0.002 * SECOND)) ** 0.5
    assert [float(value) for value in re.findall(r"trnoise\((\S+) ", text)] == pytest.approx(
        [rms, rms], rel=1e-6, abs=0
    )
    if gain is None:
        assert "Vgain" not in text
    else:
        off = 0.5 * SECOND
        assert f"Vgain gain 0 pwl(0 0 {off:.12g} 0 {off + 2e-6 * SECOND:.12g} 1)" in lines


@pytest.mark.parametrize("overdrive", [0.2, 0.4])
def test_a_pair_pulls_by_the_sign_of_its_coupling(overdrive):
    """A coupling J > 0 draws J x out of a unit, so that the pair's other gate is at the unit that it reads."""
    text, siemens = cell_netlist(of_devices(), pairs=overdrive), CELL_SCALE.siemens
    gates = dict(re.findall(r"^M([pm]\d_\d) \S+ (\S+) ", text, re.MULTILINE))
    assert gates == {
        "p0_1": "0", "m0_1": "x1", "p0_2": "x2", "m0_2": "0", "p1_0": "0", "m1_0": "x0", "p1_2": "0", "m1_2": "x2",
    }  # fmt: skip
    assert {out for out in re.findall(r"^Mo0_\d (\S+) ", text, re.MULTILINE)} == {"x0"} and "G0_1" not in text
    tails = {name: float(tail) for name, tail in re.findall(r"^It(\d_\d) \S+ vssb dc (\S+)", text, re.MULTILINE)}
    strengths = {"0_1": 0.6, "0_2": 0.25, "1_0": 0.6, "1_2": 0.5}
    assert tails == pytest.approx({name: J * siemens * overdrive for name, J in strengths.items()}, rel=1e-5, abs=0)
    wells, bonds = supplied(of_devices(), pairs=overdrive)
    assert wells == pytest.approx(1.8 * (41.77e-6 + 49.37e-6))
    assert bonds == pytest.approx(1.8 * siemens * (1.95 * overdrive + 0.75 * CELL_SCALE.volt / 2))
    assert supplied(of_devices())[1] == pytest.approx(1.8 * siemens * 0.75 * CELL_SCALE.volt / 2)


@pytest.mark.parametrize(
    "program",
    [
        (Segment(1.0, 0.03, 0.0), Segment(1.0, 0.03), Segment(1.0, 0.03)),
        (Segment(1.0, 0.03, 0.5), Segment(1.0, 0.03)),
        (Segment(1.0, 0.03, 0.0), Segment(1.0, 0.02)),
    ],
)
def test_programs_that_no_switch_has_are_refused(program):
    with pytest.raises(ValueError, match="expected couplings that are off and then on, or on, at one temperature"):
        cell_netlist(of_devices(program=program))


def test_cells_of_another_mobility_or_with_a_cubic_term_are_refused():
    for changed in (
        {"j3": torch.tensor([0.0, 0.1, 0.0]).double()},
        {"mobility": torch.tensor([1.0, 2.0, 1.0]).double()},
    ):
        with pytest.raises(ValueError, match="unit 1 has j2 = -0.5, j3 = 0.*; there are cells"):
            cell_netlist(of_devices(**changed))


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
