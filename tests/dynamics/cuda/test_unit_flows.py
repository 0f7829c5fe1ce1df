"""The coefficients of single units' flows against torch's in float64."""

import pytest
import torch

from tests.dynamics.cuda.cases import Case
from thermotorch.dynamics.cuda.run import Run
from thermotorch.dynamics.cuda.unit_flows import unit_flows
from thermotorch.dynamics.operators.arguments import Langevin
from thermotorch.dynamics.splitting import on_site_flows


@pytest.mark.parametrize("dt", [0.1, 1e-3, 1e-8])
def test_coefficients_are_those_of_torch_in_float64(dt, device):
    case = Case(150, 1, 1, "alternating", groups=(100, 50), pairs=((0, 1),), wells=True, clamped=7, dt=dt)
    run = Run.of(Langevin(*case.arguments(device)))
    places = torch.randperm(150, generator=torch.Generator().manual_seed(1))[:140].to(device)
    bias, j2, j3, j4, mobility = (
        value.double()[places] for value in (run.bias, run.j2, run.j3, run.j4, run.mobility)
    )  # fmt: skip
    flows = on_site_flows(bias, j2, j3, j4, mobility * run.dt, run.temperature)
    expected = torch.stack([flows.bias, flows.decay, flows.gain, flows.spread, flows.stiffness, flows.shift])
    found = unit_flows(run, places)
    assert found.dtype == torch.float32 and bool((mobility == 0).any()) and bool((j4 == 0).any())
    torch.testing.assert_close(found.double(), expected, rtol=6e-8, atol=0.0)  # one rounding to float32
