"""The lines of a whole netlist: units, meters, knobs and commands, read back without a simulator."""

import re
from dataclasses import replace

import pytest
import torch

from tests.circuit.readback import currents
from thermotorch.circuit import Scale, Segment, from_potential, netlist
from thermotorch.circuit.elements import METERS

X = torch.tensor([0.3, -0.7, 0.9]).double()
START = torch.tensor([0.2, 0.4, -0.6]).double()
MOBILITY, SIZES = torch.tensor([0.5, 1.0, 3.0]).double(), torch.tensor([1.5, 1.0, 0.375]).double()
OTHER = {"farad": 7e-13, "second": 3e-6, "kelvin": 400.0, "supply": 1.1}


@pytest.mark.parametrize("gain", [1.0, 0.0, -1.7])
@pytest.mark.parametrize("kT", [0.0, 0.2])
def test_currents_and_meters_at_a_state_are_those_of_the_machine(three_units, gain, kT):
    """c dx = -mu (dU + gain (b + J x)) dt, and the power of each contribution, at any voltage of every node.

    A gain that is not one is switched: fields meet on a bus of their own before they reach the unit."""
    scale = Scale(kT, **OTHER)
    machine = from_potential(three_units, 2.0, 1e-3, kT, start=START, mobility=MOBILITY)
    machine = replace(machine, capacitance=SIZES, program=(Segment(1.0, kT, gain), Segment(1.0, kT)))
    text = netlist(machine, scale, step=1e-3, metered=True)
    well = 2 * machine.j2 * X + 3 * machine.j3 * X**2 + 4 * machine.j4 * X**3
    field = machine.bias + machine.couplings @ X
    noise = torch.tensor([1e-9, -2e-9, 5e-10]).double()  # ampere, as the ammeters of the noise read it
    rate = -MOBILITY * (well + gain * field) / SIZES + noise * scale.second / (SIZES * scale.farad * scale.volt)

    volts = {f"x{unit}": x.item() * scale.volt for unit, x in enumerate(X)} | {"0": 0.0, "gain": gain}
    volts |= {f"b{unit}": volts[f"x{unit}"] for unit in range(3)} | {f"m_{meter}": 0.0 for meter in METERS}
    charge = SIZES * scale.farad * scale.volt * rate / scale.second
    amperes = {f"Va{unit}": charge[unit].item() for unit in range(3)}
    amperes |= {f"Vb{unit}": noise[unit].item() for unit in range(3)}
    if gain != 1.0:  # the bus of a unit has the voltage at which its resistor takes what fields bring
        volts |= {f"s{unit}": 0.0 for unit in range(3)}
        brought = currents(text, volts, amperes)
        ohm = {line.split()[1]: float(line.split()[3]) for line in text.splitlines() if re.match(r"R\d", line)}
        volts |= {node: brought[node] * ohm[node] for node in ohm}
    found = currents(text, volts, amperes)
    given = noise if kT else torch.zeros(3).double()
    moved = torch.tensor([found[f"x{unit}"] for unit in range(3)]).double() + given
    expected = charge if kT else charge - noise
    torch.testing.assert_close(moved, expected, rtol=1e-6, atol=0)  # of numbers written with 12 digits
    if gain != 1.0:
        assert max(abs(found[f"s{unit}"]) for unit in range(3)) < 1e-6 * charge.abs().max()

    slope = 2 * machine.j2.abs() + 12 * machine.j4 * X**2 + abs(gain) * machine.couplings.abs().sum(1)
    powers = {
        "wells": (MOBILITY * X * well).sum(),
        "bonds": (MOBILITY * X * gain * field).sum(),
        "stored": (SIZES * X * rate).sum(),
        "heat": -((well + gain * field) * rate).sum(),
        "supply": 1.1 / scale.volt**2 * (MOBILITY * slope).sum() / 20,  # 20 / V of transconductance to current
    }
    if kT:
        powers["noise"] = (X * noise).sum() * scale.second / (scale.farad * scale.volt)
    unit = {meter: found[f"m_{meter}"] / scale.second for meter in METERS if f"m_{meter}" in found}
    assert unit == pytest.approx({name: power.item() / (kT or 1.0) / scale.second for name, power in powers.items()})
    for meter in METERS:  # a volt is one kT
        assert f"Cm_{meter} m_{meter} 0 {scale.second:.12g} ic=0" in text.splitlines()


def test_held_units_are_sources_and_others_capacitors_at_their_start(three_units):
    """Without meters, a capacitor sits at the unit itself; a source in series would read its current."""
    held, scale = torch.tensor([False, True, False]), Scale(0.2, **OTHER)
    machine = from_potential(three_units, 2.0, 1e-3, 0.2, start=START, held=held, mobility=MOBILITY)
    machine = replace(machine, capacitance=SIZES)
    for metered, node in ((False, "x"), (True, "c")):
        text = netlist(machine, scale, step=1e-3, metered=metered)
        found = re.findall(r"^C(\d) (\w+) 0 (\S+) ic=(\S+)", text, re.MULTILINE)
        assert [line[:2] for line in found] == [("0", f"{node}0"), ("2", f"{node}2")]
        assert [float(line[2]) for line in found] == pytest.approx([1.5 * 7e-13, 0.375 * 7e-13], rel=1e-9, abs=0)
        assert [float(line[3]) for line in found] == pytest.approx([0.2 * scale.volt, -0.6 * scale.volt])
        ((name, value),) = re.findall(r"^V(\d) x1 0 dc (\S+)$", text, re.MULTILINE)
        assert name == "1" and float(value) == pytest.approx(0.4 * scale.volt)
        meters = re.findall(r"^V([ab]\d) (\w+) (\w+) dc 0$", text, re.MULTILINE)
        expected = [("a0", "x0", "c0"), ("b0", "b0", "x0"), ("a2", "x2", "c2"), ("b2", "b2", "x2")]
        assert meters == (expected if metered else [])
        sources = re.findall(r"^In(\d) 0 (\w+) ", text, re.MULTILINE)
        assert sources == ([("0", "b0"), ("2", "b2")] if metered else [("0", "x0"), ("2", "x2")])
    assert "Bm1_drivers 0 m_drivers" in text and "*i(V1))" in text
    drivers = currents(
        text,
        dict.fromkeys(["x0", "x1", "x2"], 0.5) | {"0": 0.0},
        dict.fromkeys(["Va0", "Va2", "Vb0", "Vb2", "V1"], 3.0),
    )["m_drivers"]
    assert drivers == pytest.approx(-0.5 * 3.0 * scale.second / (scale.joule * 0.2))


def test_a_machine_without_noise_has_no_sources_of_it(three_units):
    machine = from_potential(three_units, 2.0, 1e-3, 0.0)
    assert "trnoise" not in netlist(machine) and "m_noise" in netlist(machine, metered=True)


def test_the_gain_is_turned_where_a_segment_ends(three_units):
    machine = from_potential(three_units, 2.0, 1e-3, 0.1)
    program = (Segment(0.5, 0.1, 0.0), Segment(0.25, 0.1, 1.5), Segment(1.25, 0.1, 1.0))
    machine = replace(machine, program=program)
    (points,) = re.findall(r"^Vgain gain 0 pwl\((.*)\)", netlist(machine, Scale(0.1, **OTHER)), re.MULTILINE)
    times, values = torch.tensor([float(point) for point in points.split()], dtype=torch.float64).view(-1, 2).T
    assert values.tolist() == [0.0, 0.0, 1.5, 1.5, 1.0]
    expected = torch.tensor([0.0, 0.5, 0.5, 0.75, 0.75]).double()
    torch.testing.assert_close(times / 3e-6, expected, rtol=0, atol=1e-6)  # a turn takes a moment, see below
    assert (times.diff() > 0).all() and "Vheat" not in netlist(machine)


def test_the_commands_convert_and_write_what_was_asked_for(three_units):
    """A converter of b bits has 2^b levels from one end of its scale to the other."""
    machine = from_potential(three_units, 2.0, 1e-3, 0.1, start=START, read=[2, 0])
    machine = replace(machine, full_scale=(-0.35, 0.95))
    text = netlist(machine, Scale(0.1, **OTHER), step=0.002, bits=3, reltol=3e-5)
    volt = Scale(0.1, **OTHER).volt
    reads = re.findall(r"^let q = v\(x(\d)\)\[length\(time\)-1\]/(\S+)$", text, re.MULTILINE)
    assert [unit for unit, _ in reads] == ["2", "0"] and float(reads[0][1]) == pytest.approx(volt)
    assert re.findall(r'^echo (\S+) "\$&q" >> read.txt$', text, re.MULTILINE) == ["2", "0"]
    first, clip, last = re.findall(r"^let q = ([^v\n].*)$", text, re.MULTILINE)[:3]
    assert clip == "q lt 0 ? 0 : (q gt 7 ? 7 : q)"
    for state, level in ((-0.35, 0), (-0.35 + 1.3 / 7 * 2.4, 2), (-0.35 + 1.3 / 7 * 2.6, 3), (0.95, 7)):
        code = eval(first, {"q": state, "floor": lambda value: value // 1})
        assert code == level
        assert eval(last, {"q": code}) == pytest.approx(-0.35 + 1.3 * level / 7)
    assert "tran 6e-09 6e-06 0 6e-09 uic" in text and ".options reltol=3e-05 " in text
    assert text.splitlines()[-4:] == ["write waveform.raw", "quit", ".endc", ".end"]
    assert netlist(machine, name="n" * 200).splitlines()[0].startswith("* " + "n" * 80 + ": 3 units")
    assert "energy.txt" not in text and "let q = floor" not in netlist(machine)
    metered = netlist(machine, metered=True, waveform=False)
    assert "write" not in metered and "echo contribution kT > energy.txt" in metered
    assert re.findall(r'^echo (\w+) "\$&q" >> energy.txt$', metered, re.MULTILINE) == list(METERS)
    assert re.findall(r"^let q = v\(m_(\w+)\)\[length\(time\)-1\]$", metered, re.MULTILINE) == list(METERS)


def test_a_scale_makes_johnson_noise_the_noise_of_the_machine():
    """C u^2 T = k_B x kelvin; a machine without noise takes the scale of T = 1."""
    scale = Scale(0.2, **OTHER)
    assert 7e-13 * scale.volt**2 * 0.2 == pytest.approx(1.380649e-23 * 400.0, rel=1e-9, abs=0)
    assert scale.joule == pytest.approx(1.380649e-23 * 400.0 / 0.2, rel=1e-9, abs=0)
    assert scale.siemens == pytest.approx(7e-13 / 3e-6, rel=1e-9, abs=0)
    assert Scale(0.0).volt == Scale(1.0).volt
