"""The ideal rendering: capacitors, behavioural conductances, transconductors and Johnson noise, for ngspice.

    unit i                C dv_i/dt = -mu_i G0 u (2 j2 x_i + 3 j3 x_i^2 + 4 j4 x_i^3 + gain (b_i + (J x)_i)) + noise
    noise                 current of two-sided density 2 k_B (kelvin) mu_i G0 T(t) / T, in steps of `step`

The noise is a broken line through independent normals, so that its band ends at 1 / (2 step): a mode of rate k is too
cold by a fraction 7 k step / 15. ngspice 39 draws it from its process number, whatever the seed: every run is another
sample. Nodes are numbered, so that no name of a model reaches the simulator but in comments.
"""

import re
from collections.abc import Iterator
from itertools import accumulate
from math import sqrt

from thermotorch.arguments import count_of
from thermotorch.circuit.elements import METERS, elements, meters
from thermotorch.circuit.fitting import noise_step
from thermotorch.circuit.machine import AnalogMachine
from thermotorch.circuit.scale import Scale

READ, WAVEFORM, ENERGY = "read.txt", "waveform.raw", "energy.txt"  # files that ngspice writes beside the netlist
_ENDING = 1e-9  # of the run, by which the last knob is turned late


def netlist(
    machine: AnalogMachine,
    scale: Scale | None = None,
    *,
    step: float | None = None,
    bits: int | None = None,
    waveform: bool = True,
    metered: bool = False,
    reltol: float = 1e-4,
    name: str = "machine",
) -> str:
    """Return a self-contained netlist of one run; `ngspice -b` on it writes `read.txt` and `waveform.raw`.

    Args:
        machine: see `analog_machine`.
        scale: volts and seconds, by default those of `rc_analog` at the machine's temperature.
        step: time step of the noise, reduced; by default the machine's, or a shorter one if its units are faster.
        bits: resolution of the converter over `machine.full_scale`; None reads exactly.
        waveform: True to keep every node at every time.
        metered: add the integrals of `meters`, whose last values go to `energy.txt`; a run takes longer.
        reltol: relative tolerance of the solver.
        name: name of the machine in the head of the netlist.

    Raises:
        ValueError: units that do not fit, with the number.
    """
    scale = scale or Scale(machine.temperature)
    step = noise_step(machine, scale, step)
    current = scale.siemens * scale.volt
    lines = [
        *_head(machine, scale, step, name),
        f".options reltol={reltol:g} vntol={1e-5 * scale.volt:.3g} abstol={1e-6 * current:.3g} "
        f"chgtol={1e-6 * scale.farad * scale.volt:.3g}",
        *_knobs(machine, scale),
    ]
    for unit in range(machine.units):
        lines += elements(machine, scale, step, unit, metered)
    if metered:
        lines += meters(machine, scale)
    lines += control(machine, scale, step, "" if waveform else None, bits, metered)
    return "\n".join(lines) + "\n"


def _head(machine: AnalogMachine, scale: Scale, step: float, name: str) -> Iterator[str]:
    yield f"* {_comment(name)}: {machine.units} units, by thermotorch; run with ngspice -b"
    yield f"* x = 1 is {scale.volt:.6g} V, one reduced time unit {scale.second:.6g} s, energy unit {scale.joule:.6g} J"
    yield f"* C = {scale.farad:g} F, G0 = {scale.siemens:.6g} S, {scale.kelvin:g} K, supply {scale.supply:g} V"
    yield f"* noise in steps of {step * scale.second:.6g} s"
    ends = list(accumulate(size for _, size in machine.groups))
    for (group, size), end in zip(machine.groups, ends, strict=True):
        yield f"* x{end - size} ... x{end - 1}: {_comment(group)}"


def _comment(text: str) -> str:
    return re.sub(r"[^\w .,()\[\]-]", "_", text, flags=re.ASCII)[:80]


def _knobs(machine: AnalogMachine, scale: Scale) -> Iterator[str]:
    """Yield the sources that say the gain of the couplings and the amplitude of the noise, where they change."""
    top = machine.temperature
    knobs = {"gain": [segment.gain for segment in machine.program]} if machine.switched else {}
    if machine.heated:
        knobs["heat"] = [sqrt(segment.temperature / top) for segment in machine.program]
    ends = list(accumulate(segment.time * scale.second for segment in machine.program))
    for knob, values in knobs.items():
        points = [0.0, values[0]]
        for end, before, after in zip(ends, values, values[1:], strict=False):
            points += [end, before, end + _ENDING * ends[-1], after]
        yield f"V{knob} {knob} 0 pwl({' '.join(f'{point:.12g}' for point in points)})"


def control(
    machine: AnalogMachine, scale: Scale, step: float, kept: str | None, bits: int | None = None, metered: bool = False
) -> Iterator[str]:
    """Yield the commands: run, read, convert, write. `kept` names the waveforms to write, "" for all, None for none."""
    stop = machine.time * scale.second
    yield ".control"
    yield "set numdgt=12"
    yield f"tran {step * scale.second:.12g} {stop:.12g} 0 {step * scale.second:.12g} uic"
    yield f"echo unit x > {READ}"
    first = (machine.time - machine.readout_time) * scale.second
    for unit in machine.read:
        if machine.readout_time:
            yield f"meas tran r avg v(x{unit}) from={first:.12g} to={stop:.12g}"
            yield f"let q = r/{scale.volt:.12g}"
        else:
            yield f"let q = v(x{unit})[length(time)-1]/{scale.volt:.12g}"
        if bits is not None:
            low, high = machine.full_scale
            levels = 2 ** count_of("bits", bits) - 1
            yield f"let q = floor((q-({low:.12g}))*{levels / (high - low):.12g}+0.5)"
            yield f"let q = q lt 0 ? 0 : (q gt {levels} ? {levels} : q)"
            yield f"let q = {low:.12g}+q*{(high - low) / levels:.12g}"
        yield f'echo {unit} "$&q" >> {READ}'
    if metered:
        yield f"echo contribution kT > {ENERGY}"
        for meter in METERS:
            yield f"let q = v(m_{meter})[length(time)-1]"
            yield f'echo {meter} "$&q" >> {ENERGY}'
    if kept is not None:
        yield f"write {WAVEFORM} {kept}".rstrip()
    yield "quit"
    yield ".endc"
    yield ".end"
