"""A circuit that could be built: thermal RC nodes, coupled by transconductors and read by converters."""

from dataclasses import dataclass
from math import sqrt

from thermotorch.evaluation.energy.contribution import ONE_KT, SIMULATED, DeviceModel, Line, in_kT, modelled
from thermotorch.evaluation.energy.ledger import LedgerLine
from thermotorch.evaluation.energy.machine_run import MachineRun
from thermotorch.evaluation.energy.quantity import Interval, Quantity

_HOROWITZ = "Horowitz, ISSCC 2014, Fig. 1.1.9 (45 nm, 0.9 V)"


@dataclass(frozen=True)
class RCAnalog(DeviceModel):
    """Unit i is the voltage v_i = u x_i on a capacitance C, charged through conductances that the potential sets:

        C dv_i/dt = -G0 u dV/dx_i + noise,    so that one reduced time unit, 1 / mu, is tau = C / G0

    The noise of temperature T (in the energy unit) is that of a conductance G0 at r times room temperature, r =
    `noise_ratio`. Its current has the two-sided spectrum 2 k_B (r 300 K) G0, which must be 2 T (u C)^2 / tau. Hence

        C u^2 T = r kT      voltage scale     u = sqrt(r kT / (C T)),   kT at 300 K
                            energy scale      C u^2 = r kT / T: a heat of q multiples of the machine's kT is q r kT

    The heat of a circuit is the v i of its conductances, less what their noise gives. It is not the fall of V, the heat
    of the ideal device: nodes store C v^2 / 2 whatever V is, and couplings that hold a unit up against its well give it
    v i all the time. Of a run it is `drive` - `stored` of `MachineRun`, and `stored` of the way back to noise. The
    circuit adds:

        static bias current  A transconductance g draws the bias current g / (g_m/I) from the supply at all times, and
                             the v i above is a part of it. Couplings need G0 sum_ij |J_ij|, both directions of every
                             bond between units that move, while they are on; wells G0 w sum_i (2 |j2| + 12 j4 <x_i^2>),
                             w = `well_overhead`, in the preparation too. With G0 = C / tau, tau cancels:

                                 E = V_dd C / (g_m/I) x (coupling_slope t_run + w well_slope (t_run + t_noise))

                             The range begins at passive resistors, sum |J_ij| <(x_i -+ x_j)^2> t_run r kT / T, which
                             allow only stiff potentials and add noise of their own.
        switching            one gate of `switch_capacitance` per coupling and bias, charged once: C_s V_dd^2
        read-out             2^bits conversion steps of `joule_per_step` (Walden's figure of merit) per read unit
        programming          bits x (couplings + biases) written to local memory once per `samples_per_program`
                             samples; labels for each sample

    It omits amplifying u to the range of the converter, calibration against mismatch of transistors (millivolts, while
    u is of the order of one), leakage, clocks, and moving pixels off the chip. A real chip therefore needs more.
    """

    name = "rc_analog"
    capacitance: Quantity = Quantity(
        2e-13, 1e-14, 2e-12, "F",
        "assumption: a node that meets hundreds of couplings, 0.2 fF of wire for each um between; from 50 um to 1 cm",
    )  # fmt: skip
    noise_ratio: Quantity = Quantity(
        1.0, 1.0, 1e4, "",
        "assumption: thermal noise; 1e4 lifts the voltages a hundredfold, above the mismatch of transistors",
    )  # fmt: skip
    mobility_time: Quantity = Quantity(
        1e-6, 1e-9, 1e-6, "s", "1/mu as quoted for the machines of Whitelam: microseconds (circuits) to nanoseconds"
    )
    supply: Quantity = Quantity(0.8, 0.4, 1.8, "V", "assumption: supplies of CMOS circuits, sub-threshold to 180 nm")
    gm_over_current: Quantity = Quantity(
        20.0, 5.0, 27.0, "1/V",
        "assumption: weak inversion, bounded by q / (n kT) = 28 / V at slope factor n = 1.4; 5 / V is strong inversion",
    )  # fmt: skip
    well_overhead: Quantity = Quantity(
        1.7, 1.0, 4.1, "",
        "ngspice, cells of docs/circuit.md: bias current over that of a transconductor of the well's slope, of the 96 "
        "cells of generator.digits8x8; 4.1 of a single and a double well alone; assumption: at least that of the slope",
    )  # fmt: skip
    switch_capacitance: Quantity = Quantity(
        1e-15, 1e-16, 1e-14, "F", "assumption: gate and wire of a minimum switch, to a long shared line"
    )
    joule_per_step: Quantity = Quantity(
        1e-14, 2.2e-15, 1e-13, "J",
        "ADC surveys (Murmann; Jonsson 2013): record of 2013 2.2 fJ; assumption: 10 fJ good, 100 fJ ordinary",
    )  # fmt: skip
    bits: Quantity = Quantity(
        8.0, 4.0, 10.0, "", "assumption: grey levels of MNIST are 8 bits; both of reads and couplings"
    )
    joule_per_bit: Quantity = Quantity(
        10e-12 / 64, 0.1e-12 / 64, 2.6e-9 / 64, "J",
        f"{_HOROWITZ}: 10 pJ for 64 bits of an 8 KB memory; from DRAM 2.6 nJ; assumption: a hundredth if held in place",
    )  # fmt: skip
    samples_per_program: Quantity = Quantity(
        1e4, 1.0, 1e9, "", "assumption: drawn before the couplings are loaded again; 10,000 is one evaluation"
    )

    def voltage(self, run: MachineRun) -> float:
        """Return u in volts per unit of x."""
        return sqrt(self.noise_ratio.value * ONE_KT / (self.capacitance.value * run.temperature))

    def seconds(self, run: MachineRun) -> Interval:
        """Return the duration of noise and run in seconds."""
        return self.mobility_time * (run.noise_time + run.run_time)

    def static(self, run: MachineRun) -> Interval:
        """Return the energy E of the bias current; the dissipation of resistors is its lower end."""
        wells = self.well_overhead * (run.well_slope * (run.run_time + run.noise_time))
        slope_time = wells + run.coupling_slope * run.run_time
        active = self.supply * self.capacitance * slope_time / self.gm_over_current
        return Interval(active.value, min(active.low, self.passive(run)), active.high)

    def passive(self, run: MachineRun) -> float:
        """Return the joules per sample that resistors instead of couplings dissipate at the voltages of the run."""
        return run.coupling_loss * run.run_time * self.noise_ratio.value * ONE_KT / run.temperature

    def lines(self, run: MachineRun) -> tuple[LedgerLine, ...]:
        kT, seconds = self.noise_ratio * ONE_KT, self.seconds(run)
        numbers = run.couplings + run.biases
        gates = self.switch_capacitance * self.supply * self.supply * numbers
        heat = run.drive - run.stored
        program = (numbers / self.samples_per_program + float(run.inputs)) * self.bits * self.joule_per_bit
        return (
            in_kT(Line.TRAJECTORY, heat, kT, SIMULATED,
                  f"{heat:.5g} kT of v i at {self.noise_ratio.value:g} times 300 K, a part of the bias current; V "
                  f"falls by {run.heat:.5g} kT; {self.voltage(run) * 1e3:.2g} mV for x = 1 on "
                  f"{self.capacitance.value * 1e15:.3g} fF"),
            in_kT(Line.PREPARATION, run.stored, kT, SIMULATED,
                  f"C v^2 / 2 of the nodes, {run.stored:.5g} kT; the bias current of this time is in its own line"),
            modelled(Line.SWITCHING, gates, "charging one gate for each coupling and bias",
                     "what couplings then give to the nodes is in the heat and in the bias current"),
            modelled(Line.READOUT, self.bits.exp2() * self.joule_per_step * run.read_units, self.joule_per_step.source,
                     f"{run.read_units} conversions of {self.bits.value:g} bits"),
            modelled(Line.PROGRAMMING, program, self.joule_per_bit.source,
                     f"{numbers:,} numbers once for {self.samples_per_program.value:,.0f} samples; {run.inputs} labels "
                     f"for each"),
            modelled(Line.STATIC, self.static(run), "transconductors in class A; see RCAnalog",
                     f"during {seconds.value:.3g} s ({seconds.low:.2g} to {seconds.high:.2g}), which cancels; "
                     f"resistors at the same voltages: {self.passive(run):.2g} J"),
        )  # fmt: skip
