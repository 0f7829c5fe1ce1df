"""The circuit elements of one unit."""

from collections.abc import Iterator
from math import sqrt

from thermotorch.circuit.machine import AnalogMachine
from thermotorch.circuit.scale import Scale
from thermotorch.units import kT_to_joule


def well_current(machine: AnalogMachine, scale: Scale, unit: int) -> str:
    """Return the current out of a unit into its well as an expression; ngspice reads v^3 as |v|^3."""
    siemens = scale.siemens * machine.mobility[unit].item()
    wells = enumerate((2 * machine.j2[unit], 3 * machine.j3[unit], 4 * machine.j4[unit]), 1)
    terms = [
        f"{factor:.12g}" + f"*v(x{unit})" * power
        for power, value in wells
        if (factor := siemens * value.item() / scale.volt ** (power - 1))
    ]
    return "+".join(terms).replace("+-", "-") or "0"


def field_current(machine: AnalogMachine, scale: Scale, unit: int) -> str:
    """Return the current out of a unit into couplings and biases as an expression."""
    siemens = scale.siemens * machine.mobility[unit].item()
    if machine.switched:
        return f"{siemens:.12g}*v(s{unit})*v(gain)"
    terms = [f"{siemens * scale.volt * machine.bias[unit].item():.12g}"]
    for other in machine.couplings[unit].nonzero().flatten().tolist():
        terms.append(f"{siemens * machine.couplings[unit, other].item():.12g}*v(x{other})")
    return "+".join(terms).replace("+-", "-")


def elements(machine: AnalogMachine, scale: Scale, step: float, unit: int, metered: bool) -> Iterator[str]:
    """Yield the lines of a unit: capacitor, well, couplings, bias and noise, or the source that holds it.

    Args:
        step: time step of the noise, reduced.
        metered: True to put an ammeter `Va` in series with the capacitor, and `Vb` in series with the noise.
    """
    start = machine.start[unit].item() * scale.volt
    if machine.held[unit]:
        yield f"V{unit} x{unit} 0 dc {start:.12g}"
        return
    siemens, farad = scale.siemens * machine.mobility[unit].item(), scale.farad * machine.sizes[unit].item()
    if metered:
        yield f"Va{unit} x{unit} c{unit} dc 0"
    yield f"C{unit} {'c' if metered else 'x'}{unit} 0 {farad:.12g} ic={start:.12g}"
    yield f"B{unit} x{unit} 0 i={well_current(machine, scale, unit)}"
    into = f"x{unit} 0"
    if machine.switched:  # fields meet on a bus of 1 / G0, and a switch lets them at the unit
        into = f"0 s{unit}"
        yield f"R{unit} s{unit} 0 {1 / siemens:.12g}"
        yield f"Bs{unit} x{unit} 0 i={field_current(machine, scale, unit)}"
    if bias := machine.bias[unit].item():
        yield f"Ib{unit} {into} dc {siemens * scale.volt * bias:.12g}"
    for other in machine.couplings[unit].nonzero().flatten().tolist():
        yield f"G{unit}_{other} {into} x{other} 0 {siemens * machine.couplings[unit, other].item():.12g}"
    if not machine.temperature:
        return
    node = f"x{unit}"
    if metered:
        node = f"b{unit}"
        yield f"Vb{unit} {node} x{unit} dc 0"
    rms = sqrt(2 * kT_to_joule(1.0, scale.kelvin) * siemens / (step * scale.second))
    if machine.heated:
        yield f"Vn{unit} n{unit} 0 dc 0 trnoise(1 {step * scale.second:.12g} 0 0)"
        yield f"Bn{unit} 0 {node} i={rms:.12g}*v(n{unit})*v(heat)"
    else:
        yield f"In{unit} 0 {node} dc 0 trnoise({rms:.12g} {step * scale.second:.12g} 0 0)"
