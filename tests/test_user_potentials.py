"""Potentials and couplings of a user's own: every path simulates their energy, or refuses by name."""

import pytest
import torch
from torch import nn

import thermotorch as tt
from thermotorch.dynamics import INTEGRATORS

TILT = 3.0


class Tilted(tt.Potential):
    """The quartic well with a tilt, by energy and force."""

    def energy(self, x):
        return super().energy(x) + TILT * x.sum(-1)

    def on_site_gradient(self, x):
        return super().on_site_gradient(x) + TILT


class TiltedEnergy(tt.Potential):
    def energy(self, x):
        return super().energy(x) + TILT * x.sum(-1)


class Mixin:
    def energy(self, x):
        return super().energy(x) + TILT * x.sum(-1)


class TiltedByMixin(Mixin, tt.Potential):
    pass


class TrainedTilt(tt.Potential):
    def __init__(self, couplings):
        super().__init__(couplings)
        self.tilt = nn.Parameter(torch.tensor(TILT))

    def energy(self, x):
        return super().energy(x) + self.tilt * x.sum(-1)


class Stronger(tt.DenseCouplings):
    """Twice the couplings of its matrix, which does not say so."""

    def bind(self):
        field = super().bind()
        return lambda x: 2 * field(x)


class Renamed(tt.Potential):
    """No law of its own: the fast paths take it."""

    def extra_repr(self):
        return "renamed"


def biased() -> tt.Potential:
    return tt.Potential(tt.DenseCouplings(2), bias=TILT)


ARGUMENTS = {"steps": 10, "dt": 0.01, "temperature": 0.3, "seed": 4}


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("backend", ["reference", "auto"])
@pytest.mark.parametrize("integrator", ["euler_maruyama", "heun", "leimkuhler_matthews", "auto"])
@pytest.mark.parametrize("kind", [Tilted, TiltedEnergy, TiltedByMixin, TrainedTilt])
def test_a_tilt_by_a_subclass_is_a_bias(kind, integrator, backend, dtype, grad):
    start = torch.zeros(5, 2, dtype=dtype)
    with torch.set_grad_enabled(grad):
        scheme = "heun" if integrator == "auto" else integrator
        expected = tt.simulate(biased().to(dtype), start, integrator=scheme, backend="reference", **ARGUMENTS)
        found = tt.simulate(
            kind(tt.DenseCouplings(2)).to(dtype), start, integrator=integrator, backend=backend, **ARGUMENTS
        )
    torch.testing.assert_close(found.state, expected.state)
    # Heat is a difference of two energies of order 10, each summed in another order: a few roundings of 2^-24 x 10.
    torch.testing.assert_close(found.heat, expected.heat, rtol=1e-6, atol=1e-5 if dtype == torch.float32 else 1e-12)


def test_energy_patched_on_an_instance_counts_too():
    potential = tt.Potential(tt.DenseCouplings(2))
    plain = potential.energy
    potential.energy = lambda x: plain(x) + TILT * x.sum(-1)
    expected = tt.simulate(biased(), torch.zeros(5, 2), backend="reference", **ARGUMENTS)
    torch.testing.assert_close(tt.simulate(potential, torch.zeros(5, 2), **ARGUMENTS).state, expected.state)


def test_gradients_reach_the_parameters_of_a_users_energy():
    potential = TrainedTilt(tt.DenseCouplings(2))
    tt.simulate(potential, torch.zeros(5, 2), **ARGUMENTS).state.sum().backward()
    reference = biased()
    tt.simulate(reference, torch.zeros(5, 2), backend="reference", **ARGUMENTS).state.sum().backward()
    torch.testing.assert_close(potential.tilt.grad, reference.bias.grad.sum())
    torch.testing.assert_close(potential.bias.grad, reference.bias.grad)


@pytest.mark.parametrize("backend", ["reference", "auto"])
def test_couplings_of_a_users_own_are_simulated_as_they_act(backend):
    matrix = torch.tensor([[0.0, 0.4], [0.4, 0.0]])
    expected = tt.simulate(
        tt.Potential(tt.DenseCouplings.from_matrix(2 * matrix), bias=1.0),
        torch.zeros(5, 2),
        backend="reference",
        **ARGUMENTS,
    )
    found = tt.simulate(
        tt.Potential(Stronger(2).load_matrix(matrix), bias=1.0), torch.zeros(5, 2), backend=backend, **ARGUMENTS
    )
    torch.testing.assert_close(found.state, expected.state)
    torch.testing.assert_close(found.heat, expected.heat, rtol=1e-6, atol=1e-5)  # a difference of energies, as above


@pytest.mark.parametrize("integrator", ["splitting", "alternating"])
@pytest.mark.parametrize("backend", ["reference", "auto"])
def test_schemes_of_exact_flows_refuse_them_by_name(integrator, backend):
    with pytest.raises(ValueError, match=f"{integrator}.*TiltedEnergy"):
        tt.simulate(
            TiltedEnergy(tt.DenseCouplings(2)), torch.zeros(1, 2), integrator=integrator, backend=backend, **ARGUMENTS
        )


def test_the_compiled_backend_refuses_them_by_name():
    with pytest.raises(ValueError, match="TiltedEnergy"):
        tt.simulate(TiltedEnergy(tt.DenseCouplings(2)), torch.zeros(1, 2), backend="cpu", **ARGUMENTS)


def test_a_users_energy_that_diverges_is_advised_half_the_step():
    """The stability of its own law is unknown, and that of the wells it does not use says nothing."""

    class Steep(tt.Potential):
        def energy(self, x):
            return 100 * x.pow(4).sum(-1)

    with pytest.raises(FloatingPointError, match=r"\(dt=0.1\); try dt=0.05 or smaller"):
        tt.simulate(Steep(tt.DenseCouplings(2), j4=1e6), torch.full((1, 2), 5.0), steps=50, dt=0.1, temperature=0.0)


def test_forces_without_an_energy_are_refused_where_the_class_is_written():
    with pytest.raises(TypeError, match="overrides on_site_gradient but not energy"):

        class Half(tt.Potential):
            def on_site_gradient(self, x):
                return 3 * x


def test_a_subclass_without_a_law_of_its_own_is_quartic():
    assert Renamed(tt.DenseCouplings(2)).quartic and tt.Potential(tt.LatticeCouplings((2, 2), [(0, 1)])).quartic
    for name in INTEGRATORS:
        if name != "alternating":
            tt.simulate(Renamed(tt.DenseCouplings(2)), torch.zeros(1, 2), integrator=name, **ARGUMENTS)


def test_underdamped_dynamics_have_the_same_energy():
    arguments = {"steps": 40, "dt": 0.01, "temperature": 0.3, "seed": 4}
    expected = tt.simulate_underdamped(biased(), torch.zeros(5, 2), **arguments)
    found = tt.simulate_underdamped(TiltedEnergy(tt.DenseCouplings(2)), torch.zeros(5, 2), **arguments)
    torch.testing.assert_close(found.state, expected.state)


class Fixed(tt.Couplings):
    """Couplings that are not trained, in no parameter and no buffer."""

    def __init__(self, matrix):
        super().__init__()
        self.num_units, self.values = len(matrix), matrix

    def matrix(self):
        return self.values

    def mask(self):
        return self.values != 0

    def bind(self):
        return lambda x: x @ self.values


@pytest.mark.parametrize("integrator", ["euler_maruyama", "splitting", "auto"])
@pytest.mark.parametrize("backend", ["reference", "auto"])
def test_couplings_without_parameters_couple_under_every_scheme(backend, integrator):
    """And a second machine of the same kind is not given the exponential of the first."""
    for strength in (0.4, 0.8):
        matrix = strength * torch.tensor([[0.0, 1.0], [1.0, 0.0]])
        runs = [
            tt.simulate(tt.Potential(couplings, bias=1.0), torch.zeros(5, 2), backend=backend, integrator=integrator,
                        **ARGUMENTS)
            for couplings in (Fixed(matrix), tt.DenseCouplings.from_matrix(matrix))
        ]  # fmt: skip
        torch.testing.assert_close(runs[0].state, runs[1].state)
        torch.testing.assert_close(
            runs[0].heat, runs[1].heat, rtol=1e-6, atol=1e-5
        )  # a difference of energies, as above
