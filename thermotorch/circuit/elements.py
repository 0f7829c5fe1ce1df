"""The circuit elements of one unit, and meters of its energies: voltages of nodes in multiples of the machine's kT.

| node | what it integrates |
| --- | --- |
| `noise` | v i that the noise sources give to the units |
| `wells` | v i that the wells take |
| `bonds` | v i that couplings and biases take |
| `stored` | v i of the capacitors, the growth of C v^2 / 2 |
| `drivers` | v i that the sources of held units give |
| `heat` | -dV/dx dx, the heat of stochastic thermodynamics: -i_C i / (mu G0), i the current down V |
| `supply` | V_dd g / (g_m/I) of every transconductance g, while it is on: the ledger's formula along the path |

The first four balance at every time, noise = wells + bonds + stored (Tellegen). The heat is no electrical dissipation,
since the potential V is not the energy C v^2 / 2 of the capacitors. An ideal transconductor takes nothing from the unit
that it reads, so that drivers give nothing.
"""

from collections.abc import Iterator
from math import sqrt

from thermotorch.circuit.machine import AnalogMachine
from thermotorch.circuit.scale import DEVICE, Scale
from thermotorch.units import kT_to_joule

METERS = ("noise", "wells", "bonds", "stored", "drivers", "heat", "supply")


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
    yield from noise(machine, scale, step, unit, metered)


def noise(machine: AnalogMachine, scale: Scale, step: float, unit: int, metered: bool) -> Iterator[str]:
    """Yield the Johnson noise of a unit; arguments as in `elements`."""
    if not machine.temperature:
        return
    siemens, node = scale.siemens * machine.mobility[unit].item(), f"x{unit}"
    if metered:
        node = f"b{unit}"
        yield f"Vb{unit} {node} x{unit} dc 0"
    rms = sqrt(2 * kT_to_joule(1.0, scale.kelvin) * siemens / (step * scale.second))
    if machine.heated:
        yield f"Vn{unit} n{unit} 0 dc 0 trnoise(1 {step * scale.second:.12g} 0 0)"
        yield f"Bn{unit} 0 {node} i={rms:.12g}*v(n{unit})*v(heat)"
    else:
        yield f"In{unit} 0 {node} dc 0 trnoise({rms:.12g} {step * scale.second:.12g} 0 0)"


def meters(machine: AnalogMachine, scale: Scale) -> Iterator[str]:
    """Yield the meter nodes, each a capacitor of one reduced time unit in farad that a source for each unit charges."""
    kT = scale.joule * (machine.temperature or 1.0)
    for meter in METERS:
        yield f"Cm_{meter} m_{meter} 0 {scale.second:.12g} ic=0"
    for unit in range(machine.units):
        for meter, watt in _powers(machine, scale, unit).items():
            yield f"Bm{unit}_{meter} 0 m_{meter} i={scale.second / kT:.12g}*({watt})"


def _powers(machine: AnalogMachine, scale: Scale, unit: int) -> dict[str, str]:
    """Return the powers of a unit as expressions, in watt."""
    v = f"v(x{unit})"
    if machine.held[unit]:
        return {"drivers": f"-{v}*i(V{unit})"}
    well, field = well_current(machine, scale, unit), field_current(machine, scale, unit)
    siemens = scale.siemens * machine.mobility[unit].item()
    slope = machine.couplings[unit].abs().sum().item()
    curved = f"{2 * abs(machine.j2[unit].item()):.12g}+{12 * machine.j4[unit].item() / scale.volt**2:.12g}*{v}*{v}"
    powers = {
        "wells": f"{v}*({well})",
        "bonds": f"{v}*({field})",
        "stored": f"{v}*i(Va{unit})",
        "heat": f"-({well}+{field})*i(Va{unit})/{siemens * machine.sizes[unit].item():.12g}",
        "supply": f"{scale.supply * siemens / DEVICE.gm_over_current.value:.12g}"
        f"*({curved}+{slope:.12g}*abs({'v(gain)' if machine.switched else '1'}))",
    }
    if machine.temperature:
        powers["noise"] = f"{v}*i(Vb{unit})"
    return powers
