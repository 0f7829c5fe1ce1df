"""A machine made of the LC cells of Normal Computing's stochastic processing unit, on a printed circuit board."""

from dataclasses import dataclass

from thermotorch.evaluation.energy.contribution import DeviceModel, Line, in_kT, modelled, unknown
from thermotorch.evaluation.energy.ledger import LedgerLine
from thermotorch.evaluation.energy.machine_run import MachineRun
from thermotorch.evaluation.energy.quantity import Quantity

_PAPER = "Melanson et al., Nature Communications 16, 3757 (2025)"


@dataclass(frozen=True)
class SPUBoard(DeviceModel):
    """One cell of the board per unit of the machine.

    The board has eight LC resonators. A digital controller injects the noise, because the thermal noise of the parts is
    too small; couplings are switched capacitors. We found no published component values, power or converters. The board
    runs quadratic potentials; quartic wells would need a new circuit. One kT of the machine is the energy of the noise:

        kT = capacitance x noise_voltage^2

    Unpublished contributions stay without a number, so the total is a lower bound, for scale and not for quoting.
    Source: Melanson et al., Nature Communications 16, 3757 (2025).
    """

    name = "spu_board"
    capacitance: Quantity = Quantity(
        1e-8, 1e-9, 1e-7, "F", "assumption: catalogue parts of a cell of some 10 kHz to 1 MHz; not published"
    )
    noise_voltage: Quantity = Quantity(
        0.1, 0.01, 1.0, "V", "assumption: noise well above the offsets of board-level parts; not published"
    )
    joule_per_conversion: Quantity = Quantity(
        1e-8, 1e-9, 1e-6, "J", "assumption: converters with a data sheet, milliwatts at 0.1 to 1 million reads a second"
    )

    def lines(self, run: MachineRun) -> tuple[LedgerLine, ...]:
        kT = self.capacitance * self.noise_voltage * self.noise_voltage
        return (
            in_kT(Line.TRAJECTORY, run.heat, kT, f"assumption for the cells of {_PAPER}",
                  f"{run.heat:.5g} kT at {kT.value:.2g} J, {run.units} cells"),
            in_kT(Line.PREPARATION, run.preparation, kT, f"assumption for the cells of {_PAPER}",
                  f"{run.preparation:.5g} kT; the controller that makes the noise is not priced"),
            unknown(Line.SWITCHING, f"the energy of the switched capacitors is not in {_PAPER}"),
            modelled(Line.READOUT, self.joule_per_conversion * run.read_units, self.joule_per_conversion.source,
                     f"{run.read_units} conversions"),
            unknown(Line.PROGRAMMING, f"the energy of the controller is not in {_PAPER}"),
            unknown(Line.STATIC, f"the power of the board is not in {_PAPER}"),
        )  # fmt: skip
