"""Machines as analog circuits: netlists for ngspice, and their simulation.

    import thermotorch as tt
    from thermotorch.circuit import analog_machine, netlist, run_netlist

    machine = analog_machine(tt.create_model("generator.digits8x8", pretrained=True), label=3)
    run = run_netlist(netlist(machine))
    run.read  # the units that are read, in reduced units

ngspice is the Debian package `ngspice`; writing a netlist does not need it.
"""

from thermotorch.circuit.machine import AnalogMachine, Segment, analog_machine, from_potential
from thermotorch.circuit.measured import MeasuredWells
from thermotorch.circuit.netlist import netlist
from thermotorch.circuit.ngspice import CircuitEnergies, CircuitRun, circuit_energies, find_ngspice, run_netlist
from thermotorch.circuit.scale import Scale

__all__ = [
    "AnalogMachine",
    "CircuitEnergies",
    "CircuitRun",
    "MeasuredWells",
    "Scale",
    "Segment",
    "analog_machine",
    "circuit_energies",
    "find_ngspice",
    "from_potential",
    "netlist",
    "run_netlist",
]
