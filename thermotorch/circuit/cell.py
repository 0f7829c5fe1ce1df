"""A rendering of one unit from devices: diodes for the well, MOS differential pairs for linear currents.

    well        two strings of two diodes, antiparallel, with a resistor in series: 2 I_S sinh(w / (2 V_T)), w = v - R I
    its slope   a differential pair with positive feedback takes off the diodes' linear conductance, and more of it
                where the well is double
    couplings   a differential pair for each direction of a bond, with its gate at the other unit

Pairs are five-transistor transconductors of level-1 MOSFETs with overdrive V_ov: transconductance tail / V_ov, linear
within a few tenths of V_ov. Noise is injected, at `Scale.kelvin`: the thermal noise of the nodes alone moves a unit by
less than a millivolt, where diodes are straight lines.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from thermotorch.arguments import number_of
from thermotorch.circuit.netlist import READ, WAVEFORM
from thermotorch.circuit.ngspice import run_netlist
from thermotorch.circuit.scale import Scale

CELL_SCALE = Scale(0.03, second=1e-8, kelvin=3e6, supply=1.8)  # x = 1 is 83 mV
_NMOS, _PMOS = 1e-4, 4e-5  # KP, A/V^2
_POINTS = 301  # of a sweep
MODELS = (
    ".model well d(is=1 n=1)",  # the area of a diode is its I_S in ampere
    f".model nch nmos(level=1 vto=0.4 kp={_NMOS:g} lambda=0.02)",
    f".model pch pmos(level=1 vto=-0.4 kp={_PMOS:g} lambda=0.02)",
)


@dataclass(frozen=True)
class Cell:
    """Component values of a well; the defaults were fitted to the square law by least squares within |x| < 1.2.

    Args:
        saturation: I_S of each diode, ampere.
        resistance: R in series with the diodes, ohm.
        tail: tail current of the pair that takes their slope off, ampere.
        overdrive: V_ov of its transistors, volt.
        trim: current into the node that takes off the offset of the pair, whose mirror is not in balance, ampere.

    Raises:
        ValueError: a number that is not positive, but for the trim.
    """

    saturation: float = 6.478e-6
    resistance: float = 378.6
    tail: float = 41.77e-6
    overdrive: float = 0.2
    trim: float = -0.2484e-6

    def __post_init__(self) -> None:
        number_of("trim", self.trim, signed=True)
        for name in ("saturation", "resistance", "tail", "overdrive"):
            number_of(name, getattr(self, name), positive=True)


SINGLE_WELL = Cell()  # j2 = 1/2, j4 = 1
DOUBLE_WELL = Cell(6.426e-6, 384.6, 49.37e-6, trim=-0.2936e-6)  # j2 = -1/2, j4 = 1


RAILS = ("vdd", "vss")


def transconductor(
    name: str, plus: str, minus: str, out: str, tail: float, overdrive: float, rails: tuple[str, str] = RAILS
) -> Iterator[str]:
    """Yield a five-transistor transconductor that drives (tail / overdrive) (v_plus - v_minus) into `out`.

    Args:
        name: suffix of its elements and inner nodes.
        plus, minus, out: nodes.
        tail: supply current at all times, ampere.
        overdrive: V_ov of the pair in balance, volt; it sets the widths of the transistors.
        rails: nodes of the two supplies.
    """
    top, bottom = rails
    square = tail / overdrive**2
    pair, mirror = f"nch w={square / _NMOS:.6g} l=1", f"pch w={square / _PMOS:.6g} l=1"
    yield f"Mp{name} d{name} {plus} s{name} s{name} {pair}"
    yield f"Mm{name} {out} {minus} s{name} s{name} {pair}"
    yield f"Md{name} d{name} d{name} {top} {top} {mirror}"
    yield f"Mo{name} {out} d{name} {top} {top} {mirror}"
    yield f"It{name} s{name} {bottom} dc {tail:.6g}"


def well(cell: Cell, unit: int, rails: tuple[str, str] = RAILS) -> Iterator[str]:
    """Yield the well of the unit at node `x<unit>`."""
    x, y = f"x{unit}", f"w{unit}"
    yield f"Rw{unit} {x} {y} {cell.resistance:.6g}"
    for string, (top, bottom) in enumerate(((y, "0"), ("0", y))):
        yield f"Da{unit}_{string} {top} y{unit}_{string} well area={cell.saturation:.6g}"
        yield f"Db{unit}_{string} y{unit}_{string} {bottom} well area={cell.saturation:.6g}"
    yield from transconductor(f"w{unit}", x, "0", x, cell.tail, cell.overdrive, rails)
    source, sink = (rails[0], x) if cell.trim > 0 else (x, rails[1])
    yield f"Iw{unit} {source} {sink} dc {abs(cell.trim):.6g}"


class CellCurve(NamedTuple):
    """A measured sweep; reduced units, but for the supply current."""

    state: Tensor  # [point], x
    force: Tensor  # [point], dV/dx
    supply: Tensor  # [point], ampere out of the positive supply


def measure(elements: Sequence[str], reach: float = 1.5) -> CellCurve:
    """Return the current that elements draw from node x0 at each voltage of it, by a DC sweep in ngspice.

    Args:
        elements: lines of a netlist.
        reach: largest state on either side.

    Raises:
        ValueError: a reach beyond the supply.
        FileNotFoundError: ngspice is not installed.
    """
    state, waves = _swept(elements, reach)
    return CellCurve(state, -waves["i(vx)"] / (CELL_SCALE.siemens * CELL_SCALE.volt), -waves["i(vdd)"])


def measure_pair(overdrive: float) -> tuple[Tensor, Tensor]:
    """Return states and the answer of a coupling pair of unit strength to each, [point] each, by ngspice.

    A linear coupling answers x. By the square law a pair answers x sqrt(1 - (u x / 2 V_ov)^2), up to V_ov / u; its
    answer to zero is the offset of a mirror that is not in balance.

    Args:
        overdrive: V_ov, volt.

    Raises:
        FileNotFoundError: ngspice is not installed.
    """
    tail = CELL_SCALE.siemens * number_of("overdrive", overdrive, positive=True)
    state, waves = _swept([*transconductor("p", "x0", "0", "out", tail, overdrive), "Vout out 0 dc 0"])
    return state, waves["i(vout)"] / (CELL_SCALE.siemens * CELL_SCALE.volt)


def _swept(elements: Sequence[str], reach: float = 1.5) -> tuple[Tensor, Mapping[str, Tensor]]:
    """Return the states of a sweep of node x0, [point], and the waveforms over them; errors as in `measure`."""
    volts, half = number_of("reach", reach, positive=True) * CELL_SCALE.volt, CELL_SCALE.supply / 2
    if volts > half:
        raise ValueError(f"reach: x = {reach:g} is {volts:.3g} V, and half the supply is {half:g} V")
    lines = [
        "* DC sweep of a cell, by thermotorch; run with ngspice -b", *MODELS, f"Vdd vdd 0 dc {half:g}",
        f"Vss vss 0 dc {-half:g}", *elements, "Vx x0 0 dc 0",
        ".options reltol=1e-6 abstol=1e-13 vntol=1e-9 gmin=1e-15", ".control",
        f"dc Vx {-volts:.12g} {volts:.12g} {2 * volts / (_POINTS - 1):.12g}",
        f"echo unit x > {READ}", f"write {WAVEFORM}", "quit", ".endc", ".end",  # the first is a stub
    ]  # fmt: skip
    waves = run_netlist("\n".join(lines) + "\n").waveforms
    return torch.linspace(-reach, reach, _POINTS, dtype=torch.float64), waves
