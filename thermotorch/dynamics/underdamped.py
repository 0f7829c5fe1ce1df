"""Langevin dynamics with inertia: masses in the potential, with friction and noise of the bath.

    dx = v dt,    m dv = (f - dV/dx) dt - m gamma v dt + sqrt(2 m gamma kT) dW

| symbol | name here | unit |
| --- | --- | --- |
| m | `mass` | energy x time^2 / x^2 |
| gamma | `friction`, the rate at which a free velocity decays | 1 / time |
| 1 / (m gamma) | the mobility of the overdamped limit | x^2 / (energy x time) |

The scheme is BAOAB (Leimkuhler and Matthews, Appl. Math. Res. Express 2013, 34): half a kick, half a drift, the exact
Ornstein-Uhlenbeck step of the velocity, half a drift, half a kick. One force per step, weak order 2; positions of a
quadratic potential have the exact variance at any stable dt, and at high friction it becomes the overdamped scheme
"leimkuhler_matthews" with time step dt^2 / 2 and mobility 1 / m.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, sqrt

import torch
from torch import Tensor

from thermotorch.arguments import per_unit, real
from thermotorch.dynamics.continuation import begin
from thermotorch.dynamics.linear.ornstein_uhlenbeck import OrnsteinUhlenbeck
from thermotorch.dynamics.linear.transition import block_matrix
from thermotorch.dynamics.loop import Motion, Point, run_segments, stacked, step_by_step
from thermotorch.dynamics.noise import NormalStream, Stream, normals
from thermotorch.dynamics.observe import Observer, PathAction, Transition
from thermotorch.dynamics.path_weights import PathWeights
from thermotorch.dynamics.problem import Drive, Problem, Trajectory, check
from thermotorch.potential import Potential
from thermotorch.transforms import transformed

_VELOCITY_STEP = (1 << 56) - 1  # the last step number, which no run reaches: the noise of the starting velocities


@dataclass(frozen=True)
class UnderdampedTrajectory(Trajectory):
    """A `Trajectory` with velocities. Its heat is the kinetic energy that the bath removed, step by step.

    Attributes:
        velocity: velocity at the end, [batch, unit].
        velocities: velocities of the recorded `states`, [record, batch, unit].
        shadow_work: energy from the finite dt, change of V and kinetic energy - work + heat, [batch]. Its mean is zero
            to order dt^2; a large one shows that dt is too long.
    """

    velocity: Tensor | None = None
    velocities: Tensor | None = None
    shadow_work: Tensor | None = None


def simulate_underdamped(
    potential: Potential,
    state: Tensor | UnderdampedTrajectory,
    velocity: Tensor | None = None,
    *,
    steps: int,
    dt: float,
    temperature: float,
    mass: float | Tensor = 1.0,
    friction: float | Tensor = 1.0,
    seed: int | None = None,
    sample_ids: Tensor | None = None,
    drive: Drive | None = None,
    clamp: Tensor | None = None,
    record: int | None = None,
    start_step: int | None = None,
    stream: Stream | None = None,
    observers: Mapping[str, Observer] | None = None,
) -> UnderdampedTrajectory:
    """Run underdamped Langevin dynamics of `potential` from `state`, which the result can continue as in `simulate`.

    Arguments as there, and:

    Args:
        state: [batch, unit], or the `UnderdampedTrajectory` of an earlier run, to continue it.
        velocity: [batch, unit]; default Maxwell's law at `temperature`, from the noise stream for initial states.
        mass: m, a number or [unit].
        friction: gamma >= 0, a number or [unit]; zero conserves energy up to the scheme's error.

    Raises:
        ValueError, TypeError: an invalid argument, before any compute; also for `PathAction` and `PathWeights`, whose
            weights are those of overdamped steps.
        FloatingPointError: the state became non-finite.

    Cost: that of `simulate` with one force per step, and about twice the passes over the state.
    """
    if isinstance(state, UnderdampedTrajectory):
        if velocity is not None:
            raise ValueError("velocity: the trajectory brings its own; leave it out, or pass trajectory.state")
        velocity = state.velocity
    elif isinstance(state, Trajectory):
        raise TypeError("state: this Trajectory has no velocities; pass trajectory.state")
    state, bits, first, family, sample_ids = begin(state, seed, start_step, stream, sample_ids)
    problem = check(
        potential, state, steps=steps, dt=dt, temperature=temperature, mobility=1.0, seed=bits, sample_ids=sample_ids,
        drive=drive, clamp=clamp, integrator="euler_maruyama", record=record, start_step=first, stream=family,
        observers=observers,
    )  # fmt: skip
    if not transformed():
        potential.require_finite()
    mass = per_unit("mass", mass, state.shape[1], state, positive=True)
    friction = per_unit("friction", friction, state.shape[1], state)
    for name, observer in problem.observers.items():
        if isinstance(observer, PathAction | PathWeights):
            what = type(observer).__name__
            raise TypeError(f"observers[{name!r}]: {what} weighs overdamped steps; write simulate(...) for it")
    free = (torch.as_tensor(problem.mobility) > 0).to(state)
    if velocity is None:
        noise = normals(
            problem.seed, problem.sample_ids, _VELOCITY_STEP, 1, state.shape[1], Stream.INITIAL, state.dtype
        )[0]
        velocity = (problem.temperature / mass).sqrt() * noise
    else:
        real("velocity", velocity)
        if (velocity.shape, velocity.dtype, velocity.device) != (state.shape, state.dtype, state.device):
            raise ValueError(
                f"velocity: expected {state.dtype} {tuple(state.shape)} on {state.device} like state, "
                f"got {velocity.dtype} {tuple(velocity.shape)} on {velocity.device}"
            )
    return _run(problem, velocity * free, mass, friction, free)


def harmonic(
    stiffness: Tensor,
    *,
    temperature: float,
    mass: float | Tensor = 1.0,
    friction: float | Tensor = 1.0,
    force: Tensor | None = None,
) -> OrnsteinUhlenbeck:
    """Return the exact process of underdamped units in V = x.K x / 2 - f.x: state (x, v), [..., 2 unit].

    Args:
        stiffness: K, [..., unit, unit], symmetric; its eigenvalues may be of any sign.
        force: f, [..., unit]; default zero.

    The stationary law is x ~ N(K^-1 f, kT K^-1) and v ~ N(0, kT / m), independent.
    """
    eye, zero = torch.eye(stiffness.shape[-1]).to(stiffness), torch.zeros_like(stiffness)
    mass, friction = (torch.as_tensor(value).to(stiffness).expand(len(eye)) for value in (mass, friction))
    drift = block_matrix((zero, -eye.expand_as(zero)), (stiffness / mass.unsqueeze(-1), friction * eye + zero))
    diffusion = block_matrix((zero, zero), (zero, 2 * temperature * friction / mass * eye + zero))
    force = torch.zeros_like(stiffness[..., 0]) if force is None else force
    return OrnsteinUhlenbeck(drift, D=diffusion, force=torch.cat([torch.zeros_like(force), force / mass], -1))


def _run(problem: Problem, v: Tensor, mass: Tensor, friction: Tensor, free: Tensor) -> UnderdampedTrajectory:
    """Run all steps, in segments of about sqrt(steps) that a gradient recomputes, as in `reference`.

    The motion consists of state, velocity, heat and dV/dx.
    """
    gradient, dt, drive = problem.potential.bind(), problem.dt, problem.drive
    keep = torch.exp(-friction * dt)
    shake = (problem.temperature / mass * -torch.expm1(-2 * friction * dt)).sqrt() * free
    half = 0.5 * dt * free / mass
    mobility = torch.where(free > 0, 1 / (mass * friction), 0.0)
    noise = NormalStream(
        problem.seed, problem.sample_ids, v.shape[1], problem.end, Stream(problem.stream), problem.state.dtype
    )

    def kinetic(v: Tensor) -> Tensor:
        return 0.5 * (mass * v * v).sum(-1)

    def advance(motion: Motion, step: int) -> Motion:
        x, v, heat, slope = motion
        push = 0.0 if drive is None else drive(step)
        struck = v + half * (push - slope)
        middle = x + 0.5 * dt * struck
        bathed = keep * struck + shake * noise(step)
        after = middle + 0.5 * dt * bathed
        slope = gradient(after)
        return after, bathed + half * (push - slope), heat + kinetic(struck) - kinetic(bathed), slope

    def seen(step: int, before: Motion, after: Motion, force: Tensor | None) -> Transition:
        ends = (step, before[0], after[0], force)
        return Transition(*ends, dt, problem.temperature, mobility, "baoab", before[1], after[1])

    def diverged(before: Point, first: int, end: int) -> None:
        stable = problem.potential.stable_dt(problem.state, temperature=problem.temperature) * mass.min().item()
        raise FloatingPointError(
            f"the state became non-finite between steps {first} and {end} (dt={dt:.3g}); "
            f"try dt={0.5 * min(dt, (2 * stable) ** 0.5):.2g} or smaller"
        )

    x = problem.state
    point, recorded = run_segments(
        problem,
        Point.start(problem, v, x.new_zeros(len(x)), gradient(x)),
        step_by_step(problem, advance, seen),
        length=max(1, ceil(sqrt(problem.steps))),
        replayed=torch.is_grad_enabled(),
        diverged=diverged,
    )
    energy, work = problem.potential.energy(x) + kinetic(v), point.work
    x, v, heat, _ = point.motion
    states, velocities = (stacked(problem, recorded, which) for which in (0, 1))
    shadow = problem.potential.energy(x) + kinetic(v) - energy - work + heat
    return UnderdampedTrajectory(
        x, heat, work, problem.end, states, problem.record_times(), point.observed(problem), v, velocities, shadow,
        **problem.noise_of_run,
    )  # fmt: skip
