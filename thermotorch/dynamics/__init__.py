"""Simulate thermodynamic computers: one entry point, interchangeable integrators, observers and backends."""

from collections.abc import Callable, Mapping

from torch import Tensor

from thermotorch.dynamics import fused, reference
from thermotorch.dynamics.continuation import begin, remember, warn_of_repeated_noise
from thermotorch.dynamics.functional import in_float32, needs_float32
from thermotorch.dynamics.integrators import INTEGRATORS, Integrator
from thermotorch.dynamics.linear.ornstein_uhlenbeck import OrnsteinUhlenbeck
from thermotorch.dynamics.noise import Stream, normals
from thermotorch.dynamics.observe import Moments, MomentsResult, Observer, PathAction, Transition
from thermotorch.dynamics.path_weights import PathWeights, PathWeightsResult
from thermotorch.dynamics.problem import Drive, Problem, Trajectory, check, choose, require_finite_heat
from thermotorch.dynamics.stability import StabilityWarning, look_ahead
from thermotorch.dynamics.underdamped import UnderdampedTrajectory, simulate_underdamped
from thermotorch.potential import Potential
from thermotorch.transforms import transformed, values_hidden

__all__ = [
    "INTEGRATORS",
    "Integrator",
    "Moments",
    "MomentsResult",
    "Observer",
    "OrnsteinUhlenbeck",
    "PathAction",
    "PathWeights",
    "PathWeightsResult",
    "Problem",
    "StabilityWarning",
    "Stream",
    "Trajectory",
    "Transition",
    "UnderdampedTrajectory",
    "normals",
    "simulate",
    "simulate_underdamped",
]

# A backend is one function Problem -> Trajectory. The fast ones are the operators of `operators/` on their device.
_BACKENDS: dict[str, Callable[[Problem], Trajectory]] = {
    "reference": reference.run,
    "cpu": fused.run,
    "cuda": fused.run,
}


def simulate(
    potential: Potential,
    state: Tensor | Trajectory,
    *,
    steps: int,
    dt: float,
    temperature: float,
    mobility: float | Tensor = 1.0,
    seed: int | Tensor | None = None,
    sample_ids: Tensor | None = None,
    drive: Drive | None = None,
    clamp: Tensor | None = None,
    integrator: str = "euler_maruyama",
    record: int | None = None,
    backend: str = "auto",
    start_step: int | None = None,
    stream: Stream | None = None,
    observers: Mapping[str, Observer] | None = None,
    precision: str = "ieee",
) -> Trajectory:
    """Run the overdamped Langevin dynamics of `potential` from `state`.

        dx = mu (f - dV/dx) dt + sqrt(2 mu kT dt) xi

    Gradients reach the state, the drive and the potential's parameters (pathwise: the seed fixes the noise). They take
    memory for about 2 sqrt(steps) states; under `torch.no_grad()` a run keeps one. Sample i depends only on the seed,
    `sample_ids[i]` and the step numbers. It does not depend on a split of the run into parts nor, up to the rounding of
    matrix products, on its batch or device.

    Inside `torch.func` (`grad`, `vmap`, `jacrev`, `jvp`) the reference backend runs; see `transforms.py`. There, a seed
    of None follows vmap's `randomness`, and each call counts its own samples from 0: map `sample_ids` or the seed.

    Args:
        potential: the potential V of n units.
        state: [batch, unit], float32 or float64, in the dtype of the potential; or the `Trajectory` of an earlier run,
            to continue it with the noise that would have come next, so that two halves equal the whole.
        steps: number of time steps.
        dt: time step, in units of 1 / (mobility x energy).
        temperature: thermal energy kT in the potential's energy unit; 0 gives gradient descent.
        mobility: mobility mu, a number or [unit].
        seed: seed of the thermal noise, 0 <= seed < 2^64; None draws one from torch's global generator, so that
            `torch.manual_seed` governs it. `trajectory.seed` holds the seed of the run.
        sample_ids: number of each sample's noise, int64 [batch]; default 0 ... batch - 1.
        drive: external force f, [unit] or [batch, unit], or a pure function of the step number, called
            more than once per step. It is constant during a step.
        clamp: mask of the units that keep their values in `state`, bool [unit].
        integrator: scheme, one of `INTEGRATORS`: "euler_maruyama", "heun", "leimkuhler_matthews", "splitting",
            "alternating" (couplings between two sets of groups only); or "auto": the splitting scheme, Heun where the
            dense exponential of the couplings costs too much, Euler-Maruyama for an observed `PathAction` or
            `PathWeights`.
        record: interval between recorded states, in steps from step 0, not from `start_step`; None records none.
        backend: "reference" (plain torch, any device, float32 and float64), "cpu" (compiled at its first use, float32),
            "cuda" (Triton, float32), or "auto" for the fastest one that supports these arguments.
        start_step: number of the first step; default 0, or the step at which the given trajectory stopped.
        stream: family of noise; runs that prepare an initial state use `Stream.INITIAL`.
        observers: observers by name; see `observe.py`, and `path_weights.py` for entropy production.
        precision: format to which a backend may round state and couplings in their product: "ieee" (float32),
            "tf32" or "bf16" (11 and 8 significant bits). State, sums and everything else keep their format. The
            reference never rounds.

    Returns:
        A `Trajectory` with the end state, heat, work, recorded states and results of the observers.

    Raises:
        ValueError, TypeError: an argument is invalid; raised before any compute.
        FloatingPointError: the state or its energy became non-finite; names step, sample, unit and a dt to try.

    Warns:
        UserWarning: the run repeats the noise that produced the very `state` from which it starts.
        StabilityWarning: dt exceeds the stability bound of Euler-Maruyama, `potential.stable_dt`; or, with the exact
            flows of "splitting" and "alternating", the mean heat is off by more than 5 %, by a probe of it.
    """
    choose("backend", backend, ("auto", *_BACKENDS))
    if isinstance(state, Tensor | Trajectory) and isinstance(potential, Potential) and needs_float32(potential, state):
        return in_float32(
            simulate, potential, state, steps=steps, dt=dt, temperature=temperature, mobility=mobility, seed=seed,
            sample_ids=sample_ids, drive=drive, clamp=clamp, integrator=integrator, record=record, backend=backend,
            start_step=start_step, stream=stream, observers=observers, precision=precision,
        )  # fmt: skip
    if isinstance(state, UnderdampedTrajectory):
        raise TypeError("state: an UnderdampedTrajectory continues in simulate_underdamped; here pass trajectory.state")
    explicit = seed is not None and isinstance(state, Tensor) and not values_hidden()
    start, bits, first, family, sample_ids = begin(state, seed, start_step, stream, sample_ids)
    problem = check(
        potential, start, steps=steps, dt=dt, temperature=temperature, mobility=mobility, seed=bits,
        sample_ids=sample_ids, drive=drive, clamp=clamp, integrator=integrator, record=record, start_step=first,
        stream=family, observers=observers, precision=precision,
    )  # fmt: skip
    run = _BACKENDS[_backend(backend, problem)]
    look_ahead(problem, stacklevel=3)
    if explicit:
        warn_of_repeated_noise(start, problem)
    trajectory = run(problem)
    if not values_hidden():
        require_finite_heat(trajectory, problem)
        remember(trajectory, problem)
    return trajectory


def _backend(name: str, problem: Problem) -> str:
    """Return the backend for a problem; raise if the backend requested by name does not support it."""
    if name == "reference":
        return name
    if transformed():
        if name != "auto":
            raise ValueError(f"backend={name!r}: inside torch.func only the reference runs; write backend='auto'")
        return "reference"
    device = problem.state.device.type if name == "auto" else name
    reason = fused.refusal(problem, device)
    if reason is not None and name != "auto":
        raise ValueError(f"backend={name!r}: {reason}; backend='auto' falls back to the reference")
    return device if reason is None else "reference"
