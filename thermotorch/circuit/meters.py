"""Energies integrated by the simulator, by contribution, as voltages of meter nodes in multiples of the machine's kT.

| node | what it integrates |
| --- | --- |
| `heat` | -dV/dx dx, the heat of stochastic thermodynamics: -i_C i / (mu G0), i the current down V |
| `wells` | v i of the wells |
| `bonds` | v i of couplings and biases |
| `supply` | V_dd g / (g_m/I) of every transconductance g, while it is on |

The heat is no electrical dissipation: the potential V is not the energy C v^2 / 2 of the capacitors. Wells, bonds,
capacitors and noise sources share that one, and their v i add up to zero at every time (Tellegen).
"""

from collections.abc import Iterator

from thermotorch.circuit.elements import field_current, well_current
from thermotorch.circuit.machine import AnalogMachine
from thermotorch.circuit.scale import DEVICE, Scale

METERS = ("heat", "wells", "bonds", "supply")


def meters(machine: AnalogMachine, scale: Scale) -> Iterator[str]:
    """Yield the meter nodes, each a capacitor of one reduced time unit in farad that a source for each unit charges."""
    kT = scale.joule * (machine.temperature or 1.0)
    for meter in METERS:
        yield f"Cm_{meter} m_{meter} 0 {scale.second:.12g} ic=0"
    for unit in (~machine.held).nonzero().flatten().tolist():
        well, field = well_current(machine, scale, unit), field_current(machine, scale, unit)
        siemens, v = scale.siemens * machine.mobility[unit].item(), f"v(x{unit})"
        slope = machine.couplings[unit].abs().sum().item()
        curved = f"{2 * abs(machine.j2[unit].item()):.12g}+{12 * machine.j4[unit].item() / scale.volt**2:.12g}*{v}*{v}"
        powers = {
            "heat": f"-({well}+{field})*i(Va{unit})/{siemens:.12g}",
            "wells": f"{v}*({well})",
            "bonds": f"{v}*({field})",
            "supply": f"{scale.supply * siemens / DEVICE.gm_over_current.value:.12g}"
            f"*({curved}+{slope:.12g}*abs({'v(gain)' if machine.switched else '1'}))",
        }
        for meter, watt in powers.items():
            yield f"Bm{unit}_{meter} 0 m_{meter} i={scale.second / kT:.12g}*({watt})"
