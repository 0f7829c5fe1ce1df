"""The error that a time step makes in the mean heat of exact flows, measured before a run by a finer one."""

from collections.abc import Callable
from math import inf, sqrt

import torch
from torch import Tensor

from thermotorch.dynamics.integrators import Force, System
from thermotorch.dynamics.problem import Problem, all_finite

_STEPS = 16  # in which a machine whose step is of any concern has settled
_FINER = 4  # times finer: half the step would be no judge of one that is too long
_FAR = 8  # by so much more, with so many fewer steps, where a quarter would be no judge either
_STATES = 2048  # units in all samples of a probe: heat of units at kT is known to 3 %, less what the runs share


@torch.no_grad()
def heat_error(problem: Problem, far: bool = False) -> float:
    """Return the relative error of the mean heat that the time step makes, at least, in its first steps.

        (|Q(h) - Q(h/4)| - its standard error) / max(|Q(h/4)|, |V(end)|, kT / 2 for each unit)

    Both runs see one noise: each step of h has the sum of four normals of h/4. V, the energy below that of x = 0, is
    the scale of a run that goes on from where another one has given off the heat; equipartition where there is neither.

    Args:
        problem: run of a scheme made of exact flows, of at least one step and one sample.
        far: True for a step so long that 2 of it are compared with 64 of h/32, rather than 16 with 64 of h/4.

    Returns:
        The error, 0 where there is none beyond chance, infinity where a probe leaves the finite numbers.

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
    potential, drive, x = problem.potential, _drive_of(problem, rows, finer), problem.state.detach()[rows]
    plain = System(lambda x, step: x, lambda step: noise[step], 0.0, problem.dt / finer)  # exact flows ask for no drift
    make = problem.integrator.system
    system = plain if make is None else make(plain, potential, drive, problem.temperature, problem.mobility)
    released = potential.energy(x)
    for step in range(len(noise)):
        after = problem.integrator.step(x, step, system)
        if drive is not None:
            released = released + (drive(step) * (after - x)).sum(-1)
        x = after
    energy = potential.energy(x)
    return (released - energy).double(), energy


def _drive_of(problem: Problem, rows: Tensor, finer: int) -> Force | None:
    drive = problem.drive
    if drive is None:
        return None
    at: Callable[[int], Tensor] = drive

    def of_rows(step: int) -> Tensor:
        force = at(min(problem.start_step + step // finer, problem.end - 1)).detach()
        return force if force.dim() == 1 else force[rows]

    return Force(of_rows, None if drive.constant is None else of_rows(0))
