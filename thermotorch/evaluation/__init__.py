"""Quality, speed and energy of generators, by one protocol and side by side."""

from thermotorch.evaluation.compare import compare, evaluate
from thermotorch.evaluation.energy.meter import EnergyMeter
from thermotorch.evaluation.metrics import Metric, register_metric
from thermotorch.evaluation.physics.fluctuation import bennett, jarzynski
from thermotorch.evaluation.physics.second_law import dissipation, free_energy_bounds, second_law_rows
from thermotorch.evaluation.protocol import Protocol
from thermotorch.evaluation.quality.feature_space import FeatureSpace
from thermotorch.evaluation.quality.judged import Judged, Value
from thermotorch.evaluation.report import write_report
from thermotorch.evaluation.report.hub_folder import export_folder
from thermotorch.evaluation.results import Comparison, CurvePoint, ModelResult
from thermotorch.evaluation.speed.hardware import describe_hardware
from thermotorch.zoo.rows import Row

__all__ = [
    "Comparison",
    "CurvePoint",
    "EnergyMeter",
    "FeatureSpace",
    "Judged",
    "Metric",
    "ModelResult",
    "Protocol",
    "Row",
    "Value",
    "bennett",
    "compare",
    "describe_hardware",
    "dissipation",
    "evaluate",
    "export_folder",
    "free_energy_bounds",
    "jarzynski",
    "register_metric",
    "second_law_rows",
    "write_report",
]
