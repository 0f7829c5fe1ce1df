"""The board of RLC cells as a netlist: inductors, resistors, capacitors and injected current noise."""

from collections.abc import Iterator
from math import sqrt

from thermotorch.linear_algebra.board.circuit import Circuit


def board_netlist(circuit: Circuit, time: float, step: float, *, reltol: float = 1e-4) -> str:
    """Return the netlist of a board that starts at rest; `ngspice -b` on it writes `waveform.raw`.

    An entry c of the Maxwell matrix beside its diagonal is a capacitor -c between two cells. Reversed windings make
    that negative, as an ideal transformer does.

    Args:
        circuit: one board, with white noise.
        time, step: duration of the run and time step of the noise, in seconds.
        reltol: relative tolerance of the solver.

    Raises:
        ValueError: several boards, noise of finite bandwidth, or a step longer than a tenth of the unit of time.
    """
    if circuit.capacitance.dim() != 2 or circuit.bandwidth is not None:
        raise ValueError("circuit: expected one board with white noise")
    if step > 0.1 * circuit.units.second:
        raise ValueError(f"step: expected at most {0.1 * circuit.units.second:.3g} s, found {step:g}")
    volt, ampere = circuit.units.volt, circuit.units.ampere
    lines = [
        f"* {circuit.cells} RLC cells, by thermotorch; run with ngspice -b",
        f".options reltol={reltol:g} vntol={1e-5 * volt:.3g} abstol={1e-6 * ampere:.3g}",
        *_cells(circuit, step),
        ".control",
        f"tran {step:.12g} {time:.12g} 0 {step:.12g} uic",
        "write waveform.raw",
        "echo unit x > read.txt",
        "quit",
        ".endc",
        ".end",
    ]
    return "\n".join(lines) + "\n"


def _cells(circuit: Circuit, step: float) -> Iterator[str]:
    own = circuit.capacitance.sum(-1).tolist()
    between, rms = circuit.capacitance.tolist(), sqrt(2 * circuit.noise / step)
    for cell, (henry, ohm) in enumerate(zip(circuit.inductance.tolist(), circuit.resistance.tolist(), strict=True)):
        yield f"L{cell} x{cell} 0 {henry:.12g} ic=0"
        yield f"R{cell} x{cell} 0 {ohm:.12g}"
        yield f"C{cell} x{cell} 0 {own[cell]:.12g} ic=0"
        yield f"I{cell} 0 x{cell} dc 0 trnoise({rms:.12g} {step:.12g} 0 0)"
        for other in range(cell):
            if farad := -between[cell][other]:
                yield f"C{cell}_{other} x{cell} x{other} {farad:.12g} ic=0"
