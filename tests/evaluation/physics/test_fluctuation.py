"""Work of driven machines against the theorems about it: Jarzynski, Crooks, Bochkov and Kuzovlev, the second law."""

import copy

import pytest
import torch
from torch import Tensor

import thermotorch as tt
from tests.physics import Boltzmann, assert_within, float64, random_potential
from thermotorch.evaluation.estimate import Estimate, mean_of
from thermotorch.evaluation.physics.fluctuation import _checked, _overlapping, bennett, jarzynski
from thermotorch.evaluation.physics.free_energy import independent_free_energy, quadratic_free_energy
from thermotorch.models.generator.noising import uncoupled
from thermotorch.models.generator.schedule import Segment, interaction, run_program

KT = 0.5


def crooks_slope(forward: Tensor, reverse: Tensor) -> Estimate:
    """Return the slope 1 / kT of ln P_forward(W) / P_reverse(-W) in W, by logistic regression of the direction on W.

    A slope other than the bath's 1 / kT means that work is counted wrongly, that the start was no equilibrium, or that
    the bath has another temperature.

    Args:
        forward, reverse: see `bennett`.

    Raises:
        ValueError: see `bennett`.

    Source: Shirts, Bair, Hooker and Pande, PRL 91, 140601 (2003), with the slope left free.
    """
    there, back = _overlapping(forward, reverse)
    back = -back
    centre, scale = torch.cat([there, back]).mean(), torch.cat([there, back]).std()
    work = (torch.cat([there, back]) - centre) / scale
    features, label = torch.stack([torch.ones_like(work), work], 1), (torch.arange(len(work)) < len(there)).to(work)
    line = work.new_zeros(2)
    for _ in range(100):  # Newton; the likelihood is concave
        chance = torch.sigmoid(features @ line)
        information = features.T @ ((chance * (1 - chance))[:, None] * features)
        step = torch.linalg.solve(information, features.T @ (label - chance))
        line = line + step / max(1.0, step.abs().max().item())
        if step.abs().max() < 1e-12:
            break
    return Estimate((line[1] / scale).item(), (torch.linalg.inv(information)[1, 1].sqrt() / scale).item())


def dissipated(work: Tensor, free_energy: float, temperature: float) -> Estimate:
    """Return the work beyond the reversible bound, (<W> - dF) / kT: the entropy that is finally produced, in k."""
    return mean_of((_checked("work", work) - free_energy) / temperature)


def normals(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=float64, generator=torch.Generator().manual_seed(seed))


def gaussian_work(free_energy: float, spread: float, paths: int, seed: int) -> tuple[Tensor, Tensor]:
    """Work in both directions that obeys Crooks' theorem: normal, of mean +-dF + spread^2 / 2 kT."""
    noise = spread * normals(2, paths, seed=seed) + spread**2 / (2 * KT)
    return noise[0] + free_energy, noise[1] - free_energy


def test_estimators_on_work_of_known_law_and_how_sure_they_say_they_are():
    """Over 400 repetitions of 300 paths: no bias, and standard errors that are the scatter."""
    found: dict[str, list] = {"jarzynski": [], "bennett": [], "slope": []}
    for seed in range(400):
        there, back = gaussian_work(1.3, 0.4, 300, seed)
        found["jarzynski"].append(jarzynski(there, KT))
        found["bennett"].append(bennett(there, back[:150], KT))
        found["slope"].append(crooks_slope(there, back[:150]))
    for name, truth in {"jarzynski": 1.3, "bennett": 1.3, "slope": 1 / KT}.items():
        values, errors = torch.tensor(found[name], dtype=float64).unbind(1)
        assert_within(values.mean(), truth, values.std() / 20, 4)
        assert errors.mean() == pytest.approx(values.std().item(), rel=0.15), name  # 0.035 the scatter of a scatter


def test_bennett_beats_jarzynski_where_the_work_is_widely_spread():
    there, back = gaussian_work(1.3, 2.0, 4000, seed=1)
    estimate = bennett(there, back, KT)
    assert_within(torch.tensor(estimate.value), 1.3, estimate.stderr, 4)
    assert abs(jarzynski(there, KT).value - 1.3) > 3 * abs(estimate.value - 1.3)


def test_work_that_says_nothing_is_refused():
    with pytest.raises(ValueError, match="work: expected work of at least two paths"):
        jarzynski(torch.ones(1), KT)
    with pytest.raises(ValueError, match="reverse: every value must be finite"):
        bennett(torch.ones(3), torch.tensor([1.0, torch.inf]), KT)
    for estimator in (crooks_slope, lambda forward, reverse: bennett(forward, reverse, KT)):
        with pytest.raises(ValueError, match="no work in one direction is like any in the other"):
            estimator(torch.tensor([5.0, 6.0]), torch.tensor([1.0, 2.0]))


def test_moving_trap_has_the_closed_work_distribution_and_obeys_both_equalities():
    """A harmonic unit, V = k x^2 / 2, under f = k c_s: a trap of stiffness k whose centre c moves. All is Gaussian.

    Euler-Maruyama steps are a reversible chain whose law has the stiffness k' = k (1 - k dt / 2); with energies of k'
    the equalities of Jarzynski and of Bochkov and Kuzovlev are exact at this step, a tenth of the relaxation time.
    """
    k, dt, steps, paths = 2.0, 0.05, 30, 20_000
    decay, shadow = 1 - k * dt, 1 - k * dt / 2  # k' / k
    centre = torch.linspace(0, 0.9, steps, dtype=float64)
    variance = KT / (k * shadow)
    potential = tt.Potential(tt.DenseCouplings(1).double(), k / 2, 0.0, 0.0)
    start = variance**0.5 * normals(paths, 1, seed=1)
    with torch.no_grad():
        run = tt.simulate(potential, start, steps=steps, dt=dt, temperature=KT, seed=3,
                          drive=lambda s: k * centre[s : s + 1])  # fmt: skip
    # With the energy -f x and the constant k c^2 / 2 counted, work is done when the centre moves.
    change = (k * centre[-1] * run.state - k * centre[0] * start)[:, 0]
    work = run.work - change + k / 2 * (centre[-1] ** 2 - centre[0] ** 2)

    mean = torch.zeros(steps, dtype=float64)
    for s in range(1, steps):
        mean[s] = decay * mean[s - 1] + k * dt * centre[s - 1]
    gap = (torch.arange(steps) - torch.arange(steps)[:, None]).abs()
    moved = k * centre.diff()
    expected = (moved * ((centre[1:] + centre[:-1]) / 2 - mean[1:])).sum()
    spread = moved @ (variance * decay ** gap[1:, 1:].double()) @ moved
    assert_within(work.mean(), expected, (spread / paths) ** 0.5, 4)
    assert_within(work.var(), spread, spread * (2 / paths) ** 0.5, 4)
    # Jarzynski's equality for normal work: <W> = var(W) / 2 kT.
    assert 2 * KT * shadow * expected == pytest.approx((shadow**2 * spread).item(), rel=1e-12)

    estimate = jarzynski(shadow * work, KT)
    assert_within(torch.tensor(estimate.value), 0.0, estimate.stderr, 4)
    exclusive = jarzynski(shadow * run.work, KT)
    assert_within(torch.tensor(exclusive.value), 0.0, exclusive.stderr, 4)
    assert expected > 0.3 and run.work.mean() > 0.3  # the second law, by far


class Ramp:
    """Couplings and biases of a machine switched on in equal steps, and off again; the work of each path."""

    def __init__(self, potential: tt.Potential, gains: list[float], length: int, dt: float) -> None:
        self.potential, self.gains, self.length = potential, gains, length
        self.physics = {"dt": dt, "integrator": "alternating", "seed": 7}

    def work(self, start: Tensor, reverse: bool = False) -> Tensor:
        """Each gain is turned on and then held for some steps; in reverse, held first, the last one for nothing."""
        gains = self.gains[::-1] if reverse else self.gains
        length = self.length
        program = [Segment(i * length, (i + 1) * length, KT, g) for i, g in enumerate(gains)]
        with torch.no_grad():
            run = run_program(self.potential, program, start, first=0, last=len(gains) * length, **self.physics)
        return run.work


def equilibrium(potential: tt.Potential, paths: int, seed: int) -> Tensor:
    """Of a quadratic potential, exactly."""
    matrix = (potential.couplings.matrix() + torch.diag(2 * potential.j2.expand(potential.num_units))).detach()
    factor = torch.linalg.cholesky(torch.linalg.inv(matrix) * KT)
    mean = -torch.linalg.solve(matrix, potential.bias.detach())
    return mean + normals(paths, potential.num_units, seed=seed) @ factor.T


def test_switched_couplings_of_linear_units_obey_jarzynski_and_crooks_exactly_at_a_coarse_step():
    """Steps of a relaxation time: each move of `alternating` keeps the Boltzmann law of the gain at hand."""
    potential, paths = random_potential(4, 0.4, bipartite=True, j4=0.0), 20_000
    off = uncoupled(4, 1.0, 0.0).double()
    ramp = Ramp(potential, [0.0, 0.25, 0.5, 0.75, 1.0], length=1, dt=0.4)
    truth = quadratic_free_energy(potential, KT) - independent_free_energy(off, KT)
    forward = ramp.work(equilibrium(off, paths, seed=1))
    # The reversed protocol moves the colours in the opposite order: the same machine with its two groups swapped.
    couplings = copy.deepcopy(potential.couplings).load_matrix(potential.couplings.matrix().roll((2, 2), (0, 1)))
    swapped = tt.Potential(couplings, 1.0, 0.0, 0.0, potential.bias.detach().roll(2))
    backwards = Ramp(swapped, ramp.gains, length=1, dt=0.4)
    reverse = backwards.work(equilibrium(swapped, paths, seed=2), reverse=True)
    for estimate in (jarzynski(forward, KT), bennett(forward, reverse, KT)):
        assert_within(torch.tensor(estimate.value), truth, estimate.stderr, 4)
        assert estimate.stderr < 0.02 < abs(truth) / 10
    slope = crooks_slope(forward, reverse)
    assert_within(torch.tensor(slope.value), 1 / KT, slope.stderr, 4)
    assert slope.stderr < 0.05 / KT
    wasted = dissipated(forward, truth, KT)
    assert wasted.value > 10 * wasted.stderr


def test_a_slower_ramp_wastes_less_and_the_reversible_bound_holds_for_each():
    potential = random_potential(4, 0.4, bipartite=True, j4=0.0)
    off = uncoupled(4, 1.0, 0.0).double()
    start = equilibrium(off, 4000, seed=1)
    truth = quadratic_free_energy(potential, KT) - independent_free_energy(off, KT)
    wasted = [
        dissipated(Ramp(potential, torch.linspace(0, 1, count + 1).tolist(), 1, dt=0.4).work(start), truth, KT)
        for count in (1, 4, 16, 64)
    ]
    assert all(slow.value < fast.value - 3 * fast.stderr for fast, slow in zip(wasted, wasted[1:], strict=False))
    assert wasted[-1].value > 0
    # All at once, the work is the energy that is switched on: on average none, since the units are still independent.
    once = Ramp(potential, [0.0, 1.0], 1, dt=1e-18).work(start)
    torch.testing.assert_close(once, interaction(potential, start).detach(), rtol=1e-6, atol=1e-7)
    abrupt = dissipated(once, truth, KT)
    assert_within(torch.tensor(abrupt.value), -truth / KT, abrupt.stderr, 4)


@pytest.mark.parametrize("coupled", [False, True])
def test_a_scheduled_quartic_machine_has_the_free_energy_of_quadrature(coupled):
    """One unit whose bias, or two double wells whose coupling, is turned on; time steps small enough not to matter."""
    if coupled:
        potential = tt.Potential(tt.BlockCouplings({"a": 1, "b": 1}, [("a", "b")]).double(), -0.5, 0.0, 1.0)
        with torch.no_grad():
            next(potential.couplings.parameters()).fill_(-1.2)
        x = torch.linspace(-5, 5, 1001, dtype=float64)
        grid = torch.stack(torch.meshgrid(x, x, indexing="ij"), -1)
        cell = (x[1] - x[0]) ** 2
        on = -KT * (torch.exp(-potential.energy(grid).detach() / KT).sum() * cell).log().item()
        law = Boltzmann(-0.5, 0.0, 1.0, temperature=KT)
        start = torch.cat([law.sample(20_000, seed=1), law.sample(20_000, seed=2)], 1)
        truth = on - 2 * law.free_energy
    else:
        potential = tt.Potential(tt.DenseCouplings(1).double(), 1.0, 0.0, 1.0, bias=1.5)
        law = Boltzmann(1.0, 0.0, 1.0, temperature=KT)
        start, truth = law.sample(20_000, seed=1), Boltzmann(1.0, 0.0, 1.0, -1.5, KT).free_energy - law.free_energy
    work = Ramp(potential, torch.linspace(0, 1, 9).tolist(), length=4, dt=0.02).work(start)
    estimate = jarzynski(work, KT)
    assert_within(torch.tensor(estimate.value), truth, estimate.stderr, 4)
    assert estimate.stderr < 0.02 * abs(truth)
    assert work.mean() > truth + 5 * work.std() / len(work) ** 0.5
