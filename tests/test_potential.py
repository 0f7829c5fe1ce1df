from math import inf, log, sqrt

import pytest
import torch

import thermotorch as tt
from tests.physics import random_matrix, random_potential


def per_unit_potential(n: int = 5) -> tt.Potential:
    j2, j3, j4 = (torch.linspace(*ends, n) for ends in ((-1, 1), (0.5, -0.4), (0.2, 1)))
    return random_potential(n, j2=j2, j3=j3, j4=j4)


def test_energy_is_the_sum_over_units_and_pairs():
    potential, x = per_unit_potential(), torch.randn(5, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    matrix, expected = potential.couplings.matrix(), 0.0
    for i in range(5):
        expected += (
            potential.j2[i] * x[i] ** 2
            + potential.j3[i] * x[i] ** 3
            + potential.j4[i] * x[i] ** 4
            + potential.bias[i] * x[i]
        )
        for j in range(i):
            expected += matrix[i, j] * x[i] * x[j]
    torch.testing.assert_close(potential.energy(x), expected)
    torch.testing.assert_close(potential(x), expected)


@pytest.mark.parametrize(
    "couplings",
    [
        tt.DenseCouplings(6),
        tt.LatticeCouplings((2, 3), [(0, 1), (1, 0)]),
        tt.BlockCouplings({"visible": 4, "hidden": 2}, [("visible", "hidden"), ("hidden", "hidden")]),
    ],
)
@pytest.mark.parametrize("leading", [(), (7,), (2, 3), (0,)])
def test_gradient_is_the_derivative_of_the_energy(couplings, leading):
    potential = tt.Potential(couplings.double(), j2=0.3, j3=-0.2, j4=torch.linspace(0.1, 1, 6), bias=0.5)
    with torch.no_grad():
        for bonds in couplings.parameters():
            bonds.normal_(generator=torch.Generator().manual_seed(3))
    x = torch.randn(*leading, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(4)).requires_grad_()
    energy = potential.energy(x)
    assert energy.shape == leading
    torch.testing.assert_close(potential.gradient(x), torch.autograd.grad(energy.sum(), x)[0])


def test_one_dtype_throughout():
    potential = tt.Potential(tt.DenseCouplings(3).double(), j2=0.1, bias=torch.zeros(3))
    assert {t.dtype for t in potential.state_dict().values()} == {torch.float64}
    assert potential.j2.item() == 0.1, "0.1 must not have been through float32"


def test_fixed_bias_pushes_but_does_not_learn():
    fixed = torch.tensor([True, False, False])
    potential = tt.Potential(tt.DenseCouplings(3), bias=2.0, fixed_bias=fixed)
    assert potential.gradient(torch.zeros(3)).tolist() == [2.0, 2.0, 2.0]
    potential.energy(torch.ones(3)).backward()
    assert potential.bias.grad.tolist() == [0.0, 1.0, 1.0]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"j2": torch.ones(2)}, r"j2 must be a number or a tensor of shape \(3,\), got shape \(2,\)"),
        ({"bias": torch.ones(1, 3)}, "bias must be a number or a tensor"),
        ({"j4": -1.0}, "no lower bound"),
        ({"j3": 0.1, "j4": torch.tensor([1.0, 1.0, 0.0])}, "no lower bound"),
        ({"j2": float("nan")}, "j2 must be finite"),
        ({"fixed_bias": torch.ones(3)}, "fixed_bias: expected a bool tensor"),
    ],
)
def test_a_coefficient_that_does_not_fit_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        tt.Potential(tt.DenseCouplings(3), **arguments)


def test_a_matrix_is_not_couplings():
    with pytest.raises(TypeError, match="DenseCouplings.from_matrix"):
        tt.Potential(torch.zeros(3, 3))


@pytest.mark.parametrize("x", [torch.ones(4), torch.ones(2, 4), torch.tensor(1.0)])
def test_a_state_of_the_wrong_size_is_refused(x):
    for call in (tt.Potential(tt.DenseCouplings(3)).energy, tt.Potential(tt.DenseCouplings(3)).gradient):
        with pytest.raises(ValueError, match=r"x: expected \[..., 3\]"):
            call(x)


def quadratic_network(n: int = 8) -> tuple[tt.Potential, float]:
    """Return ferromagnetic couplings, whose spectral norm is the top eigenvalue, and the top eigenvalue of 2 j2 + J."""
    matrix = random_matrix(n).abs()
    potential = tt.Potential(tt.DenseCouplings.from_matrix(matrix), j2=1.0, j4=0.0)
    return potential, 2.0 + torch.linalg.eigvalsh(matrix)[-1].item()


def test_stable_dt_of_a_quadratic_potential_is_two_over_its_stiffest_mode():
    potential, stiffest = quadratic_network()
    assert potential.stable_dt(torch.zeros(8, dtype=torch.float64)) == pytest.approx(2 / stiffest, rel=1e-6)
    assert potential.stable_dt(torch.full((8,), 9.0, dtype=torch.float64)) == pytest.approx(2 / stiffest, rel=1e-6)
    far = torch.full((8,), 1e30)  # whose square overflows
    assert potential.float().stable_dt(far, temperature=0.1) == pytest.approx(2 / stiffest, rel=1e-5)


@pytest.mark.parametrize("ratio, diverges", [(0.99, False), (1.01, True)])
def test_euler_steps_diverge_just_beyond_stable_dt_and_not_below(ratio, diverges):
    potential, stiffest = quadratic_network()
    state, dt = torch.ones(1, 8, dtype=torch.float64), ratio * 2 / stiffest
    with torch.no_grad():
        for _ in range(2000):
            state = state - dt * potential.gradient(state)
    assert (state.abs().max() > 1e6) == diverges


@pytest.mark.parametrize(
    "on_site, state, field, curvature",
    [
        ({"j2": 1.0, "j4": 1.0}, 2.0, 0.0, 2 + 12 * 4.0),  # at the state itself
        ({"j2": 0.0, "j4": 1.0}, 0.0, 32.0, 12 * 4.0),  # where 4 x^3 balances the field
        ({"j2": -2.0, "j4": 1.0}, 0.0, 0.0, 4 + 12 * 1.0),  # at the bottom of a double well; the bound takes |j2|
    ],
)
def test_stable_dt_looks_where_the_unit_will_go(on_site, state, field, curvature):
    potential = tt.Potential(tt.DenseCouplings(2).double(), **on_site)
    found = potential.stable_dt(torch.full((2,), state, dtype=torch.float64), drive=torch.tensor([field, 0.0]).double())
    assert found == pytest.approx(2 / curvature, rel=1e-6)


@pytest.mark.parametrize(
    "on_site", [{}, {"j4": 0.0}, {"j2": -1.5, "j3": 0.4}, {"j2": torch.linspace(-1, 2, 8), "j4": torch.arange(8.0)}]
)
@pytest.mark.parametrize("driven", [False, True])
@pytest.mark.parametrize("temperature", [0.0, 30.0])
@pytest.mark.parametrize("scale", [0.0, 0.01, 4.0])
def test_the_bound_of_stable_dt_is_one(on_site, driven, temperature, scale):
    torch.manual_seed(0)
    potential = tt.Potential(tt.DenseCouplings.from_matrix(random_matrix(8)), bias=torch.randn(8).double(), **on_site)
    state, drive = scale * torch.randn(16, 8, dtype=torch.float64), 20 * torch.randn(16, 8, dtype=torch.float64)
    arguments = (state, drive if driven else None, temperature)
    assert 0 < potential.stable_dt_bound(*arguments) <= potential.stable_dt(*arguments)


def test_the_bound_of_stable_dt_sees_how_far_the_couplings_take_a_unit():
    """All eight units pull at each other alike, so that |J| = 7 g, and 4 x^3 + 0.2 x balances |J| x at the reach."""
    potential = tt.Potential(tt.DenseCouplings.from_matrix(40.0 * (torch.ones(8, 8) - torch.eye(8)).double()), j2=0.1)
    state = torch.full((3, 8), 0.5, dtype=torch.float64)
    bound, reach = potential.stable_dt_bound(state), ((280 - 0.2) / 4) ** 0.5
    assert potential.stable_dt(state) == pytest.approx(2 / (0.2 + 280 + 12 * reach**2), rel=1e-3)
    assert 0.7 * potential.stable_dt(state) < bound < potential.stable_dt(state)


def settled(j2: float, j4: float, strength: float) -> tt.Potential:
    """256 units that all pull at each other with |J| = `strength`, or alone."""
    if not strength:
        return tt.Potential(tt.BlockCouplings({"unit": 256}, []), j2=j2, j4=j4)
    matrix = torch.full((256, 256), -strength / 255).fill_diagonal_(0.0)
    return tt.Potential(tt.DenseCouplings.from_matrix(matrix), j2=j2, j4=j4)


@pytest.mark.filterwarnings("error::thermotorch.StabilityWarning")
@pytest.mark.parametrize(
    ("j2", "j4", "temperature", "strength", "steps"),
    [
        (1.0, 1.0, 0.1, 0.0, 20_000),
        (1.0, 0.01, 0.1, 0.0, 1_000),
        (3.0, 0.05, 0.02, 0.0, 1_000),
        (0.5, 1.0, 0.05, 8.0, 1_000),
        pytest.param(1.0, 1.0, 0.1, 0.0, 1_000_000, marks=pytest.mark.slow),
        pytest.param(-0.5, 1.0, 0.1, 0.0, 1_000_000, marks=pytest.mark.slow),
    ],
)
def test_a_run_at_stable_dt_survives(j2, j4, temperature, strength, steps):
    """At the step of linear stability up to three thermal deviations, the first four diverge by step 2,264."""
    potential, state = settled(j2, j4, strength), torch.zeros(1, 256)
    dt = potential.stable_dt(state, temperature=temperature)
    with torch.no_grad():
        run = tt.simulate(potential, state, steps=steps, dt=dt, temperature=temperature, seed=0)
    assert run.state.abs().max() < 5


def test_a_shorter_run_may_take_a_longer_step():
    potential, state = settled(1.0, 1.0, 0.0), torch.zeros(1, 256)
    steps = [potential.stable_dt(state, temperature=0.1, steps=number) for number in (100, 10_000, 1_000_000)]
    assert steps == sorted(steps, reverse=True) and steps[0] > 1.1 * steps[2]


def stiffest(j2: float, j3: float, j4: float, rest: float, temperature: float, energy: float, soft: float) -> float:
    """Return the curvature that limits a step: at the furthest of rest and three deviations, or at rest plus c of

        c = 4 j4 d (3 rest + d),   d^2 = spread + 4 energy / c

    by bisection; `spread` is that of the law in a well of the curvature `soft`, and of the quartic well."""
    spread, low, high = min(2 * energy / soft if soft else inf, sqrt(energy / j4)), 1e-9, 1e9
    for _ in range(200):
        c = sqrt(low * high)
        d = sqrt(spread + 4 * energy / c)
        low, high = (c, high) if 4 * j4 * d * (3 * rest + d) > c else (low, c)
    warm = 3 * min(sqrt(temperature / (2 * j2)) if j2 > 0 else inf, (temperature / (4 * j4)) ** 0.25)
    at_rest, at_furthest = (6 * j3 * x + 12 * j4 * x**2 for x in (rest, max(rest, warm)))
    return 2 * abs(j2) + max(at_furthest, at_rest + (low if energy else 0.0))


@pytest.mark.parametrize(
    ("on_site", "rest", "temperature", "steps"),
    [
        ((1.0, 0.3, 1.0), 2.0, 0.1, 10),  # curved by where it rests, which also narrows its law
        ((0.7, 0.2, 0.02), 0.1, 0.5, 1000),  # a law as wide as the quadratic part leaves it
        ((0.7, 0.2, 0.02), 0.1, 0.5, 10**7),
        ((0.01, 0.5, 2.0), 0.0, 0.2, 10),  # three thermal deviations in the quartic part
        ((-0.5, 0.1, 1.0), 0.5, 0.1, 1000),  # the bottom of a double well
        ((2.0, 1.0, 1.0), 0.8, 0.0, 1000),  # at rest
    ],
)
@pytest.mark.parametrize("units", [1, 40])
def test_stable_dt_of_uncoupled_units_is_that_of_its_equations(on_site, rest, temperature, steps, units):
    """The cheap bound is that number too, but for what it takes for granted: a law as wide as at rest = 0."""
    j2, j3, j4 = on_site
    couplings = tt.BlockCouplings({"unit": units}, [])
    potential = tt.Potential(couplings, torch.full((units,), j2, dtype=torch.float64), j3, j4).double()
    state = torch.full((2, units), rest, dtype=torch.float64)
    energy, flat = temperature * log(1e4 * steps * units), 2 * max(j2, 0.0)
    found = potential.stable_dt(state, temperature=temperature, steps=steps)
    assert found == pytest.approx(2 / stiffest(*on_site, rest, temperature, energy, flat + 12 * j4 * rest**2), rel=0.01)
    bound = potential.stable_dt_bound(state, temperature=temperature, steps=steps)
    assert 0.96 * 2 / stiffest(*on_site, rest, temperature, energy, flat) < bound <= found


@pytest.mark.parametrize(
    ("bias", "drive", "at", "reach"),
    [
        (3.0, None, 0.0, (3.0 / 4) ** (1 / 3)),  # the field of the bias
        (3.0, 1.0, 0.0, (4.0 / 4) ** (1 / 3)),  # a force counts with its modulus, whatever its sign
        (0.0, None, 0.6, (sqrt(2) * 1.5 * sqrt(2) * 0.6 / 4) ** (1 / 3)),  # that of the couplings at the state
        (0.0, None, 0.1, sqrt((sqrt(2) * 1.5 - 0.2) / 4)),  # where units align
    ],
)
def test_the_bound_of_stable_dt_is_that_of_its_equations(bias, drive, at, reach):
    """Two units with J = 1.5, of Frobenius norm sqrt(2) 1.5, in the well 0.1 x^2 + x^4, cold."""
    matrix = torch.tensor([[0.0, 1.5], [1.5, 0.0]]).double()
    potential = tt.Potential(tt.DenseCouplings.from_matrix(matrix), j2=0.1, bias=bias)
    state = torch.tensor([[at, 0.0]]).double()
    force = None if drive is None else torch.tensor([drive, 0.0]).double()
    if bias:  # alone, so that the couplings are no larger reach
        potential.couplings.bonds.detach().zero_()
    norm = 0.0 if bias else sqrt(2) * 1.5
    if not bias:
        reach = max(reach, sqrt((norm - 0.2) / 4), at)
    expected = 2 / (0.2 + norm + 12 * reach**2)
    assert potential.stable_dt_bound(state, force) == pytest.approx(expected, rel=2e-6)


def test_a_drive_against_the_bias_leaves_less_field():
    potential = tt.Potential(tt.BlockCouplings({"unit": 1}, []), j2=0.0, bias=4.0)
    state = torch.zeros(1, 1)
    for drive, field in ((None, 4.0), (3.5, 0.5), (-4.0, 8.0)):
        force = None if drive is None else torch.tensor([drive])
        expected = 2 / (12 * (field / 4) ** (2 / 3))
        assert potential.stable_dt(state, force) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "change",
    [
        lambda potential: potential.bias.fill_(20.0),
        lambda potential: setattr(potential, "bias", torch.nn.Parameter(torch.full((2,), 20.0))),
        lambda potential: setattr(potential, "j4", torch.tensor(9.0)),
        lambda potential: potential.couplings.bonds.mul_(30.0),
    ],
    ids=["values", "another parameter", "another buffer", "couplings"],
)
@torch.no_grad()
def test_the_cached_bound_follows_every_change(change):
    potential, state = tt.Potential(tt.DenseCouplings(2), bias=1.0), torch.ones(1, 2)
    potential.couplings.bonds.fill_(0.5)
    before = potential.stable_dt_bound(state)
    assert potential.stable_dt_bound(state) == before
    change(potential)
    fresh = tt.Potential(potential.couplings, potential.j2, potential.j3, potential.j4, bias=potential.bias)
    assert potential.stable_dt_bound(state) == fresh.stable_dt_bound(state) < 0.9 * before


@pytest.mark.parametrize(
    ("module", "text"),
    [
        (tt.DenseCouplings(3), "DenseCouplings(num_units=3)"),
        (tt.LatticeCouplings((2, 3), [(0, 1)], True), "shape=(2, 3), offsets=[(0, 1)], periodic=True"),
        (tt.BlockCouplings({"a": 2, "b": 2}, [("a", "a")]), "groups={'a': 2, 'b': 2}, pairs=[('a', 'a')]"),
        (
            tt.BlockCouplings({"a": 2, "b": 2, "c": 1}, [("b", "c")], one_to_one=[("a", "b")]),
            "groups={'a': 2, 'b': 2, 'c': 1}, pairs=[('b', 'c')], one_to_one=[('a', 'b')]",
        ),
        (tt.Potential(tt.DenseCouplings(2), 0.5, torch.tensor([0.0, 0.1]), 2.0), "j2=0.5, j3=per unit, j4=2"),
    ],
)
def test_a_module_says_what_it_is(module, text):
    assert text in repr(module)
