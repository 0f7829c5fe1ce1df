"""A machine of the parts of Normal Computing's stochastic processing unit: LC cells on a printed circuit board."""

from dataclasses import dataclass

from thermotorch.evaluation.energy.contribution import (
    PREPARATION,
    PROGRAMMING,
    READOUT,
    STATIC,
    SWITCHING,
    TRAJECTORY,
    in_kT,
    landauer,
    modelled,
    unknown,
)
from thermotorch.evaluation.energy.ledger import Ledger, LedgerLine
from thermotorch.evaluation.energy.machine_run import MachineRun
from thermotorch.evaluation.energy.quantity import Quantity

_PAPER = "Melanson et al., Nature Communications 16, 3757 (2025)"


@dataclass(frozen=True)
class SPUBoard:
    """As many cells of that board as the machine has units, and as little about them as is published.

    Known: eight cells, each an LC resonator; noise is injected by a digital controller, because the thermal noise of
    the parts is too small; couplings are switched capacitors. Not published, as far as we found: the component values,
    the power of the board, its converters. The board runs quadratic potentials; quartic wells would be a new circuit.

        one kT of the machine is the injected noise's energy:   kT = capacitance x noise_voltage^2

    What has no number stays without one, so that the total is a lower bound; it is for scale, not for quoting.
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

    def ledger(self, model: str, run: MachineRun) -> Ledger:
        """All lines, and Landauer's bound for one bit a pixel."""
        kT = self.capacitance * self.noise_voltage * self.noise_voltage
        lines: tuple[LedgerLine, ...] = (
            in_kT(TRAJECTORY, run.heat, kT, f"assumption for the cells of {_PAPER}",
                  f"{run.heat:.5g} kT at {kT.value:.2g} J, {run.units} cells"),
            in_kT(PREPARATION, run.preparation, kT, f"assumption for the cells of {_PAPER}",
                  f"{run.preparation:.5g} kT; the controller that makes the noise is not priced"),
            unknown(SWITCHING, f"the energy of the switched capacitors is not in {_PAPER}"),
            modelled(READOUT, self.joule_per_conversion * run.read_units, self.joule_per_conversion.source,
                     f"{run.read_units} conversions"),
            unknown(PROGRAMMING, f"the energy of the controller is not in {_PAPER}"),
            unknown(STATIC, f"the power of the board is not in {_PAPER}"),
        )  # fmt: skip
        return Ledger(model, self.name, (*lines, landauer(run.read_units)))
