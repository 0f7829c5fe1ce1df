"""Pure losses and closed-form fits for thermodynamic computers, without any training loop."""

from thermotorch.objectives.closed_form import ReverseMoments, fit_closed_form
from thermotorch.objectives.contrastive import contrastive_loss, mean_response
from thermotorch.objectives.energy_statistics import (
    energy_distance,
    energy_score,
    feature_distance,
    feature_scales,
    feature_score,
)
from thermotorch.objectives.online import online_update
from thermotorch.objectives.path_action import forward_action, guide_path, reverse_action, splitting_action

__all__ = [
    "ReverseMoments",
    "contrastive_loss",
    "energy_distance",
    "energy_score",
    "feature_distance",
    "feature_scales",
    "feature_score",
    "fit_closed_form",
    "forward_action",
    "guide_path",
    "mean_response",
    "online_update",
    "reverse_action",
    "splitting_action",
]
