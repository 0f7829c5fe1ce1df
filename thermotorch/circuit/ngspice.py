"""Runs of ngspice, its output files, and the energies that it integrates."""

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor

from thermotorch.circuit.elements import METERS
from thermotorch.circuit.machine import AnalogMachine
from thermotorch.circuit.netlist import READ, WAVEFORM, netlist
from thermotorch.circuit.scale import Scale
from thermotorch.files import write_file

NETLIST = "machine.cir"


@dataclass(frozen=True)
class CircuitRun:
    """The result of one run of a netlist.

    Attributes:
        read: [read unit], in reduced units, as the converter gave them.
        waveforms: SI values at every accepted time by name, such as "time" and "v(x0)"; empty where none were kept.
    """

    read: Tensor
    waveforms: Mapping[str, Tensor]

    def states(self, units: int, volt: float) -> Tensor:
        """Return the units in reduced units at every accepted time, [time, unit]."""
        return torch.stack([self.waveforms[f"v(x{unit})"] for unit in range(units)], 1) / volt


def find_ngspice() -> str:
    """Return the path of ngspice.

    Raises:
        FileNotFoundError: it is not installed.
    """
    if (path := shutil.which("ngspice")) is None:
        raise FileNotFoundError("ngspice is not installed: it is the Debian package ngspice (apt-get install ngspice)")
    return path


def run_netlist(text: str, folder: Path | None = None, timeout: float | None = None) -> CircuitRun:
    """Run a netlist, and return its read-out and waveforms.

    Args:
        text: the netlist.
        folder: folder for netlist and results; None uses a temporary one.
        timeout: time limit in seconds.

    Raises:
        FileNotFoundError: ngspice is not installed.
        RuntimeError: ngspice refused the netlist or did not finish the run; the message holds its last lines.
    """
    program = find_ngspice()
    if folder is None:
        with TemporaryDirectory() as temporary:
            return run_netlist(text, Path(temporary), timeout)
    read, waveform = folder / READ, folder / WAVEFORM
    for earlier in (read, waveform):
        earlier.unlink(missing_ok=True)
    write_file(folder / NETLIST, text)
    process = subprocess.run(
        [program, "-n", "-b", NETLIST], cwd=folder, capture_output=True, text=True, timeout=timeout, check=False
    )
    output = process.stdout + process.stderr
    if not read.is_file() or "aborted" in output or "Timestep too small" in output:
        raise RuntimeError("ngspice did not finish the run: " + " / ".join(output.strip().splitlines()[-8:]))
    values = [float(line.split()[1]) for line in read.read_text().splitlines()[1:]]
    waveforms = raw_file(waveform) if waveform.is_file() else {}
    return CircuitRun(torch.tensor(values, dtype=torch.float64), waveforms)


def raw_file(path: Path) -> dict[str, Tensor]:
    """Return the vectors of a binary raw file of real numbers by name."""
    head, _, body = path.read_bytes().partition(b"Binary:\n")
    lines = head.decode("ascii", "replace").splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("Variables:"))
    names = [line.split()[1] for line in lines[at + 1 :]]
    values = np.frombuffer(body, dtype="<f8").reshape(-1, len(names))
    return {name: torch.from_numpy(values[:, column].copy()) for column, name in enumerate(names)}


@dataclass(frozen=True)
class CircuitEnergies:
    """Energies of one run, in multiples of the machine's kT.

    Attributes:
        noise: energy that the noise sources gave to the units.
        wells, bonds: energy that the wells, and that couplings and biases, took from the units; negative where given.
        stored: growth of C v^2 / 2, summed over the units.
        drivers: energy that the sources of held units gave.
        heat: heat of stochastic thermodynamics, the fall of V along the path; no electrical energy.
        supply: energy of bias currents by the formula of `RCAnalog`, along the path.
        kT: joule of one kT of the machine, k_B x `Scale.kelvin`.
        run: read-out and waveforms of the same run.
    """

    noise: float
    wells: float
    bonds: float
    stored: float
    drivers: float
    heat: float
    supply: float
    kT: float
    run: CircuitRun

    @property
    def residual(self) -> float:
        """Return sources less everything that they became, which the solver leaves: zero but for its tolerance."""
        return self.noise - self.wells - self.bonds - self.stored


def circuit_energies(
    machine: AnalogMachine, scale: Scale | None = None, *, step: float | None = None, reltol: float = 1e-6
) -> CircuitEnergies:
    """Run the netlist of a machine in ngspice and return its energies by contribution.

    Args:
        machine: see `analog_machine`.
        scale, step: as in `netlist`.
        reltol: relative tolerance of the solver; heat needs 1e-6 or less.

    Raises:
        ValueError: units that do not fit, with the number.
        FileNotFoundError: ngspice is not installed.
    """
    scale = scale or Scale(machine.temperature)
    run = run_netlist(netlist(machine, scale, step=step, metered=True, reltol=reltol))
    found = {meter: run.waveforms[f"v(m_{meter})"][-1].item() for meter in METERS}
    return CircuitEnergies(**found, kT=scale.joule * (machine.temperature or 1.0), run=run)
