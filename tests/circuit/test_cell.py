"""One unit from devices: its measured force, and the potential that it makes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import thermotorch as tt
from thermotorch.circuit import CircuitRun
from thermotorch.circuit.cell import (
    CELL_SCALE,
    DOUBLE_WELL,
    SINGLE_WELL,
    Cell,
    measure,
    measure_pair,
    transconductor,
    well,
)
from thermotorch.circuit.measured import MeasuredWells


@pytest.mark.parametrize(("cell", "j2"), [(SINGLE_WELL, 0.5), (DOUBLE_WELL, -0.5)])
def test_a_cell_of_devices_is_the_quartic_well(ngspice, cell, j2):
    curve = measure(list(well(cell, 0)))
    away = (curve.force - 2 * j2 * curve.state - 4 * curve.state**3).abs()
    assert away[curve.state.abs() <= 0.75].max() < 0.06
    assert away[curve.state.abs() <= 1.2].max() < 0.13
    assert away.max() > 0.2  # a real device: not the ideal source, and further off at 1.5
    assert curve.supply[150] == pytest.approx(cell.tail, rel=0.01)  # at x = 0 the tail current, and leakage


def test_a_transconductor_has_the_slope_of_tail_over_overdrive(ngspice):
    curve = measure(list(transconductor("a", "0", "x0", "x0", 4e-6, 0.2)))  # negative feedback: a conductance
    slope = (curve.force[151] - curve.force[149]) / (curve.state[151] - curve.state[149])
    assert slope * CELL_SCALE.siemens == pytest.approx(4e-6 / 0.2, rel=0.03)


@pytest.mark.parametrize("overdrive", [0.2, 0.1])
def test_a_pair_answers_by_the_square_law(ngspice, overdrive):
    x, answer = measure_pair(overdrive)
    swing = answer[-1] - answer[0]
    law = x * (1 - (CELL_SCALE.volt * x / (2 * overdrive)) ** 2).sqrt()
    assert (answer - answer[150] - law).abs().max() < 0.04 * law[-1]  # channel length modulation
    assert swing < 0.97 * 3 and 0 < abs(answer[150]) < 0.06  # it saturates, and its mirror is not in balance


def test_a_pair_gives_no_more_than_its_tail(ngspice):
    _, answer = measure_pair(0.05)
    most = 0.05 / CELL_SCALE.volt
    assert answer.max() == pytest.approx(most, rel=0.05) and answer.min() == pytest.approx(-most, rel=0.05)


@pytest.mark.parametrize("name", ["saturation", "resistance", "tail", "overdrive"])
def test_components_of_nothing_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be finite and positive"):
        replace(SINGLE_WELL, **{name: 0.0})
    assert replace(SINGLE_WELL, trim=0.0).trim == 0.0


def test_a_transconductor_has_five_transistors_of_its_overdrive():
    """A pair at two gates, a mirror that turns one branch around into the output, and a tail.

    Each of the pair carries half the tail, KP/2 w V_ov^2, with 1e-4 A/V^2 for NMOS and 4e-5 for PMOS."""
    found = {line.split()[0]: line.split()[1:] for line in transconductor("a", "p", "m", "o", 3e-6, 0.2, ("t", "b"))}
    pair, mirror = ["nch", "w=0.75", "l=1"], ["pch", "w=1.875", "l=1"]
    assert found == {  # drain, gate, source, bulk
        "Mpa": ["da", "p", "sa", "sa", *pair], "Mma": ["o", "m", "sa", "sa", *pair],
        "Mda": ["da", "da", "t", "t", *mirror], "Moa": ["o", "da", "t", "t", *mirror],
        "Ita": ["sa", "b", "dc", "3e-06"],
    }  # fmt: skip


@pytest.mark.parametrize(("trim", "line"), [(-2e-7, "Iw3 x3 low dc 2e-07"), (3e-7, "Iw3 up x3 dc 3e-07")])
def test_a_well_has_two_strings_of_diodes_behind_a_resistor(trim, line):
    """One conducts where the state is positive, the other where it is negative; feedback and trim are at the node."""
    lines = list(well(Cell(5e-6, 300.0, 4e-5, 0.25, trim), 3, ("up", "low")))
    assert lines[:5] == [
        "Rw3 x3 w3 300",
        "Da3_0 w3 y3_0 well area=5e-06", "Db3_0 y3_0 0 well area=5e-06",
        "Da3_1 0 y3_1 well area=5e-06", "Db3_1 y3_1 w3 well area=5e-06",
    ]  # fmt: skip
    assert lines[5:-1] == list(transconductor("w3", "x3", "0", "x3", 4e-5, 0.25, ("up", "low"))) and lines[-1] == line


def test_sweeps_are_measured_in_reduced_units(monkeypatch):
    """The current that a source gives is that of the elements, and the supply gives the rest."""
    texts, ampere = [], CELL_SCALE.siemens * CELL_SCALE.volt
    waves = {"i(vx)": torch.tensor([2.0]), "i(vdd)": torch.tensor([-3.0]), "i(vout)": torch.tensor([5.0])}

    def run(text: str) -> CircuitRun:
        texts.append(text)
        return CircuitRun(torch.zeros(0), waves)

    monkeypatch.setattr("thermotorch.circuit.cell.run_netlist", run)
    curve = measure(["R1 x0 0 1k"], reach=1.2)
    assert (curve.force.item(), curve.supply.item()) == (pytest.approx(-2.0 / ampere), 3.0)
    torch.testing.assert_close(curve.state, torch.linspace(-1.2, 1.2, 301).double())
    lines, volts = texts[0].splitlines(), 1.2 * CELL_SCALE.volt
    assert {"R1 x0 0 1k", "Vdd vdd 0 dc 0.9", "Vss vss 0 dc -0.9", "Vx x0 0 dc 0", "write waveform.raw"} <= set(lines)
    assert f"dc Vx {-volts:.12g} {volts:.12g} {volts / 150:.12g}" in lines and "echo unit x > read.txt" in lines
    state, answer = measure_pair(0.2)
    assert answer.item() == pytest.approx(5.0 / ampere) and state[-1] == 1.5
    pair = transconductor("p", "x0", "0", "out", CELL_SCALE.siemens * 0.2, 0.2)
    assert {*pair, "Vout out 0 dc 0"} <= set(texts[1].splitlines())
    for call in (lambda: measure_pair(0.0), lambda: measure([], reach=0.0)):
        with pytest.raises(ValueError, match=r"(overdrive|reach) must be finite and positive"):
            call()


def test_a_sweep_beyond_the_supply_is_refused():
    with pytest.raises(ValueError, match=r"reach: x = 20 is 1.66 V, and half the supply is 0.9 V"):
        measure(list(well(SINGLE_WELL, 0)), reach=20.0)


def measured(points: int = 3001) -> tuple[tt.Potential, MeasuredWells]:
    x = torch.linspace(-1.5, 1.5, points).double()
    force = torch.stack([x + 4 * x**3, -x + 4 * x**3])
    matrix = torch.tensor([[0.0, 0.4, -0.3], [0.4, 0.0, 0.2], [-0.3, 0.2, 0.0]]).double()
    couplings = tt.DenseCouplings.from_matrix(matrix)
    bias = torch.tensor([0.1, -0.2, 0.0]).double()
    ideal = tt.Potential(couplings, torch.tensor([0.5, -0.5, 0.5]).double(), 0.0, 1.0, bias=bias)
    return ideal, MeasuredWells(couplings, force, 1.5, [0, 1, 0], bias=bias)


def test_measured_wells_of_ideal_forces_are_the_quartic_machine():
    """Up to the interpolation of the force on a grid of h = 1e-3.

    A force is off by at most h^2 / 8 x 24 |x| = 3e-6 for |x| < 1, the integral U(x) by h^2 / 12 x 12 x^2 = 1e-6 per
    unit, so the energy of three units by 3e-6; a state by 3e-6 after one unit of time; heat by two energies, and by the
    force (below 5) times the error of the state.
    """
    ideal, wells = measured()
    x = 2 * torch.rand(20, 3, generator=torch.Generator().manual_seed(0)).double() - 1
    torch.testing.assert_close(wells.energy(x), ideal.energy(x), rtol=0, atol=3e-6)
    arguments = {"steps": 100, "dt": 0.01, "temperature": 0.1, "seed": 0, "backend": "reference"}
    found, exact = (tt.simulate(potential, x, **arguments) for potential in (wells, ideal))
    torch.testing.assert_close(found.state, exact.state, rtol=0, atol=3e-6)
    torch.testing.assert_close(found.heat, exact.heat, rtol=0, atol=2e-5)


def test_the_force_is_a_straight_line_between_its_points():
    """Both kinds of wells, measured at five states from -1 to 1; beyond them the last line goes on."""
    points, force = (
        [-1.0, -0.5, 0.0, 0.5, 1.0],
        torch.tensor([[-3.0, -1.0, 0.5, 1.0, 4.0], [-9.0, 2.0, 0.0, -2.0, 9.0]]),
    )
    wells = MeasuredWells(tt.DenseCouplings(2).double(), force, 1.0, [0, 1])
    for x in (-0.9, -0.55, -0.1, 0.2, 0.45, 0.8):
        expected = [np.interp(x, points, kind) for kind in force.numpy()]
        assert wells.on_site_gradient(torch.full((2,), x).double()).tolist() == pytest.approx(expected, rel=1e-6)
    assert wells.on_site_gradient(torch.tensor([-1.5, 1.5]).double()).tolist() == pytest.approx([-5.0, 20.0])


def test_the_force_is_the_slope_of_the_energy_everywhere():
    _, wells = measured(31)
    x = torch.tensor([[-2.0, -1.43, 1.7], [0.03, 0.91, -0.52]]).double().requires_grad_()  # beyond the ends, too
    (slope,) = torch.autograd.grad(wells.energy(x).sum(), x)
    torch.testing.assert_close(wells.gradient(x), slope)
    assert torch.autograd.gradcheck(wells.gradient, (x,))
    assert wells.energy(torch.zeros(1, 3).double()).item() == pytest.approx(0.0, abs=1e-12)


def test_machines_can_be_trained_for_measured_wells():
    _, wells = measured()
    run = tt.simulate(wells, torch.zeros(4, 3).double(), steps=20, dt=0.01, temperature=0.1, seed=0)
    run.state.sum().backward()
    assert wells.bias.grad.abs().min() > 0 and wells.couplings.bonds.grad.abs().max() > 0


@pytest.mark.parametrize(
    ("force", "kind", "message"),
    [
        (torch.zeros(5), None, r"force: expected finite values, \[kind, point\], 3 points or more"),
        (torch.zeros(1, 5), None, "force: expected wells that hold a unit"),
        (torch.linspace(-1, 1, 2)[None], None, "3 points or more, got \\(1, 2\\)"),
        (torch.tensor([[-1.0, 0.0, torch.inf]]), None, "force: expected finite values"),
        (torch.tensor([[-1.0, 0.0, 1.0], [-1.0, 1.0, 0.5]]), None, "forces that grow at both ends"),
        (torch.tensor([[-1.0, 0.0, 1.0], [-1.0, -2.0, 1.0]]), None, "forces that grow at both ends"),
        (torch.tensor([[-1.0, 1.0, 1.0]]), None, "forces that grow at both ends"),
        (torch.tensor([[-1.0, -1.0, 1.0]]), None, "forces that grow at both ends"),
        (torch.linspace(-1, 1, 5)[None], [0, 1], "kind: expected 2 numbers below 1"),
        (torch.linspace(-1, 1, 5)[None], [0, -1], "kind: expected 2 numbers below 1"),
        (torch.linspace(-1, 1, 5)[None], [0], "kind: expected 2 numbers below 1"),
    ],
)
def test_forces_that_do_not_fit_are_refused(force, kind, message):
    with pytest.raises(ValueError, match=message):
        MeasuredWells(tt.DenseCouplings(2), force, 1.0, kind)


def test_a_well_of_three_points_is_two_parabolas():
    """Forces of -4, 0 and 2 at -2, 0 and 2: U = x^2 on the left and x^2 / 2 on the right, and so on beyond the ends."""
    force = torch.tensor([[-4.0, 0.0, 2.0], [-2.0, 0.0, 2.0]])
    wells = MeasuredWells(tt.DenseCouplings(2), force, 2.0, [0, 1], bias=0.5)
    assert wells.energy(torch.tensor([[-3.0, 0.0], [3.0, -1.0], [0.0, 0.0]])).tolist() == [7.5, 6.0, 0.0]
    assert wells.gradient(torch.tensor([-3.0, 0.0])).tolist() == [-5.5, 0.5]
    assert wells.reach == 2.0 and wells.spacing == 2.0
    with pytest.raises(ValueError, match="reach must be finite and positive"):
        MeasuredWells(tt.DenseCouplings(2), force, 0.0, [0, 1])


def test_a_generator_prepares_its_noise_in_its_measured_wells():
    """Ideal forces: the noise of the quartic machine. A generator that only knew j2 and j4 would diffuse freely.

    Interpolated on a grid of h = 2e-3, a force is off by at most h^2 / 8 x 24 |x| = 2.4e-5 for |x| < 2, and as wells of
    curvature 2 and more contract, a state by half as much, with float32 rounding on top.
    """
    model = tt.create_model("generator", image_shape=[1, 2, 2], hidden=3, temperature=0.1, dt=0.02, integrator="heun")
    x = torch.linspace(-2, 2, 2001)
    exact = model.noise(200, seed=0)
    model.potential = MeasuredWells(model.potential.couplings, (2 * x + 4 * x**3)[None], 2.0, bias=0.3)
    found = model.noise(200, seed=0)
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-4)
    assert model.potential.bias.detach().eq(0.3).all() and model.potential.couplings.num_units == 7  # still its own
    other = MeasuredWells(model.potential.couplings, (8 * x)[None], 2.0)
    model.potential = other
    assert model.noise(200, seed=0).var() < 0.6 * exact.var()
