"""Autocast regions and modules of half precision: the dynamics run in float32."""

import pytest
import torch

import thermotorch as tt


def layer() -> tt.ThermodynamicLayer:
    torch.manual_seed(0)
    return tt.ThermodynamicLayer(5, 3, hidden=4, t_final=0.1, dt=0.01)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_around_the_layer_changes_no_more_than_the_rounding_of_its_input_forces(dtype):
    features = torch.randn(6, 5)
    net = layer()
    exact = net(features, seed=1)
    with torch.autocast("cpu", dtype):
        found = net(features, seed=1)
        found.float().sum().backward()
    # The linear map of the features may round (8 bits in bfloat16); t_final = 0.1 turns a force into a tenth of it.
    assert (found.float() - exact).abs().max() < 0.1 * 2**-7 * 10
    assert all(torch.isfinite(p.grad).all() and p.grad.dtype == torch.float32 for p in net.parameters())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_run_inside_autocast_is_the_run_outside_it(dtype):
    potential, start = tt.Potential(tt.DenseCouplings(4), bias=0.3), torch.zeros(3, 4)
    arguments = {"steps": 20, "dt": 0.01, "temperature": 0.2, "seed": 1}
    expected = tt.simulate(potential, start, **arguments)
    with torch.autocast("cpu", dtype):
        found = tt.simulate(potential, start, **arguments)
    assert torch.equal(found.state, expected.state) and torch.equal(found.heat, expected.heat)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_potential_in_half_precision_runs_with_its_values_in_float32(dtype):
    potential, start = tt.Potential(tt.DenseCouplings(4), bias=0.3), torch.zeros(3, 4)
    torch.nn.init.normal_(potential.couplings.bonds, std=0.2)
    half = potential.to(dtype)
    arguments = {"steps": 20, "dt": 0.01, "temperature": 0.2, "seed": 1}
    found = tt.simulate(half, start.to(dtype), **arguments)
    expected = tt.simulate(half.float(), start, **arguments)
    assert found.state.dtype == dtype and torch.equal(found.state, expected.state.to(dtype))
    assert torch.equal(found.heat, expected.heat)


def test_a_layer_in_bfloat16_trains():
    net = layer().bfloat16()
    output = net(torch.randn(6, 5).bfloat16(), seed=0)
    output.float().square().sum().backward()
    assert output.dtype == torch.bfloat16
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_run_goes_on_inside_autocast_and_in_half_precision(dtype):
    potential, start = tt.Potential(tt.DenseCouplings(4), bias=0.3).to(dtype).float(), torch.zeros(3, 4)
    arguments = {"dt": 0.01, "temperature": 0.2}
    half = tt.simulate(potential, start, steps=10, seed=1, **arguments)
    expected = tt.simulate(potential, half, steps=10, **arguments)
    with torch.autocast("cpu", dtype):
        found = tt.simulate(potential, half, steps=10, **arguments)
    assert torch.equal(found.state, expected.state)
    found = tt.simulate(potential.to(dtype), half, steps=10, **arguments)
    assert torch.equal(found.state, expected.state) and found.state.dtype == torch.float32
