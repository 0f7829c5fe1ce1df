"""The lines of a netlist, read without a simulator: currents are forces, and meters integrate energies in kT."""

import re
from dataclasses import replace

import pytest
import torch

import thermotorch as tt
from thermotorch.circuit import Scale, Segment, analog_machine, from_potential, netlist
from thermotorch.evaluation.energy.thermodynamic import device

T = 0.3
X, SPEED = torch.tensor([0.4, -0.7, 1.1]).double(), torch.tensor([0.5, 2.0, -1.5]).double()  # states, dx/dt
MOBILITY, SIZES = torch.tensor([0.5, 1.0, 3.0]).double(), torch.tensor([0.8, 1.5, 2.0]).double()
SCALE = Scale(T, farad=7e-13, second=3e-6, kelvin=400.0, supply=1.1)


def value(expression: str, volts: dict[str, float], amperes: dict[str, float]) -> float:
    quoted = re.sub(r"\b([vi])\((\w+)\)", r'\1("\2")', expression)
    return eval(quoted, {"v": volts.__getitem__, "i": amperes.__getitem__, "abs": abs})


def evaluated(text: str, gain: float) -> tuple[torch.Tensor, dict[str, float]]:
    """Return the current out of every unit into sources, [unit], and that into every meter, with `X` and `SPEED`."""
    volts = {f"x{unit}": SCALE.volt * x for unit, x in enumerate(X.tolist())} | {"gain": gain}
    amperes = {}
    for unit, speed in enumerate((SCALE.farad * SIZES * SCALE.volt * SPEED / SCALE.second).tolist()):
        amperes |= {f"Va{unit}": speed, f"Vb{unit}": 2 * speed}  # of the capacitor; of the noise, any
    out, buses, meters = dict.fromkeys(volts, 0.0), {}, {}
    lines = [line.split() for line in text.splitlines() if re.match(r"[BGIR]", line)]
    for name, plus, minus, *words in (line for line in lines if re.match(r"(G\d|Ib\d)", line[0])):
        current = float(words[-1]) * (volts[words[0]] if name[0] == "G" else 1.0)
        if plus == "0":
            buses[minus] = buses.get(minus, 0.0) + current
        else:
            assert minus == "0"
            out[plus] += current
    volts |= {bus: buses.get(bus, 0.0) * float(ohm) for name, bus, *_, ohm in lines if re.match(r"R\d", name)}
    for name, plus, minus, *words in (line for line in lines if re.match(r"B(s|m)?\d", line[0])):
        current = value(words[0].removeprefix("i="), volts, amperes)
        if name[1] == "m":
            assert plus == "0"
            meters[minus] = meters.get(minus, 0.0) + current
        elif minus == "0":
            out[plus] += current
    return torch.tensor([out[f"x{unit}"] for unit in range(3)], dtype=torch.float64), meters


@pytest.mark.parametrize("gain", [1.0, 0.6])
def test_currents_are_the_forces_and_meters_the_powers(three_units, gain):
    """In steps of one reduced time unit: a force mu G0 u dV/dx on each unit, and powers over kT."""
    machine = replace(from_potential(three_units, 2.0, 1e-3, T, mobility=MOBILITY), capacitance=SIZES)
    if gain != 1.0:
        machine = replace(machine, program=(Segment(1.0, T, gain), Segment(1.0, T)))
    found, meters = evaluated(netlist(machine, SCALE, metered=True), gain)
    well = three_units.on_site_gradient(X)
    field = gain * (three_units.bias + three_units.couplings(X))
    torch.testing.assert_close(found, SCALE.siemens * SCALE.volt * MOBILITY * (well + field), rtol=1e-9, atol=0)
    matrix = three_units.couplings.matrix().abs().sum(1)
    slope = 2 * three_units.j2.abs() + 12 * three_units.j4 * X**2 + gain * matrix
    watt = 1.1 * SCALE.siemens / device("rc_analog").gm_over_current.value * (MOBILITY * slope).sum()
    expected = {
        "wells": (MOBILITY * X * well).sum() / T,
        "bonds": (MOBILITY * X * field).sum() / T,
        "stored": (SIZES * X * SPEED).sum() / T,
        "noise": 2 * (SIZES * X * SPEED).sum() / T,
        "heat": -((well + field) * SPEED).sum() / T,
        "supply": watt * SCALE.second / (1.380649e-23 * 400.0),
    }
    assert meters == pytest.approx({f"m_{name}": power.item() for name, power in expected.items()}, rel=1e-8)


def test_capacitors_start_where_the_machine_does(three_units):
    start, held = torch.tensor([0.2, 0.4, -0.6]).double(), torch.tensor([False, True, False])
    machine = replace(from_potential(three_units, 2.0, 1e-3, T, start=start, held=held), capacitance=SIZES)
    text = netlist(machine, SCALE)
    capacitors = re.findall(r"^C(\d) x\1 0 (\S+) ic=(\S+)$", text, re.MULTILINE)
    assert [int(unit) for unit, _, _ in capacitors] == [0, 2]
    assert [float(farad) for _, farad, _ in capacitors] == pytest.approx([0.8 * 7e-13, 2.0 * 7e-13], rel=1e-6, abs=0)
    assert [float(volt) for *_, volt in capacitors] == pytest.approx(
        [0.2 * SCALE.volt, -0.6 * SCALE.volt], rel=1e-6, abs=0
    )
    assert float(re.findall(r"^V1 x1 0 dc (\S+)$", text, re.MULTILINE)[0]) == pytest.approx(0.4 * SCALE.volt)
    assert SCALE.volt == pytest.approx((1.380649e-23 * 400 / (7e-13 * T)) ** 0.5)


def test_a_generator_prepares_its_noise_holds_its_label_and_is_read_at_its_pixels():
    model = tt.create_model(
        "generator", image_shape=[1, 2, 2], hidden=3, num_classes=3, t_final=2.0, dt=0.1, readout_time=0.4,
        temperature=0.2, mobility=1.5, schedule={"gain": [0.5, 1.0], "temperature": [2.0, 1.0]},
    )  # fmt: skip
    machine = analog_machine(model, label=1)
    assert machine.start.tolist() == [0.0] * 7 + [0.0, 1.0, 0.0] and analog_machine(model).start.argmax() == 7
    assert machine.held.tolist() == [False] * 7 + [True] * 3
    assert machine.read == (0, 1, 2, 3) and (machine.readout_time, machine.dt) == (pytest.approx(0.4), 0.1)
    assert machine.full_scale == (model.black, model.white) and (machine.mobility == 1.5).all()
    prepared, *parts = machine.program
    assert prepared == Segment(2.0, 0.2, 0.0) and sum(part.time for part in parts) == pytest.approx(2.0)
    assert [(part.temperature, part.gain) for part in parts] == [(s.temperature, s.gain) for s in model.segments]


def test_features_of_a_layer_are_held_units_that_push_as_they_do_in_it():
    torch.manual_seed(0)
    layer, features = tt.ThermodynamicLayer(2, 3, hidden=4, j2=0.7, j3=0.1, mobility=0.6).double(), X[:2]
    torch.nn.init.normal_(layer.potential.bias)
    machine, x = analog_machine(layer, inputs=features), torch.randn(7).double()
    field = machine.bias + machine.couplings @ torch.cat([features, x])
    expected = layer.potential.bias + layer.potential.couplings(x) - layer.input(features)
    torch.testing.assert_close(field[2:], expected.detach())
    assert torch.equal(machine.couplings, machine.couplings.T) and not machine.couplings[:2, :2].any()
    assert torch.equal(machine.start, torch.cat([features, torch.zeros(7).double()]))
    assert machine.held.tolist() == [True] * 2 + [False] * 7 and machine.read == (6, 7, 8)
    for name, number in (("j2", 0.7), ("j3", 0.1), ("j4", 1.0), ("mobility", 0.6)):
        assert getattr(machine, name)[2:].tolist() == pytest.approx([number] * 7), name
    assert machine.groups == (("input", 2), ("hidden", 4), ("output", 3)) and machine.time == pytest.approx(0.2)
