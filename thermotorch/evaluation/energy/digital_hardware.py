"""Classes of digital hardware: the energy of an operation and of moving a number."""

from collections.abc import Sequence
from dataclasses import dataclass

from thermotorch.evaluation.energy.contribution import landauer, modelled, unknown
from thermotorch.evaluation.energy.digital_count import NOTHING_COUNTED, DigitalCount
from thermotorch.evaluation.energy.ledger import Ledger, LedgerLine
from thermotorch.evaluation.energy.quantity import Interval, Quantity, named

ARITHMETIC_LINE = "arithmetic"
ON_CHIP = "on-chip memory traffic"
DRAM = "DRAM traffic"
WAITING = "waiting for memory"

_HOROWITZ = "Horowitz, ISSCC 2014, Fig. 1.1.9 (45 nm, 0.9 V)"
_UTILISATION = "assumption: the data sheet's peak is the value; small networks in batch one reach a twentieth or less"
_SHARE = "assumption: the board's limit at full load is the value; half of it when few units are busy"


@dataclass(frozen=True)
class CircuitClass:
    """Circuits priced by the operation: arithmetic units, memory on the chip, DRAM.

        arithmetic              flops x joule_per_flop x instruction_overhead
        on-chip memory traffic  every number that an operation reads or writes, once per operation
        DRAM traffic            weights and samples, at least once per sample each, at most weights at every use

    A number moved to or from a memory costs `bytes_per_number` times the joules of a byte there.
    """

    name: str  # in rows
    bytes_per_number: int  # in this precision
    joule_per_flop: Quantity  # half the energy of an addition and a multiplication
    instruction_overhead: Quantity  # factor over hard-wired arithmetic
    joule_per_byte: Quantity  # moved to or from the memory on the chip
    dram_joule_per_byte: Quantity

    @property
    def source(self) -> str:
        """The source of the joules of an operation, and what they omit."""
        return f"{self.joule_per_flop.source}; the arithmetic units alone, no memory"

    def ledger(self, model: str, work: DigitalCount) -> Ledger:
        """Return the ledger of one sample of the model labelled `model`, Landauer's bound last."""
        n = work.num_samples
        moved = Interval.exact(work.numbers * self.bytes_per_number / n)
        most = work.weight_numbers / n + work.sample_numbers
        fetched = Interval(most, work.least_numbers / n, max(most, work.least_numbers / n)) * self.bytes_per_number
        lines = (
            _arithmetic(self.joule_per_flop * self.instruction_overhead, work, self.joule_per_flop.source),
            modelled(ON_CHIP, self.joule_per_byte * moved, self.joule_per_byte.source,
                     f"{moved.value:.3g} bytes: every operation's inputs and outputs, once"),
            modelled(DRAM, self.dram_joule_per_byte * fetched, self.dram_joule_per_byte.source,
                     f"{fetched.value:.3g} bytes: weights at every use, and the sample; at least {fetched.low:.3g}, "
                     "each weight once"),
        )  # fmt: skip
        return Ledger(model, self.name, (*lines, landauer(work.sample_numbers)))


@dataclass(frozen=True)
class BoardClass:
    """A whole board or package at its rated power, for the time of the work at its peak rates.

        arithmetic          watt x flops / (peak x utilisation)
        waiting for memory  watt x the extra time of moving the numbers; the sum is watt x the longer of both times

    Programs stay below the peaks, so the value is a lower bound at full power, the idealised figure that is usually
    quoted. The range allows for programs that fall short and for a waiting board that draws less.
    """

    name: str  # in rows
    bytes_per_number: int  # in this precision
    watt: Quantity
    peak: Quantity  # dense operations per second in this precision
    bandwidth: Quantity  # bytes per second of its memory
    utilisation: Quantity = Quantity(1.0, 0.05, 1.0, "", _UTILISATION)  # fraction of the peak that a program reaches

    @property
    def source(self) -> str:
        """The source of the joules of an operation, and what they assume."""
        return f"{self.peak.source}, {self.watt.value:g} W; the whole board at its peak, which programs stay below"

    @property
    def joule_per_flop(self) -> Interval:
        """Joules of an operation of the whole board at its peak."""
        return self.watt / (self.peak * self.utilisation)

    def ledger(self, model: str, work: DigitalCount) -> Ledger:
        """Return the ledger of one sample of the model labelled `model`, Landauer's bound last."""
        n = work.num_samples
        arithmetic = Interval.exact(work.flops / n) / (self.peak * self.utilisation)
        moved = Interval(work.numbers / n, work.least_numbers / n, work.numbers / n) * self.bytes_per_number
        traffic, least = moved / self.bandwidth, (work.flops / n) / self.peak
        waiting = Interval(
            max(0.0, traffic.value - arithmetic.value),
            max(0.0, traffic.low - arithmetic.high),
            max(0.0, traffic.high - least.low),
        )
        lines = (
            _arithmetic(self.joule_per_flop, work, self.peak.source),
            modelled(WAITING, self.watt * waiting, self.bandwidth.source,
                     f"{moved.value:.3g} bytes if every operation goes to memory; at least {moved.low:.3g}"),
        )  # fmt: skip
        return Ledger(model, self.name, (*lines, landauer(work.sample_numbers)))


def _arithmetic(joule_per_flop: Interval, work: DigitalCount, source: str) -> LedgerLine:
    """Return the line of arithmetic, without a number if no operation was counted."""
    if not work.flops:
        return unknown(ARITHMETIC_LINE, NOTHING_COUNTED)
    flops = work.flops / work.num_samples
    return modelled(ARITHMETIC_LINE, joule_per_flop * flops, source, f"{flops:.4g} operations")


def _exact(value: float, unit: str, source: str) -> Quantity:
    return Quantity(value, value, value, unit, source)


def _circuit(name: str, size: int, add: float, multiply: float, lanes: int) -> CircuitClass:
    """Return Horowitz' circuits in one precision, with 70 pJ for an instruction of `lanes` multiply-adds."""
    flop = (add + multiply) / 2
    source = f"{_HOROWITZ}: {add * 1e12:g} pJ an addition, {multiply * 1e12:g} pJ a multiplication"
    overhead = (
        f"{_HOROWITZ}: hard-wired is the value; an instruction of a processor adds 70 pJ, for {lanes} multiply-adds"
    )
    return CircuitClass(
        name, size, _exact(flop, "J", source),
        Quantity(1.0, 1.0, 1.0 + 70e-12 / (2 * lanes * flop), "", overhead),
        Quantity(100e-12 / 8, 10e-12 / 8, 100e-12 / 8, "J",
                 f"{_HOROWITZ}: 100 pJ for 64 bits of a 1 MB memory; 10 pJ of an 8 KB one"),
        Quantity(2e-9 / 8, 1.3e-9 / 8, 2.6e-9 / 8, "J", f"{_HOROWITZ}: 1.3 to 2.6 nJ for 64 bits of DRAM"),
    )  # fmt: skip


def _board(name: str, size: int, watt: float, peak: float, bandwidth: float, sheet: str) -> BoardClass:
    return BoardClass(
        name, size,
        Quantity(watt, watt / 2, watt, "W", f"{sheet}: {watt:g} W; {_SHARE}"),
        _exact(peak, "1/s", f"{sheet}: {peak / 1e12:g} T operations a second, dense"),
        _exact(bandwidth, "B/s", f"{sheet}: {bandwidth / 1e12:g} TB a second"),
    )  # fmt: skip


_A100 = "NVIDIA A100 SXM 80 GB data sheet"
_H100 = "NVIDIA H100 SXM data sheet"
_H200 = "NVIDIA H200 SXM data sheet"
_EPYC = "AMD EPYC 7763 data sheet: 280 W, 64 cores at 2.45 GHz, 8 channels DDR4-3200; 32 operations a cycle and core"

FP32_45NM = _circuit("45 nm fp32", 4, 0.9e-12, 3.7e-12, 1)
INT8_45NM = _circuit("45 nm int8", 1, 0.03e-12, 0.2e-12, 4)
A100_FP32 = _board("A100 fp32", 4, 400.0, 19.5e12, 2.039e12, _A100)
HARDWARE_CLASSES: tuple[CircuitClass | BoardClass, ...] = (
    FP32_45NM,
    INT8_45NM,
    A100_FP32,
    _board("A100 fp16", 2, 400.0, 312e12, 2.039e12, _A100),
    _board("A100 int8", 1, 400.0, 624e12, 2.039e12, _A100),
    _board("H100 fp32", 4, 700.0, 66.9e12, 3.35e12, _H100),
    _board("H100 fp16", 2, 700.0, 989.4e12, 3.35e12, _H100),
    _board("H100 int8", 1, 700.0, 1978.9e12, 3.35e12, _H100),
    _board("H200 fp16", 2, 700.0, 989.4e12, 4.8e12, _H200),
    _board("server CPU fp32", 4, 280.0, 64 * 2.45e9 * 32, 0.2048e12, _EPYC),
)


def hardware_class(name: str) -> CircuitClass | BoardClass:
    """Return the class of hardware of that name; a ValueError lists the known ones."""
    return named("class of hardware", name, HARDWARE_CLASSES)


def digital_ledgers(
    label: str, work: DigitalCount, hardware: Sequence[CircuitClass | BoardClass] = HARDWARE_CLASSES
) -> tuple[Ledger, ...]:
    """Return the ledger of a digital model on each class of hardware.

    Args:
        label: label of the model in the comparison.
        work: `count(model, lambda: model.generate(1, ...))`, with the sampler and steps to price.
        hardware: the classes of hardware.
    """
    return tuple(kind.ledger(label, work) for kind in hardware)
