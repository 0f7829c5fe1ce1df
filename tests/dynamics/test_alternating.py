import pytest
import torch

import thermotorch as tt
from tests.physics import OrnsteinUhlenbeck, random_potential
from thermotorch.dynamics.alternating import second_colour


@pytest.mark.parametrize(
    "pairs, second",
    [([("a", "b")], "b"), ([("a", "b"), ("b", "c")], "b"), ([("b", "c"), ("c", "d"), ("a", "d")], "bd"), ([], "")],
)
def test_the_first_group_of_every_part_has_the_first_colour(pairs, second):
    groups = {"a": 3, "b": 1, "c": 2, "d": 4}
    found = second_colour(tt.BlockCouplings(groups, pairs).pieces(), sum(groups.values()))
    assert found.tolist() == [name in second for name, size in groups.items() for _ in range(size)]


@pytest.mark.parametrize(
    "pairs, message",
    [([("a", "a"), ("a", "b")], "a group with itself"), ([("a", "b"), ("b", "c"), ("a", "c")], "a ring of odd length")],
)
def test_other_couplings_are_refused_with_what_to_write_instead(pairs, message):
    potential = tt.Potential(tt.BlockCouplings({"a": 2, "b": 3, "c": 4}, pairs))
    for backend in ("auto", "reference"):
        with pytest.raises(ValueError, match=f"integrator='alternating' needs .*{message}.* use 'splitting'"):
            tt.simulate(
                potential,
                torch.zeros(2, 9),
                steps=1,
                dt=0.1,
                temperature=0.1,
                integrator="alternating",
                backend=backend,
                seed=0,
            )


def test_fixed_points_are_those_of_the_potential():
    """Without noise the linear machine comes to rest where its force vanishes, whatever the step."""
    potential = random_potential(6, bipartite=True, j4=0.0)
    run = tt.simulate(
        potential, torch.zeros(1, 6).double(), steps=200, dt=0.3, temperature=0.0, integrator="alternating", seed=0
    )
    assert potential.gradient(run.state).abs().max() < 1e-10


def test_coupled_quadratic_units_are_first_order():
    potential, start, errors = random_potential(6, bipartite=True, j4=0.0), torch.ones(1, 6).double(), []
    stiffness = 2 * torch.eye(6).double() + potential.couplings.matrix().detach()
    truth = OrnsteinUhlenbeck(stiffness, -potential.bias.detach(), 0.0).mean(start[0], 1.0)
    for steps in (20, 40):
        run = tt.simulate(
            potential, start, steps=steps, dt=1.0 / steps, temperature=0.0, integrator="alternating", seed=0
        )
        errors.append((run.state[0] - truth).norm().item())
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.1)
