"""A machine made of Extropic's all-transistor probabilistic cells (DTCA, Z1)."""

from dataclasses import dataclass

from thermotorch.evaluation.energy.contribution import DeviceModel, Line, modelled, unknown
from thermotorch.evaluation.energy.ledger import LedgerLine
from thermotorch.evaluation.energy.machine_run import MachineRun
from thermotorch.evaluation.energy.quantity import Interval, Quantity

_DTCA = "Jelincic et al., npj Unconventional Computing 3, 30 (2026), circuit model"
_Z1 = "Extropic, arXiv:2608.01615 (2026), Table IV (SPICE, before silicon), as quoted by others"


@dataclass(frozen=True)
class DTCA(DeviceModel):
    """Energy per cell update, read and write, as its designers count it: E = updates x cells x E_cell.

    A cell is one binary unit with few neighbours; the machine has continuous units with many. The mapping between them
    is an assumption in every line:

        updates   `updates_per_time` per unit of time 1 / mu, for the run and for the noise before it
        cells     `cells_per_unit` binary cells per unit, and at least 2 couplings / `degree`, since a cell has `degree`
                  couplings. Nobody has shown that sparse cells can do what the dense machine does
        reads     all cells of a read unit per sample
        writes    all cells once per `samples_per_program` samples

    E_cell holds the random bit (350 aJ, the only measured number), bias, clock and wires of a cell, so the bias current
    has no line of its own. The switching of couplings for each sample is not published.
    """

    name = "dtca"
    joule_per_update: Quantity = Quantity(
        2e-15, 1.3e-15, 7.09e-15, "J", f"{_DTCA}: 2 fJ, and 1.3 fJ implied by its 1.6 nJ a step; high: {_Z1}"
    )
    joule_per_read: Quantity = Quantity(
        1.692e-12, 1.692e-13, 1.692e-11, "J", f"{_Z1}; range: assumption, a factor of ten, as nothing was measured"
    )
    joule_per_write: Quantity = Quantity(
        153.6e-12, 15.36e-12, 1536e-12, "J", f"{_Z1}; range: assumption, a factor of ten, as nothing was measured"
    )
    degree: Quantity = Quantity(12.0, 8.0, 16.0, "", f"{_DTCA}: 12; 8 to 16 in its table and on Z1")
    cells_per_unit: Quantity = Quantity(
        1.0, 1.0, 8.0, "", "assumption: one binary cell for a continuous unit, to one for each bit of a pixel"
    )
    updates_per_time: Quantity = Quantity(
        10.0, 1.0, 100.0, "mu x energy unit",
        "assumption: ten updates for each unit of time, the step in the simulation of generator.mnist; 1 to 100",
    )  # fmt: skip
    samples_per_program: Quantity = Quantity(
        1e4, 1.0, 1e9, "", "assumption: drawn before the couplings are loaded again; 10,000 is one evaluation"
    )

    def cells(self, run: MachineRun) -> Interval:
        """Return the number of cells that represent the machine."""
        needed = 2.0 * run.couplings / self.degree
        plain = self.cells_per_unit * run.units
        return Interval(*(max(getattr(needed, end), getattr(plain, end)) for end in ("value", "low", "high")))

    def lines(self, run: MachineRun) -> tuple[LedgerLine, ...]:
        cells = self.cells(run)
        update = cells * self.updates_per_time * self.joule_per_update
        write = cells / self.samples_per_program + self.cells_per_unit * run.inputs
        rate = self.updates_per_time.value
        mapped = f"{cells.value:,.0f} cells for {run.units:,} units, {rate:g} updates a unit of time"
        return (
            modelled(Line.TRAJECTORY, update * run.run_time, self.joule_per_update.source,
                     f"{mapped}: assumed, and so is that they do the machine's work"),
            modelled(Line.PREPARATION, update * run.noise_time, self.joule_per_update.source,
                     f"{mapped}, couplings off"),
            unknown(Line.SWITCHING, "not published: how the couplings of the cells are switched for each sample"),
            modelled(Line.READOUT, self.cells_per_unit * self.joule_per_read * run.read_units,
                     self.joule_per_read.source,
                     f"{self.cells_per_unit.value:g} cells for each of {run.read_units} pixels"),
            modelled(Line.PROGRAMMING, write * self.joule_per_write, self.joule_per_write.source,
                     f"all cells once for {self.samples_per_program.value:,.0f} samples, {run.inputs} labels for each"),
            modelled(Line.STATIC, Interval.exact(0.0), _DTCA, "in the energy of an update"),
        )  # fmt: skip
