"""A machine from devices as a netlist: the cells of `cell.py` as units, with meters of what its supplies give.

| meter | what it integrates, in joule |
| --- | --- |
| `wells` | v i of the rails that feed the wells |
| `bonds` | v i of the rails that feed couplings and biases |
| `noise` | v i that the injected noise gives to the units |
| `stored` | v i of the capacitors, the growth of C v^2 / 2 |

Couplings are ideal transconductors, which need no supply, or differential pairs, which draw their tail currents during
the preparation too and pull with at most |J| G0 V_ov. What makes the injected noise is not in the circuit.
"""

from collections.abc import Iterator
from typing import NamedTuple

from thermotorch.arguments import number_of
from thermotorch.circuit.cell import CELL_SCALE, DOUBLE_WELL, MODELS, SINGLE_WELL, Cell, transconductor, well
from thermotorch.circuit.elements import noise
from thermotorch.circuit.fitting import noise_step
from thermotorch.circuit.machine import AnalogMachine
from thermotorch.circuit.netlist import control
from thermotorch.circuit.ngspice import CircuitRun, run_netlist
from thermotorch.circuit.scale import Scale

METERS = ("wells", "bonds", "noise", "stored")
_CELLS = {(0.5, 0.0, 1.0): SINGLE_WELL, (-0.5, 0.0, 1.0): DOUBLE_WELL}  # (j2, j3, j4)


class CellEnergies(NamedTuple):
    """Energies of one run of a machine of cells, in joule, and the run."""

    wells: float  # from the rails of the wells
    bonds: float  # from the rails of couplings and biases
    noise: float  # that the noise sources gave to the units
    stored: float  # growth of C v^2 / 2 of the units
    run: CircuitRun  # read-out and waveforms of the same run


def cell_netlist(
    machine: AnalogMachine, scale: Scale = CELL_SCALE, *, pairs: float | None = None, step: float | None = None,
    reltol: float = 1e-4,
) -> str:  # fmt: skip
    """Return the netlist of a machine whose wells are cells of devices; `waveform.raw` holds the meters.

    Args:
        machine: one segment, or an off and an on segment, of units of the two wells that there are cells for.
        scale: must be that of the cells but for C, which follows G0.
        pairs: overdrive in volt of the differential pairs of couplings; None makes couplings ideal.
        step: time step of the noise, reduced; by default that of the machine.
        reltol: relative tolerance of the solver.

    Raises:
        ValueError: a well, mobility or program that no cell has; voltages beyond the supply, or a step too long for the
            fastest unit, with the numbers.
    """
    step = noise_step(machine, scale, machine.dt if step is None else number_of("step", step, positive=True))
    if pairs is not None:
        number_of("pairs", pairs, positive=True)
    half, second = scale.supply / 2, scale.second
    free = [unit for unit in range(machine.units) if not machine.held[unit]]
    cells = {unit: _cell_of(machine, unit) for unit in free}
    if len(machine.program) > 2 or any(part.gain not in (0.0, 1.0) for part in machine.program) or machine.heated:
        raise ValueError("machine: expected couplings that are off and then on, or on, at one temperature")
    lines = [
        f"* {machine.units} units of devices, by thermotorch; run with ngspice -b",
        f"* x = 1 is {scale.volt:.6g} V, one reduced time unit {second:.6g} s",
        f".options reltol={reltol:g} vntol=1e-7 abstol=1e-12 chgtol=1e-19 gmin=1e-15",
        *MODELS,
    ]
    for rail in ("w", "b"):
        lines += [f"Vdd{rail} vdd{rail} 0 dc {half:g}", f"Vss{rail} vss{rail} 0 dc {-half:g}"]
    for unit in range(machine.units):
        start = machine.start[unit].item() * scale.volt
        if machine.held[unit]:
            lines.append(f"V{unit} x{unit} 0 dc {start:.12g}")
            continue
        lines += [
            f"Va{unit} x{unit} c{unit} dc 0",
            f"C{unit} c{unit} 0 {scale.farad * machine.sizes[unit].item():.12g} ic={start:.12g}",
        ]
        lines += well(cells[unit], unit, rails=("vddw", "vssw"))
        lines += _bonds(machine, scale, unit, pairs)
        lines += noise(machine, scale, step, unit, metered=True)
    lines += _meters(machine, scale, free)
    if machine.switched:
        off = machine.program[0].time * second
        lines.append(f"Vgain gain 0 pwl(0 0 {off:.12g} 0 {off + 1e-3 * step * second:.12g} 1)")
    kept = [f"v(x{unit})" for unit in range(machine.units)] + [f"v(m_{meter})" for meter in METERS]
    return "\n".join([*lines, *control(machine, scale, step, " ".join(kept))]) + "\n"


def cell_energies(
    machine: AnalogMachine, scale: Scale = CELL_SCALE, *, pairs: float | None = None, step: float | None = None,
    reltol: float = 1e-4,
) -> CellEnergies:  # fmt: skip
    """Run a machine of cells in ngspice and return its energies. Arguments as in `cell_netlist`.

    Raises:
        ValueError: as `cell_netlist`.
        FileNotFoundError: ngspice is not installed.
    """
    run = run_netlist(cell_netlist(machine, scale, pairs=pairs, step=step, reltol=reltol))
    joule = {meter: run.waveforms[f"v(m_{meter})"][-1].item() * 1e-12 for meter in METERS}
    return CellEnergies(**joule, run=run)


def _cell_of(machine: AnalogMachine, unit: int) -> Cell:
    j2, j3, j4, mobility = (getattr(machine, name)[unit].item() for name in ("j2", "j3", "j4", "mobility"))
    if (j2, j3, j4) not in _CELLS or mobility != 1.0:
        raise ValueError(
            f"machine: unit {unit} has j2 = {j2:g}, j3 = {j3:g}, j4 = {j4:g}, mobility {mobility:g}; there are cells "
            "for j2 = 0.5 and -0.5 with j3 = 0, j4 = 1, mobility 1"
        )
    return _CELLS[j2, j3, j4]


def _bonds(machine: AnalogMachine, scale: Scale, unit: int, pairs: float | None) -> Iterator[str]:
    """Yield couplings and bias of a unit; a switched machine lets them at the unit through a bus that is sensed."""
    out = f"x{unit}"
    if machine.switched:
        out = f"s{unit}"
        yield f"Vs{unit} {out} 0 dc 0"
        yield f"Bs{unit} 0 x{unit} i=i(Vs{unit})*v(gain)"
    current = -machine.bias[unit].item() * scale.siemens * scale.volt
    if current > 0:
        yield f"Ib{unit} vddb {out} dc {current:.12g}"
    elif current < 0:
        yield f"Ib{unit} {out} vssb dc {-current:.12g}"
    for other in machine.couplings[unit].nonzero().flatten().tolist():
        siemens = scale.siemens * machine.couplings[unit, other].item()
        if pairs is None:
            yield f"G{unit}_{other} {out} 0 x{other} 0 {siemens:.12g}"
            continue
        plus, minus = ("0", f"x{other}") if siemens > 0 else (f"x{other}", "0")
        yield from transconductor(
            f"{unit}_{other}", plus, minus, out, abs(siemens) * pairs, pairs, rails=("vddb", "vssb")
        )


def _meters(machine: AnalogMachine, scale: Scale, free: list[int]) -> Iterator[str]:
    """Yield meter nodes: a volt is a picojoule."""
    for meter in METERS:
        yield f"Cm_{meter} m_{meter} 0 {scale.second:.12g} ic=0"
    watt = scale.second * 1e12
    for meter, rail in (("wells", "w"), ("bonds", "b")):
        power = f"v(vdd{rail})*i(Vdd{rail})+v(vss{rail})*i(Vss{rail})"
        yield f"Bm_{meter} 0 m_{meter} i=-{watt:.12g}*({power})"
    for unit in free:
        yield f"Bm{unit}_stored 0 m_stored i={watt:.12g}*v(x{unit})*i(Va{unit})"
        if machine.temperature:
            yield f"Bm{unit}_noise 0 m_noise i={watt:.12g}*v(x{unit})*i(Vb{unit})"


def supplied(machine: AnalogMachine, scale: Scale = CELL_SCALE, pairs: float | None = None) -> tuple[float, float]:
    """Return the watt that tail currents of wells, and of couplings and biases, draw by their sum."""
    free = ~machine.held
    wells = sum(_cell_of(machine, unit).tail for unit in free.nonzero().flatten().tolist())
    strength = scale.siemens * machine.couplings[free].abs().sum().item() * (pairs or 0.0)
    bias = scale.siemens * scale.volt * machine.bias[free].abs().sum().item() / 2
    return scale.supply * wells, scale.supply * (strength + bias)
