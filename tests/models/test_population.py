"""A population is its members one by one, all in the same noise."""

import pytest
import torch

import thermotorch as tt
from tests.test_user_potentials import Tilted
from thermotorch.models.population import run_population

RUN = {"steps": 40, "dt": 0.01, "temperature": 0.5, "seed": 3}
ROUNDING = 3e-6  # of float32 states below 1: 40 steps, each off by half an epsilon, 6e-8


def machine(j3: float = 0.0) -> tt.Potential:
    couplings = tt.BlockCouplings({"hidden": 4, "output": 2}, [("hidden", "hidden"), ("hidden", "output")])
    return tt.Potential(couplings, j2=0.5, j3=j3, j4=2.0)


def members(potential: tt.Potential, count: int = 3) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.randn(count, *values.shape, generator=generator) for name, values in potential.named_parameters()
    }


def load(potential: tt.Potential, population: dict[str, torch.Tensor], member: int) -> tt.Potential:
    potential.load_state_dict({name: values[member] for name, values in population.items()}, strict=False)
    return potential


@pytest.mark.parametrize("integrator", ["euler_maruyama", "splitting"])
def test_every_member_runs_as_it_would_alone(integrator):
    potential = machine()
    population, drive = members(potential), torch.randn(5, 3, 6, generator=torch.Generator().manual_seed(1))
    before = {name: values.clone() for name, values in potential.named_parameters()}
    together = run_population(potential, population, drive, integrator=integrator, **RUN)
    assert together.shape == (5, 3, 6)
    for member in range(3):
        alone = tt.simulate(
            load(machine(), population, member), torch.zeros(5, 6), drive=drive[:, member], integrator=integrator, **RUN
        )
        torch.testing.assert_close(together[:, member], alone.state, rtol=0, atol=ROUNDING)
    assert all(torch.equal(values, before[name]) for name, values in potential.named_parameters())


def test_the_mirrored_run_is_the_one_in_the_opposite_noise():
    """Written out: Euler-Maruyama steps in the noise xi and in -xi."""
    potential = machine()
    population, drive = members(potential, 1), torch.randn(5, 1, 6, generator=torch.Generator().manual_seed(1))
    mean = run_population(potential, population, drive, mirrored=True, **RUN)[:, 0]
    alone = load(machine(), population, 0)
    xi = tt.dynamics.normals(RUN["seed"], torch.arange(5), 0, RUN["steps"], 6)
    ends = []
    for sign in (1, -1):
        x = torch.zeros(5, 6)
        for noise in xi:
            force = drive[:, 0] - alone.gradient(x).detach()
            x = x + RUN["dt"] * force + sign * (2 * RUN["temperature"] * RUN["dt"]) ** 0.5 * noise
        ends.append(x)
    torch.testing.assert_close(mean, (ends[0] + ends[1]) / 2, rtol=0, atol=ROUNDING)


def test_mirrored_runs_need_an_even_potential():
    potential = machine(j3=0.1)
    with pytest.raises(ValueError, match="mirrored: expected an even potential, j3 = 0"):
        run_population(potential, members(potential), torch.zeros(2, 1, 6), mirrored=True, **RUN)


def test_a_law_of_the_users_own_is_refused():
    potential = Tilted(tt.BlockCouplings({"hidden": 4, "output": 2}, [("hidden", "output")]))
    with pytest.raises(ValueError, match="run_population"):
        run_population(potential, members(potential), torch.zeros(2, 1, 6), **RUN)
