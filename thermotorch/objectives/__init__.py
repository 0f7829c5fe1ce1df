"""Pure losses and closed-form fits: how thermodynamic computers are trained, without any training loop."""

from thermotorch.objectives.closed_form import ReverseMoments, fit_closed_form
from thermotorch.objectives.forward_action import forward_action, guide_path
from thermotorch.objectives.online import online_update
from thermotorch.objectives.reverse_action import reverse_action

__all__ = [
    "ReverseMoments",
    "fit_closed_form",
    "forward_action",
    "guide_path",
    "online_update",
    "reverse_action",
]
