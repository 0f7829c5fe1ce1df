"""The energy of both kinds of machine, modelled and measured, never in one column."""

from thermotorch.evaluation.energy.digital_count import count
from thermotorch.evaluation.energy.digital_hardware import digital_ledgers, hardware_class
from thermotorch.evaluation.energy.machine_run import machine_run
from thermotorch.evaluation.energy.ratio import ratio
from thermotorch.evaluation.energy.sensitivity import Side, sensitivity
from thermotorch.evaluation.energy.thermodynamic import device, thermodynamic_ledgers

__all__ = [
    "Side",
    "count",
    "device",
    "digital_ledgers",
    "hardware_class",
    "machine_run",
    "ratio",
    "sensitivity",
    "thermodynamic_ledgers",
]
