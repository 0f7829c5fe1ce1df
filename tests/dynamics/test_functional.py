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


class Drives:
    def start(self, state):
        return []

    def update(self, carry, step):
        return [*carry, step.drive]

    def result(self, carry):
        return torch.stack(carry)


def test_a_run_in_half_precision_has_every_argument_of_the_one_in_float32():
    potential, start = tt.Potential(tt.DenseCouplings(4), bias=0.25), torch.full((3, 4), 0.5)
    arguments = {
        "steps": 7, "dt": 0.02, "temperature": 0.2, "mobility": torch.linspace(0.5, 2.0, 4), "seed": 1,
        "sample_ids": torch.tensor([5, 3, 9]), "drive": torch.linspace(-1, 1, 4), "clamp": torch.arange(4) == 2,
        "integrator": "heun", "record": 2, "backend": "reference", "start_step": 3, "stream": tt.Stream.DATA,
        "observers": {"drives": Drives()},
    }  # fmt: skip
    found = tt.simulate(potential.bfloat16(), start.bfloat16(), **arguments)
    expected = tt.simulate(potential.float(), start, **arguments)
    for name in ("heat", "work", "states", "times"):
        assert torch.equal(getattr(found, name), getattr(expected, name)), name
    assert torch.equal(found.observed["drives"], expected.observed["drives"])
    assert (found.step, found.seed, found.stream) == (10, 1, tt.Stream.DATA)
    for wrong in ({"precision": "tf23"}, {"backend": "cuda" if found.state.device.type == "cpu" else "cpu"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            tt.simulate(potential.bfloat16(), start.bfloat16(), **{**arguments, **wrong})


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
