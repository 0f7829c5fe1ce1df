"""The energy of both kinds of machine: modelled and measured, never in one column."""

from thermotorch.evaluation.energy.card_rows import (
    ARITHMETIC,
    HARDWARE,
    HEAT,
    JOULE,
    OVERHEAD,
    WORK,
    HardwareClass,
    arithmetic_rows,
    count_flops,
    heat_rows,
    landauer_row,
    overhead_row,
    work_row,
)
from thermotorch.evaluation.energy.ledger import LANDAUER, TOTAL, Ledger, LedgerLine

__all__ = [
    "ARITHMETIC",
    "HARDWARE",
    "HEAT",
    "JOULE",
    "LANDAUER",
    "OVERHEAD",
    "TOTAL",
    "WORK",
    "HardwareClass",
    "Ledger",
    "LedgerLine",
    "arithmetic_rows",
    "count_flops",
    "heat_rows",
    "landauer_row",
    "overhead_row",
    "work_row",
]
