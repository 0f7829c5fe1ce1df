"""The device of the papers, which spends only what thermodynamics charges for its dynamics."""

from dataclasses import dataclass

from thermotorch.evaluation.energy.contribution import ONE_KT, SIMULATED, DeviceModel, Line, in_kT, modelled
from thermotorch.evaluation.energy.ledger import LedgerLine
from thermotorch.evaluation.energy.machine_run import MachineRun
from thermotorch.evaluation.energy.quantity import Interval, Quantity
from thermotorch.units import landauer_bound


@dataclass(frozen=True)
class IdealDevice(DeviceModel):
    """Heat at 300 K, and kT ln 2 for each bit of memory that is overwritten (Landauer 1961).

        heat of the trajectory      Q = V(start) - V(end), from the simulation
        preparation of the noise    V_0(end) - V_0(start), with couplings and biases off
        switching the potential on  nothing more: this work is the heat of the two lines above (see `MachineRun`). At
                                    most what flows back to the supply in single runs, if the supply cannot take it
        read-out                    bits x read units x kT ln 2
        input and programming       bits x (couplings + biases) x kT ln 2 / samples_per_program, and the labels
        static bias current         none

    It is a lower scale for real devices, not a proposal of one.
    """

    name = "ideal"
    bits: Quantity = Quantity(
        8.0, 1.0, 8.0, "", "assumption: grey levels of MNIST are 8 bits; one bit tells black from white"
    )
    samples_per_program: Quantity = Quantity(
        1e4, 1.0, 1e9, "", "assumption: drawn before the couplings are loaded again; 10,000 is one evaluation"
    )

    def lines(self, run: MachineRun) -> tuple[LedgerLine, ...]:
        bit, kT = landauer_bound(1), Interval.exact(ONE_KT)
        program = (run.couplings + run.biases) * self.bits / self.samples_per_program + run.inputs
        return (
            in_kT(Line.TRAJECTORY, run.heat, kT, SIMULATED, f"{run.heat:.5g} kT; range: 95 % of its sampling error",
                  1.96 * run.heat_stderr),
            in_kT(Line.PREPARATION, run.preparation, kT, SIMULATED,
                  f"{run.preparation:.5g} kT, from {run.num_samples} runs"),
            modelled(Line.SWITCHING, Interval(0.0, 0.0, run.returned * ONE_KT), SIMULATED,
                     f"on average {run.work_on:.4g} kT of work to switch on and {run.work_off:.4g} kT to switch off; "
                     "over a cycle this work is the heat of the trajectory and of the preparation, and is counted "
                     "there; range: a supply that cannot take work back turns it to heat"),
            modelled(Line.READOUT, self.bits * run.read_units * bit, "Landauer's bound",
                     "overwriting the memory that takes it"),
            modelled(Line.PROGRAMMING, program * bit, "Landauer's bound",
                     f"once for {self.samples_per_program.value:,.0f} samples, the {run.inputs} labels for each"),
            modelled(Line.STATIC, Interval.exact(0.0), "by definition"),
        )  # fmt: skip
