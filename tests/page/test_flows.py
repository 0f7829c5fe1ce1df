"""A step of the page's units is a step of the library's."""

import pytest
import torch

from tests.page.engines import ENGINES, answer
from thermotorch.couplings import BlockCouplings
from thermotorch.dynamics.splitting import on_site
from thermotorch.potential import Potential


@pytest.mark.parametrize("engine", ENGINES)
def test_one_step_of_single_double_tilted_and_quadratic_wells(engine, tmp_path):
    j2, j3, j4 = torch.tensor(
        [(1.0, 0.0, 1.0), (-0.5, 0.0, 1.0), (0.4, 0.7, 0.8), (0.0, 0.0, 1.0), (0.5, 0.0, 0.0), (0.0, 0.0, 0.0)],
        dtype=torch.float64,
    ).T  # fmt: skip
    x, force, xi = torch.linspace(-1.3, 1.6, 18, dtype=torch.float64).view(3, 6)
    dt, temperature = 0.3, 0.2
    potential = Potential(BlockCouplings({"unit": 6}, []).double(), j2, j3, j4).double()
    flows = on_site(potential, dt=dt, temperature=temperature)
    between = flows.diffuse(flows.relax(x), xi) + flows.gain * (force - flows.bias)
    units = [
        {"well": {"j2": a, "j3": b, "j4": c}, "x": at, "force": pull, "xi": kick}
        for a, b, c, at, pull, kick in torch.stack([potential.j2, potential.j3, potential.j4, x, force, xi], 1).tolist()
    ]
    found = answer(engine, "unit_steps.js", {"units": units, "rate": dt, "temperature": temperature}, tmp_path)
    torch.testing.assert_close(
        torch.tensor(found, dtype=torch.float64), flows.relax(between).detach(), rtol=1e-13, atol=1e-14
    )
