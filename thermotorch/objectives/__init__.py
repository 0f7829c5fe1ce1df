"""Pure losses and closed-form fits: how thermodynamic computers are trained, without any training loop."""

from thermotorch.objectives.closed_form import ReverseMoments, fit_closed_form
from thermotorch.objectives.online import online_update
from thermotorch.objectives.reverse_action import reverse_action

__all__ = ["ReverseMoments", "fit_closed_form", "online_update", "reverse_action"]
