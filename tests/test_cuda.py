"""A GPU gives what the CPU gives, path by path. Skipped only where there is no GPU; `scripts/gpu_checks.sh` runs it."""

import pytest
import torch

import thermotorch as tt
from thermotorch.dynamics.noise import normals, philox
from thermotorch.models.generator import ThermodynamicGenerator

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def rms_ratio(found: torch.Tensor, expected: torch.Tensor) -> float:
    return ((found.cpu() - expected).norm() / expected.norm()).item()


def test_noise_words_are_the_same_integers():
    counter = tuple(torch.randint(0, 2**32, (1000,)) for _ in range(4))
    for here, there in zip(philox(counter, (7, 9)), philox(tuple(c.cuda() for c in counter), (7, 9)), strict=True):
        assert torch.equal(here, there.cpu())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_normals_agree(dtype):
    ids = torch.arange(37)
    here, there = normals(3, ids, 5, 4, 65, dtype=dtype), normals(3, ids.cuda(), 5, 4, 65, dtype=dtype)
    assert rms_ratio(there, here) < (1e-6 if dtype is torch.float32 else 1e-14)


@pytest.mark.parametrize("integrator", ["euler_maruyama", "heun", "leimkuhler_matthews"])
def test_paths_and_gradients_agree(integrator):
    torch.manual_seed(0)
    potential = tt.Potential(tt.DenseCouplings(30)).double()
    torch.nn.init.normal_(potential.couplings.bonds, std=0.2)
    state, drive = torch.randn(9, 30).double(), torch.randn(9, 30).double()
    results = []
    for device in ("cpu", "cuda"):
        potential = potential.to(device)
        potential.zero_grad()
        run = tt.simulate(
            potential,
            state.to(device),
            steps=100,
            dt=1e-3,
            temperature=0.5,
            seed=2,
            drive=drive.to(device),
            integrator=integrator,
        )
        (run.state.square().sum() + run.heat.sum()).backward()
        results.append([t.detach().cpu() for t in (run.state, run.heat, run.work, potential.couplings.bonds.grad)])
    for here, there in zip(*results, strict=True):
        assert rms_ratio(there, here) < 1e-10


def test_generated_images_agree():
    torch.manual_seed(0)
    model = ThermodynamicGenerator(t_final=0.1)
    for block in model.potential.couplings.parameters():
        torch.nn.init.normal_(block, std=0.02)
    here = model.sample(5, seed=1)
    there = model.cuda().sample(5, seed=1)
    assert rms_ratio(there.images, here.images) < 1e-4
    assert rms_ratio(there.heat, here.heat) < 1e-4
