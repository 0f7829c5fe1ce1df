"""A population in one simulation is its members one by one."""

import torch

import thermotorch as tt
from thermotorch.models.population import PopulationCouplings, run_population


def machine() -> tt.Potential:
    couplings = tt.BlockCouplings({"hidden": 4, "output": 2}, [("hidden", "hidden"), ("hidden", "output")])
    return tt.Potential(couplings, j2=0.5, j4=2.0)


def members(potential: tt.Potential, count: int = 3) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.randn(count, *values.shape, generator=generator) for name, values in potential.named_parameters()
    }


def load(potential: tt.Potential, population: dict[str, torch.Tensor], member: int) -> tt.Potential:
    potential.load_state_dict({name: values[member] for name, values in population.items()}, strict=False)
    return potential


def test_every_member_runs_as_it_would_alone():
    """Without noise, since a member's noise depends on its place in the simulation."""
    potential = machine()
    population, drive = members(potential), torch.randn(5, 3, 6, generator=torch.Generator().manual_seed(1))
    settings = {"steps": 40, "dt": 0.01, "temperature": 0.0}
    together = run_population(potential, population, drive, **settings)
    assert together.shape == (5, 3, 6)
    for member in range(3):
        alone = tt.simulate(
            load(machine(), population, member), torch.zeros(5, 6), drive=drive[:, member], **settings, seed=0
        )
        torch.testing.assert_close(together[:, member], alone.state, rtol=1e-4, atol=1e-5)


def test_members_have_independent_noise():
    potential = machine()
    population = {name: values[:1].expand(2, *values.shape[1:]) for name, values in members(potential).items()}
    state = run_population(potential, population, torch.zeros(4000, 1, 6), steps=20, dt=0.02, temperature=1.0, seed=0)
    first, second = state[:, 0], state[:, 1]
    for unit in range(6):
        correlation = torch.corrcoef(torch.stack([first[:, unit], second[:, unit]]))[0, 1]
        assert abs(correlation) < 4 / 4000**0.5
    assert ((first.mean(0) - second.mean(0)).abs() < 4 * (2 / 4000) ** 0.5 * first.std(0)).all()


def test_the_couplings_are_a_block_diagonal_matrix():
    matrices = torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(2))
    matrices = (matrices + matrices.mT) * (1 - torch.eye(4))
    couplings, x = PopulationCouplings(matrices), torch.randn(5, 12, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(couplings(x), x @ torch.block_diag(*matrices))
    torch.testing.assert_close(couplings.matrix(), torch.block_diag(*matrices))
    assert couplings.frobenius_norm() >= torch.linalg.matrix_norm(couplings.matrix(), 2)
