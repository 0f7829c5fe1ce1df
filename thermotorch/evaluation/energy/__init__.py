"""The energy of both kinds of machine, modelled and measured, never in one column."""

from thermotorch.evaluation.energy.card_rows import (
    HARDWARE,
    arithmetic_rows,
    heat_rows,
    landauer_row,
    overhead_row,
    work_row,
)
from thermotorch.evaluation.energy.contribution import CONTRIBUTIONS
from thermotorch.evaluation.energy.digital_count import DigitalCount, count, count_flops
from thermotorch.evaluation.energy.digital_hardware import (
    ARITHMETIC_LINE,
    HARDWARE_CLASSES,
    digital_ledgers,
    hardware_class,
)
from thermotorch.evaluation.energy.dtca import DTCA
from thermotorch.evaluation.energy.ideal_device import IdealDevice
from thermotorch.evaluation.energy.ledger import LANDAUER, Ledger, LedgerLine
from thermotorch.evaluation.energy.machine_run import MachineRun, has_cycle, machine_run
from thermotorch.evaluation.energy.measured import Drawn, measure, measure_idle, measured_ledger
from thermotorch.evaluation.energy.quantity import Interval, Quantity, quantities
from thermotorch.evaluation.energy.ratio import Ratio, ratio
from thermotorch.evaluation.energy.rc_analog import RCAnalog
from thermotorch.evaluation.energy.sensitivity import Effect, Side, sensitivity
from thermotorch.evaluation.energy.spu_board import SPUBoard
from thermotorch.evaluation.energy.thermodynamic import DEVICES, device, thermodynamic_ledgers

__all__ = [
    "ARITHMETIC_LINE",
    "CONTRIBUTIONS",
    "DEVICES",
    "DTCA",
    "HARDWARE",
    "HARDWARE_CLASSES",
    "LANDAUER",
    "DigitalCount",
    "Drawn",
    "Effect",
    "IdealDevice",
    "Interval",
    "Ledger",
    "LedgerLine",
    "MachineRun",
    "Quantity",
    "RCAnalog",
    "Ratio",
    "SPUBoard",
    "Side",
    "arithmetic_rows",
    "count",
    "count_flops",
    "device",
    "digital_ledgers",
    "hardware_class",
    "has_cycle",
    "heat_rows",
    "landauer_row",
    "machine_run",
    "measure",
    "measure_idle",
    "measured_ledger",
    "overhead_row",
    "quantities",
    "ratio",
    "sensitivity",
    "thermodynamic_ledgers",
    "work_row",
]
