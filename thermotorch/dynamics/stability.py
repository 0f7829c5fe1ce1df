"""Checks before a run: a warning about the time step, and an error for a parameter that is not finite."""

import warnings
from collections import OrderedDict
from math import log2

import torch

from thermotorch.dynamics.heat_error import heat_error
from thermotorch.dynamics.problem import Problem
from thermotorch.transforms import values_hidden

_OF_NO_CONCERN = 0.5  # times the bound of stable_dt: shorter steps of exact flows are within a few per cent
_FAR = 16.0  # times that bound: a probe needs much finer steps
_TOLERATED = 0.05  # of the heat; a probe is right within half as much again
_REMEMBERED = 256


class StabilityWarning(UserWarning):
    """The time step is too long: Euler-Maruyama may diverge, or the heat of exact flows is off by more than 5 %."""


def look_ahead(problem: Problem, *, stacklevel: int) -> None:
    """Refuse parameters that are not finite, and warn of a time step that is too long for its scheme.

    Euler-Maruyama and its like diverge beyond `potential.stable_dt`. Exact flows do not, but couplings, wells and
    noise that act in turn know less and less of each other; how much that changes the heat depends on the scheme and
    on where the machine goes, so it is measured (`heat_error.py`).

    Raises:
        ValueError: a parameter or buffer that is not finite.

    Cost: a few passes over the state. Where the cheap bound is not met, about 20 coupling fields; of exact flows, a
        probe, once for machines whose size, settings and stiffness agree.
    """
    potential = problem.potential
    if values_hidden() or not len(problem.state) or not potential.quartic:  # the stability of others is unknown
        return
    drive = None if problem.drive is None else problem.drive(problem.start_step).detach()
    mobility = problem.mobility
    fastest = mobility if isinstance(mobility, float) else float(torch.as_tensor(mobility).max())
    step = problem.dt * fastest
    arguments = (problem.state.detach(), drive, problem.temperature, problem.steps)
    bound = potential.stable_dt_bound(*arguments)
    if step <= bound * (_OF_NO_CONCERN if problem.integrator.exact_flows else 1.0) or not problem.steps:
        return  # as most runs
    if problem.integrator.exact_flows:
        error = _remembered_heat_error(problem, step, bound)
        if error > _TOLERATED:
            _warn_of_heat(problem, error, stacklevel)
        return
    stable = potential.stable_dt(*arguments)
    if step > stable:
        message = (
            f"dt x mobility = {step:.3g} is beyond the linear stability bound {stable:.3g} of this potential; "
            f"the run may diverge, try dt={0.5 * stable / fastest:.2g}"
        )
        warnings.warn(message, StabilityWarning, stacklevel=stacklevel)


_heat_errors: OrderedDict[tuple[object, ...], float] = OrderedDict()


def _remembered_heat_error(problem: Problem, step: float, bound: float) -> float:
    """Return `heat_error`, known already for a machine alike: training changes one a little with each update."""
    name = (
        problem.potential.num_units, problem.integrator_name, step, problem.temperature,
        problem.drive is None, round(3 * log2(bound)),
    )  # fmt: skip
    if name not in _heat_errors:
        _heat_errors[name] = heat_error(problem, far=step > _FAR * bound)
        while len(_heat_errors) > _REMEMBERED:
            _heat_errors.popitem(last=False)
    return _heat_errors[name]


def _warn_of_heat(problem: Problem, error: float, stacklevel: int) -> None:
    shorter = problem.dt * (0.5 * (_TOLERATED / error) ** 0.5 if error < 1 else 0.05)
    size = f"about {100 * error:.0f} %" if error < 1 else "100 % or more"
    message = (
        f"dt={problem.dt:.3g} is long for this potential: integrator={problem.integrator_name!r} stays finite, but its "
        f"mean heat is off by {size}, by a probe of its first steps; try dt={shorter:.2g}"
    )
    warnings.warn(message, StabilityWarning, stacklevel=stacklevel + 1)
