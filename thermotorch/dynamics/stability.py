"""Checks before a run: a warning about the time step, and an error for a parameter that is not finite."""

import warnings

import torch

from thermotorch.dynamics.problem import Problem
from thermotorch.transforms import values_hidden

_EXACT_FLOWS_REACH = 2.0  # ratio of the step to stable_dt at which splitting errors of heat and variances reach 10 %


class StabilityWarning(UserWarning):
    """A dt beyond the linear stability bound of the potential, or beyond twice it for schemes of exact flows."""


def look_ahead(problem: Problem, *, stacklevel: int) -> None:
    """Refuse parameters that are not finite, and warn of a time step that is too long for its scheme.

    Schemes such as Euler-Maruyama diverge beyond `potential.stable_dt`. Exact flows do not, but their splitting error
    grows: at twice that step heat and variances of random machines are wrong by about 10 %, at ten times by orders of
    magnitude. Uncoupled quadratic units are exact at any step.

    Raises:
        ValueError: a parameter or buffer that is not finite.

    Cost: a few passes over the state, and about 20 coupling fields if a cheap lower bound of `stable_dt` is exceeded.
    """
    potential = problem.potential
    if values_hidden() or not len(problem.state) or not potential.quartic:  # the stability of others is unknown
        return
    drive = None if problem.drive is None else problem.drive(problem.start_step).detach()
    mobility = problem.mobility
    step = problem.dt * (mobility if isinstance(mobility, float) else float(torch.as_tensor(mobility).max()))
    arguments = (problem.state.detach(), drive, problem.temperature)
    exact = problem.integrator.exact_flows
    step = step / _EXACT_FLOWS_REACH if exact else step
    if step <= potential.stable_dt_bound(*arguments):  # enough for most runs
        return
    if exact and not (potential.couplings.coupled or potential.j4.any()):
        return
    stable = potential.stable_dt(*arguments)
    if step <= stable:
        return
    actual, suggested = f"dt x mobility = {step * (_EXACT_FLOWS_REACH if exact else 1):.3g}", stable * problem.dt / step
    if exact:
        message = (
            f"{actual} is beyond twice the linear stability bound {stable:.3g} of this potential: "
            f"integrator={problem.integrator_name!r} stays finite, but heat and variances may be wrong by 10 % or "
            f"more; try dt={suggested / _EXACT_FLOWS_REACH:.2g}"
        )
    else:
        message = (
            f"{actual} is beyond the linear stability bound {stable:.3g} of this potential; "
            f"the run may diverge, try dt={0.5 * suggested:.2g}"
        )
    warnings.warn(message, StabilityWarning, stacklevel=stacklevel)
