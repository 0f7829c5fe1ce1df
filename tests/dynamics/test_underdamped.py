"""BAOAB: its exact limits (harmonic, high friction, no friction), its books, its order, and the noise contract."""

from math import log2

import pytest
import torch
from torch import Tensor

import thermotorch as tt
from tests.physics import Boltzmann, assert_mean, assert_within, random_matrix, random_potential, single_unit
from thermotorch.dynamics.linear.ornstein_uhlenbeck import OrnsteinUhlenbeck
from thermotorch.dynamics.linear.transition import LinearTransition, block_matrix
from thermotorch.dynamics.underdamped import harmonic, simulate_underdamped

float64 = torch.float64
MASS = torch.tensor([1.0, 0.5, 2.0], dtype=float64)
FRICTION = torch.tensor([0.5, 2.0, 1.0], dtype=float64)
MEDIUM = {"temperature": 0.4, "mass": MASS, "friction": FRICTION}


def springs() -> tuple[tt.Potential, Tensor, Tensor]:
    """Return a quadratic potential of three units, its stiffness K and its force f."""
    coupling = random_matrix(3)
    force = torch.tensor([0.5, -1.0, 0.2], dtype=float64)
    potential = tt.Potential(tt.DenseCouplings.from_matrix(coupling), j2=1.0, j4=0.0, bias=-force)
    return potential, 2 * torch.eye(3) + coupling, force


def baoab(
    stiffness: Tensor, dt: float, *, temperature: float, mass: Tensor, friction: Tensor, force: Tensor | None = None
) -> LinearTransition:
    """Return the law of one BAOAB step in V = x.K x / 2 - f.x, composed of its five parts."""
    eye = torch.eye(stiffness.shape[-1]).to(stiffness)
    zero, nothing = torch.zeros_like(eye), torch.zeros_like(mass)
    keep = torch.exp(-friction * dt)
    still, quiet = torch.cat([nothing, nothing]), block_matrix((zero, zero), (zero, zero))
    kick_by = still if force is None else torch.cat([nothing, 0.5 * dt * force / mass])
    kick = LinearTransition(block_matrix((eye, zero), (-0.5 * dt * stiffness / mass[:, None], eye)), kick_by, quiet)
    drift = LinearTransition(block_matrix((eye, 0.5 * dt * eye), (zero, eye)), still, quiet)
    shake = torch.diag(torch.cat([nothing, temperature / mass * (1 - keep**2)]))
    bath = LinearTransition(torch.diag(torch.cat([torch.ones_like(keep), keep])), still, shake)
    return kick.then(drift).then(bath).then(drift).then(kick)


def test_one_step_is_the_composition_of_its_parts():
    """The simulated step without noise, and its noise covariance, against the closed form of BAOAB."""
    potential, stiffness, force = springs()
    law = baoab(stiffness, 0.3, force=force, **MEDIUM)
    x, v = torch.randn(2, 20_000, 3, dtype=float64, generator=torch.Generator().manual_seed(0)).unbind()
    run = simulate_underdamped(potential, x, v, steps=1, dt=0.3, **MEDIUM, seed=0)
    residual = torch.cat([run.state, run.velocity], -1) - law.mean(torch.cat([x, v], -1))
    spread = law.covariance.diagonal()
    assert_mean(residual, 0.0, sigmas=4.5)
    error = ((law.covariance**2 + torch.outer(spread, spread)) / len(x)).sqrt()
    assert_within(residual.T @ residual / len(x), law.covariance, error, 4.5)


def test_the_harmonic_law_is_exact_in_position_at_any_dt():
    stiffness = springs()[1]
    _, covariance = baoab(stiffness, 0.5, **MEDIUM).stationary()
    torch.testing.assert_close(covariance[:3, :3], 0.4 * torch.linalg.inv(stiffness))
    assert (covariance[3:, 3:] - torch.diag(0.4 / MASS)).abs().max() > 0.01, "velocities pay for the finite step"


def test_the_exact_process_is_at_rest_in_boltzmann_and_maxwell():
    """Equipartition: kT/2 for each quadratic term, positions and velocities independent, friction irrelevant."""
    _, stiffness, force = springs()
    mean, covariance = harmonic(stiffness, force=force, **MEDIUM).stationary()
    torch.testing.assert_close(mean, torch.cat([torch.linalg.solve(stiffness, force), torch.zeros(3).double()]))
    expected = torch.block_diag(0.4 * torch.linalg.inv(stiffness), torch.diag(0.4 / MASS))
    torch.testing.assert_close(covariance, expected, atol=1e-12, rtol=0)


def test_time_reversal_turns_velocities_around():
    """Detailed balance of a process with velocities: E[y(t) y(0)^T] = s E[y(0) y(t)^T] s with s = (1, -1)."""
    ou = harmonic(springs()[1], **MEDIUM)
    forward, sign = ou.autocovariance(0.7), torch.cat([torch.ones(3), -torch.ones(3)]).double()
    torch.testing.assert_close(forward, sign[:, None] * forward.T * sign)
    assert (forward - forward.T).abs().max() > 0.01


def test_baoab_converges_to_the_exact_process_with_order_two():
    _, stiffness, force = springs()
    truth = harmonic(stiffness, force=force, **MEDIUM).transition(2.0)
    for field in ("decay", "shift", "covariance"):
        coarse, fine = (
            getattr(baoab(stiffness, 2.0 / n, force=force, **MEDIUM).power(n), field) - getattr(truth, field)
            for n in (40, 80)
        )
        assert log2(coarse.norm() / fine.norm()) == pytest.approx(2.0, abs=0.05), field


def test_critical_damping_is_not_special():
    """gamma = 2 omega: the drift has one eigenvector; x decays as (1 + omega t) exp(-omega t)."""
    law = harmonic(torch.eye(1, dtype=float64), temperature=1.0, friction=2.0).transition(1.5)
    assert law.decay[0, 0].item() == pytest.approx((1 + 1.5) * torch.exp(torch.tensor(-1.5).double()).item(), rel=1e-12)


def test_high_friction_is_the_overdamped_process():
    """Beyond 1/gamma, positions are an Ornstein-Uhlenbeck process of mobility 1/(m gamma), up to order 1/gamma^2."""
    stiffness = springs()[1]
    error = []
    for gamma in (50.0, 100.0):
        slow = harmonic(stiffness, temperature=0.4, friction=gamma).transition(gamma)  # time in units of the mobility
        fast = OrnsteinUhlenbeck(stiffness, D=0.8 * torch.eye(3)).transition(1.0)
        error.append((slow.covariance[:3, :3] - fast.covariance).norm().item())
        assert error[-1] < 4 / gamma**2
    assert log2(error[0] / error[1]) == pytest.approx(2.0, abs=0.05)


def test_high_friction_is_leimkuhler_matthews_path_by_path():
    """With velocities forgotten in every step, BAOAB is that scheme with dt^2/2 for dt: one noise, one path."""
    potential, start, dt = random_potential(4), torch.zeros(3, 4, dtype=float64), 0.2
    run = simulate_underdamped(
        potential, start, start, steps=30, dt=dt, temperature=0.4, friction=1e4, record=1, seed=0
    )
    x = start
    noise = [tt.dynamics.normals(0, torch.arange(3), k, 1, 4, dtype=float64)[0] for k in range(30)]
    momentum = torch.zeros_like(x)
    for k in range(30):
        drift = -0.5 * dt**2 * potential.gradient(x) * (1.0 if k else 0.5)  # a start at rest has kicked half
        x = x + drift + 0.5 * dt * 0.4**0.5 * (noise[k] + (noise[k - 1] if k else momentum))
        torch.testing.assert_close(run.states[k], x)


def test_without_friction_energy_is_conserved_to_second_order():
    potential = random_potential(4)
    start = torch.randn(8, 4, dtype=float64, generator=torch.Generator().manual_seed(1))
    drift = []
    for steps in (400, 800):
        run = simulate_underdamped(potential, start, steps=steps, dt=4 / steps, temperature=0.3, friction=0.0, seed=0)
        assert (run.heat == 0).all()
        drift.append(run.shadow_work.abs().mean().item())
    assert drift[1] < 0.02
    assert log2(drift[0] / drift[1]) == pytest.approx(2.0, abs=0.1)


def test_a_quartic_unit_is_distributed_as_boltzmann_and_maxwell():
    count, law = 4000, Boltzmann(-1.0, 0.0, 1.0, temperature=0.5)
    run = simulate_underdamped(
        single_unit(j2=-1.0), law.sample(count), steps=400, dt=0.02, temperature=0.5, mass=0.7, seed=0
    )
    for power in (2, 4):
        assert_mean(run.state**power, law.mean(lambda x, power=power: x**power), sigmas=4.5)
    assert_mean(run.velocity**2, 0.5 / 0.7, sigmas=4.5)
    assert_mean(run.state * run.velocity, 0.0, sigmas=4.5)


def test_the_books_balance_and_the_fluctuation_theorem_holds():
    """A force switched on: the mean of exp(-work/kT) is 1 (Bochkov and Kuzovlev 1977), heat and work add up."""
    potential = tt.Potential(tt.DenseCouplings(1).double(), j2=0.5, j4=0.0)
    count, kT = 20_000, 0.5
    start = torch.randn(count, 1, dtype=float64, generator=torch.Generator().manual_seed(2)) * kT**0.5
    run = simulate_underdamped(
        potential, start, steps=100, dt=0.02, temperature=kT, drive=torch.full((1,), 0.7).double(), friction=0.5, seed=0
    )
    assert run.shadow_work.abs().max() < 2e-3
    gained = potential.energy(run.state) - potential.energy(start) + 0.5 * run.velocity.square().squeeze(1)
    assert_mean(gained + run.heat - run.work, kT / 2, sigmas=4.5)  # the kinetic energy it started with
    assert run.work.mean() > 0.1 * kT
    assert_mean(torch.exp(-run.work / kT), 1.0, sigmas=4.5)


def test_starting_velocities_are_maxwells_and_noise_of_their_own():
    potential, start = random_potential(3), torch.zeros(5000, 3, dtype=float64)
    still = simulate_underdamped(potential, start, steps=0, dt=0.1, temperature=0.6, mass=MASS, seed=0)
    assert_mean(still.velocity**2, 0.6 / MASS, sigmas=4.5)
    prepared = tt.simulate(potential, start, steps=1, dt=0.05, temperature=0.6, stream=tt.Stream.INITIAL, seed=0).state
    assert_mean(still.velocity * (prepared - prepared.mean(0)), 0.0, sigmas=4.5)


def test_restart_batch_clamp_and_record():
    potential, start = random_potential(3), torch.ones(4, 3, dtype=float64)
    arguments = {"dt": 0.05, **MEDIUM, "seed": 3, "record": 5}
    arguments["drive"] = lambda step: torch.full((3,), 0.1 * step, dtype=float64)
    whole = simulate_underdamped(potential, start, steps=20, **arguments)
    first = simulate_underdamped(potential, start, steps=10, **arguments)
    second = simulate_underdamped(potential, first.state, first.velocity, steps=10, start_step=first.step, **arguments)
    assert torch.equal(second.state, whole.state)
    assert torch.equal(second.velocity, whole.velocity)
    assert torch.equal(torch.cat([first.states, second.states]), whole.states)
    assert torch.equal(torch.cat([first.times, second.times]), whole.times)
    torch.testing.assert_close(first.heat + second.heat, whole.heat)
    alone = simulate_underdamped(potential, start[[2]], steps=20, sample_ids=torch.tensor([2]), **arguments)
    torch.testing.assert_close(alone.state[0], whole.state[2])
    clamp = torch.tensor([False, True, False])
    moving = torch.ones(4, 3, dtype=float64)
    held = simulate_underdamped(potential, start, moving, steps=20, clamp=clamp, **arguments)
    assert torch.equal(held.states[:, :, 1], torch.ones(4, 4).double())
    assert not held.velocities[:, :, 1].any()


def test_observers_of_overdamped_runs_work_and_path_action_is_refused():
    potential, start = random_potential(3), torch.zeros(4, 3, dtype=float64)
    run = simulate_underdamped(potential, start, steps=30, dt=0.05, temperature=0.5, record=1,
                               observers={"moments": tt.Moments(warmup=10)}, seed=0)  # fmt: skip
    torch.testing.assert_close(run.observed["moments"].mean, run.states[10:].mean(0))
    with pytest.raises(TypeError, match="PathAction weighs overdamped steps"):
        observers = {"action": tt.PathAction(potential)}
        simulate_underdamped(potential, start, steps=1, dt=0.1, temperature=0.5, observers=observers, seed=0)


def test_gradients_are_those_of_a_plain_loop():
    def end(bias: Tensor, velocity: Tensor) -> Tensor:
        potential = random_potential(3)
        run = torch.func.functional_call(_Run(potential), {"potential.bias": bias}, (velocity,))
        return torch.cat([run.state, run.velocity, run.heat[:, None], run.shadow_work[:, None]], 1)

    velocity = torch.zeros(2, 3, dtype=float64, requires_grad=True)
    assert torch.autograd.gradcheck(end, (random_potential(3).bias, velocity), fast_mode=True)


class _Run(torch.nn.Module):
    def __init__(self, potential: tt.Potential) -> None:
        super().__init__()
        self.potential = potential

    def forward(self, velocity: Tensor):
        start = torch.ones_like(velocity)
        return simulate_underdamped(self.potential, start, velocity, steps=7, dt=0.1, temperature=0.3, seed=0)


@pytest.mark.parametrize(("changed", "message"), [
    ({"mass": 0.0}, "mass must be finite and positive"),
    ({"friction": -1.0}, "friction must be finite and not negative"),
    ({"mass": torch.ones(2)}, r"mass must be a number or a tensor of shape \(3,\)"),
    ({"velocity": torch.zeros(4, 2).double()}, "velocity: expected"),
    ({"dt": -0.1}, "dt must be finite and positive"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(changed, message):
    arguments = {"steps": 1, "dt": 0.1, "temperature": 0.5, **changed}
    with pytest.raises(ValueError, match=message):
        simulate_underdamped(random_potential(3), torch.zeros(4, 3, dtype=float64), **arguments, seed=0)


def test_divergence_is_reported_with_a_dt_that_works():
    stiff = tt.Potential(tt.DenseCouplings(2).double(), j2=50.0, j4=0.0)
    state = torch.ones(1, 2, dtype=float64)
    with pytest.raises(FloatingPointError, match=r"try dt=([\d.e-]+)") as error:
        simulate_underdamped(stiff, state, steps=4000, dt=0.5, temperature=0.1, seed=0)
    dt = float(str(error.value).split("try dt=")[1].split()[0])
    assert torch.isfinite(simulate_underdamped(stiff, state, steps=4000, dt=dt, temperature=0.1, seed=0).state).all()


def test_the_dt_to_try_knows_the_lightest_mass():
    """Springs of curvature 4: omega = 2 / sqrt(m), and BAOAB is stable to 2 / omega, here 0.1 of the second unit."""
    potential, state = tt.Potential(tt.DenseCouplings(2).double(), j2=2.0, j4=0.0), torch.ones(1, 2, dtype=float64)
    arguments = {"temperature": 0.1, "mass": torch.tensor([1.0, 0.01]), "friction": 0.1, "seed": 0}
    with pytest.raises(FloatingPointError, match=r"between steps \d+ and \d+ \(dt=0.2\); try dt=0.05 or smaller"):
        simulate_underdamped(potential, state, steps=2000, dt=0.2, **arguments)


def test_observers_see_the_velocities_at_both_ends_of_a_step():
    mobilities = []

    class Ends:
        def start(self, state):
            return []

        def update(self, carry, step):
            mobilities.append(step.mobility)
            return [*carry, torch.stack([step.before, step.velocity_before, step.after, step.velocity_after])]

        def result(self, carry):
            return torch.stack(carry)

    potential, _, _ = springs()
    x, v = torch.randn(2, 4, 3, dtype=float64, generator=torch.Generator().manual_seed(0)).unbind()
    run = simulate_underdamped(potential, x, v, steps=3, dt=0.1, **MEDIUM, seed=0, record=1, observers={"ends": Ends()})
    states, velocities = torch.cat([x[None], run.states]), torch.cat([v[None], run.velocities])
    expected = torch.stack([states[:-1], velocities[:-1], states[1:], velocities[1:]], 1)
    assert torch.equal(run.observed["ends"], expected)
    torch.testing.assert_close(mobilities[0], 1 / (MASS * FRICTION))
