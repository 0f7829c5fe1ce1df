"""The energies of one run of a machine's netlist, integrated by ngspice."""

from dataclasses import dataclass

from thermotorch.circuit.machine import AnalogMachine
from thermotorch.circuit.meters import METERS
from thermotorch.circuit.netlist import netlist
from thermotorch.circuit.ngspice import CircuitRun, run_netlist
from thermotorch.circuit.scale import Scale


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
