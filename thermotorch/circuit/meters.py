"""Energies integrated by the simulator, by contribution, as voltages of meter nodes in multiples of the machine's kT.

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

from thermotorch.circuit.elements import field_current, well_current
from thermotorch.circuit.machine import AnalogMachine
from thermotorch.circuit.scale import DEVICE, Scale

METERS = ("noise", "wells", "bonds", "stored", "drivers", "heat", "supply")


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
