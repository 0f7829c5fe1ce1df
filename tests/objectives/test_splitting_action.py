import pytest
import torch

import thermotorch as tt
from tests.physics import random_potential
from thermotorch.dynamics import normals
from thermotorch.dynamics.splitting import flows
from thermotorch.objectives import reverse_action, splitting_action

PHYSICS = {"dt": 0.1, "temperature": 0.3}


def middle_states(potential: tt.Potential, batch: int, steps: int, **others) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the states right after the noise of each step of a run, z = O N C x, and its normals."""
    with torch.no_grad():
        start = torch.randn(batch, potential.num_units, dtype=torch.float64)
        run = tt.simulate(potential, start, steps=steps, seed=4, integrator="splitting", record=1, **PHYSICS, **others)
        parts, xi = (
            flows(potential, **PHYSICS, **others),
            normals(4, torch.arange(batch), 0, steps, potential.num_units, dtype=torch.float64),
        )
        x = torch.cat([start[None], run.states[:-1]])
        return parts.diffuse(parts.relax(parts.couple(x, parts.push(None))), xi), xi


@pytest.mark.parametrize("mobility", [1.0, 0.4, torch.linspace(0.5, 2.0, 5).double()])
@pytest.mark.parametrize("on_site", [{}, {"j2": -0.5, "j3": 0.3, "j4": 0.4}])
def test_the_action_of_a_run_is_that_of_the_noise_it_drew(on_site, mobility):
    """Exact at a step a hundred times the usual one: the residual of every transition is its own normal."""
    potential = random_potential(5, 0.8, **on_site)
    z, xi = middle_states(potential, 3, 12, mobility=mobility)
    action = splitting_action(potential, z, **PHYSICS, mobility=mobility)
    # The noise is found again from states in float64, as a small difference over a small amplitude.
    torch.testing.assert_close(action, xi[1:].square().sum(-1) / 2, rtol=1e-8, atol=1e-8)


def test_the_action_of_uncoupled_units_is_that_of_the_noise_they_drew():
    torch.manual_seed(0)
    potential = tt.Potential(tt.BlockCouplings({"all": 5}, []), bias=torch.randn(5)).double()
    z, xi = middle_states(potential, 3, 12)
    action = splitting_action(potential, z, **PHYSICS)
    # The noise is found again from states in float64, as a small difference over a small amplitude.
    torch.testing.assert_close(action, xi[1:].square().sum(-1) / 2, rtol=1e-8, atol=1e-8)


def test_likelihood_on_coarse_steps_recovers_the_couplings():
    """200,000 transitions of h = 0.1: the maximum lies where the machine is, within four standard errors."""
    torch.manual_seed(0)
    truth, learner = random_potential(3, 0.8), random_potential(3, 0.8)
    z, _ = middle_states(truth, 2000, 100)
    with torch.no_grad():
        for parameter in learner.parameters():
            parameter.zero_()
    optimizer = torch.optim.LBFGS(learner.parameters(), max_iter=30, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = splitting_action(learner, z, **PHYSICS).mean()
        value.backward()
        return value

    optimizer.step(loss)
    # Fisher information of a force: mu h / (2 kT) x^2 per transition, with x^2 about 0.1.
    error = 4 * (2 * 0.3 / (0.1 * 0.1 * 200_000)) ** 0.5
    for found, expected in zip(learner.parameters(), truth.parameters(), strict=True):
        assert (found - expected).abs().max() < error


def test_small_steps_give_the_euler_maruyama_action():
    potential, path = random_potential(4), (0.0014 * torch.randn(30, 2, 4, dtype=torch.float64)).cumsum(0)
    fine = {"dt": 1e-5, "temperature": 0.1}
    torch.testing.assert_close(
        splitting_action(potential, path, reverse=True, **fine),
        reverse_action(potential, path, **fine),
        rtol=1e-3,
        atol=1e-3,
    )


def test_gradcheck():
    potential, path = random_potential(3), torch.randn(4, 2, 3, dtype=torch.float64)
    names, values = zip(*potential.named_parameters(), strict=True)

    class Action(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.potential = potential

        def forward(self):
            return splitting_action(self.potential, path, reverse=True, **PHYSICS)

    assert torch.autograd.gradcheck(
        lambda *v: torch.func.functional_call(
            Action(), {f"potential.{n}": x for n, x in zip(names, v, strict=True)}, ()
        ),
        values,
    )


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"temperature": 0.0}, "temperature and mobility must be positive"),
        ({"mobility": torch.tensor([1.0, 0.0, 1.0])}, "temperature and mobility must be positive"),
        ({"temperature": -0.1}, "temperature and mobility must be positive"),
        ({"mobility": -1.0}, "temperature and mobility must be positive"),
        ({"path": torch.zeros(1, 2, 3)}, "at least two times"),
        ({"path": torch.zeros(3, 3)}, "at least two times"),
    ],
)
def test_what_has_no_density_is_refused(changed, message):
    arguments = {"path": torch.zeros(3, 2, 3).double(), **PHYSICS, **changed}
    with pytest.raises(ValueError, match=message):
        splitting_action(random_potential(3), **arguments)
