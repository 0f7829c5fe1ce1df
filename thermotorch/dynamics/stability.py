"""Checks before a run: a warning about the time step, and an error for a parameter that is not finite."""

import warnings
from collections import OrderedDict
from math import inf, log2, sqrt

import torch
from torch import Tensor

from thermotorch.dynamics.integrators import Force, System
from thermotorch.dynamics.problem import Problem, all_finite
from thermotorch.transforms import values_hidden

_OF_NO_CONCERN = 0.5  # times the bound of stable_dt: shorter steps of exact flows are within a few per cent
_FAR_BEYOND = 16.0  # times that bound: a probe needs much finer steps
_TOLERATED = 0.05  # of the heat; a probe is right within half as much again
_REMEMBERED = 256

# Of a probe of the heat:
_STEPS = 16  # in which a machine whose step is of any concern has settled
_FINER = 4  # times finer: half the step would be no judge of one that is too long
_FAR = 8  # by so much more, with so many fewer steps, where a quarter would be no judge either
_STATES = 2048  # units in all samples of a probe: heat of units at kT is known to 3 %, less what the runs share


class StabilityWarning(UserWarning):
    """The time step is too long: Euler-Maruyama may diverge, or the heat of exact flows is off by more than 5 %."""


def look_ahead(problem: Problem, *, stacklevel: int) -> None:
    """Refuse parameters that are not finite, and warn of a time step that is too long for its scheme.

    Euler-Maruyama and its like diverge beyond `potential.stable_dt`. Exact flows do not, but couplings, wells and
    noise that act in turn know less and less of each other; how much that changes the heat depends on the scheme and
    on where the machine goes, so it is measured (`heat_error`).

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
        if error <= _TOLERATED:
            return
        shorter = problem.dt * (0.5 * (_TOLERATED / error) ** 0.5 if error < 1 else 0.05)
        size = f"about {100 * error:.0f} %" if error < 1 else "100 % or more"
        message = (
            f"dt={problem.dt:.3g} is long for this potential: integrator={problem.integrator_name!r} stays finite, but "
            f"its mean heat is off by {size}, by a probe of its first steps; try dt={shorter:.2g}"
        )
    else:
        stable = potential.stable_dt(*arguments)
        if step <= stable:
            return
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
        _heat_errors[name] = heat_error(problem, far=step > _FAR_BEYOND * bound)
        while len(_heat_errors) > _REMEMBERED:
            _heat_errors.popitem(last=False)
    return _heat_errors[name]


@torch.no_grad()
def heat_error(problem: Problem, far: bool = False) -> float:
    """Return the relative error of the mean heat that the time step makes, at least, in its first steps.

        (|Q(h) - Q(h/4)| - its standard error) / max(|Q(h/4)|, |V(end)|, kT / 2 for each unit)

    It is 0 where there is no error beyond chance, infinity where a probe leaves the finite numbers.
    Both runs see one noise: each step of h has the sum of four normals of h/4. V, the energy below that of x = 0, is
    the scale of a run that goes on from where another one has given off the heat; equipartition where there is neither.

    Args:
        problem: run of a scheme made of exact flows, of at least one step and one sample.
        far: True for a step so long that 2 of it are compared with 64 of h/32, rather than 16 with 64 of h/4.

    Cost: 80 steps of 2048 units, or of two samples if these have more; "splitting" also takes one more exponential.
    """
    batch, units = problem.state.shape
    rows = torch.arange(max(2, _STATES // units), device=problem.state.device) % batch
    generator = torch.Generator().manual_seed(0)
    steps, finer = (_STEPS // _FAR, _FINER * _FAR) if far else (_STEPS, _FINER)
    noise = torch.randn(steps, finer, len(rows), units, generator=generator).to(problem.state)
    fine, energy = _heat(problem, rows, noise.flatten(0, 1), finer=finer)
    coarse, _ = _heat(problem, rows, noise.sum(1) / sqrt(finer), finer=1)
    difference = coarse - fine
    if not all_finite(difference):
        return inf
    moving = torch.as_tensor(problem.mobility).expand(units).count_nonzero().item()
    scale = max(abs(fine.mean().item()), abs(energy.mean().item()), 0.5 * problem.temperature * moving)
    chance = difference.std().item() / sqrt(len(rows))
    return max(abs(difference.mean().item()) - chance, 0.0) / scale if scale else 0.0


def _heat(problem: Problem, rows: Tensor, noise: Tensor, *, finer: int) -> tuple[Tensor, Tensor]:
    """Return heat and last energy, both [row], of `len(noise)` steps from these rows of the state.

    Each step of the run is cut into `finer`.
    """
    potential, x = problem.potential, problem.state.detach()[rows]
    drive = None if problem.drive is None else _drive_of(problem, problem.drive, rows, finer)
    plain = System(lambda x, step: x, lambda step: noise[step], 0.0, problem.dt / finer)  # exact flows ask for no drift
    system = problem.integrator.system(plain, potential, drive, problem.temperature, problem.mobility)
    released = potential.energy(x)
    for step in range(len(noise)):
        after = problem.integrator.step(x, step, system)
        if drive is not None:
            released = released + (drive(step) * (after - x)).sum(-1)
        x = after
    energy = potential.energy(x)
    return (released - energy).double(), energy


def _drive_of(problem: Problem, drive: Force, rows: Tensor, finer: int) -> Force:
    def of_rows(step: int) -> Tensor:
        force = drive(min(problem.start_step + step // finer, problem.end - 1)).detach()
        return force if force.dim() == 1 else force[rows]

    return Force(of_rows, None if drive.constant is None else of_rows(0))
