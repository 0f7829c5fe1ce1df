"""The programs we compare with solve our equation, not another one."""

from dataclasses import replace
from importlib.util import find_spec

import pytest
import torch

from thermotorch.dynamics import simulate
from thermotorch.evaluation.speed.rivals import (
    Equation,
    compiled_loop,
    diffrax_euler,
    jax_scan,
    plain_loop,
    torch_rivals,
    torchsde_euler,
)
from thermotorch.models.generator.machine import ThermodynamicGenerator

RIVALS = {
    "plain": ("torch", lambda equation: lambda state: plain_loop(equation, state)),
    "compiled": ("torch", lambda equation: lambda state: compiled_loop(equation, state).detach()),
    "torchsde": ("torchsde", lambda equation: lambda state: torchsde_euler(equation, state)),
    "jax": ("jax", jax_scan),
    "diffrax": ("diffrax", diffrax_euler),
}


@pytest.mark.parametrize("name", RIVALS)
def test_a_rival_follows_the_same_path_without_noise_and_has_noise_of_the_same_size(name):
    library, build = RIVALS[name]
    if not find_spec(library):
        pytest.skip(f"{library} is not installed")
    torch.manual_seed(0)
    potential = ThermodynamicGenerator(image_shape=[1, 4, 4], hidden=8).potential.requires_grad_(False)
    for parameter in potential.parameters():
        parameter.normal_(std=0.3)
    state, machine = torch.randn(3, 24), (potential.couplings.matrix(), potential.bias, 1.0, 1.0)
    expected = simulate(potential, state, steps=100, dt=1e-3, temperature=0.0, seed=0).state
    found = torch.tensor(build(Equation(*machine, steps=100, dt=1e-3, temperature=0.0))(state).__array__())
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    many = state.repeat(2000, 1)
    moved = torch.tensor(build(Equation(*machine, steps=1, dt=1e-6, temperature=0.1))(many).__array__())
    assert (moved - many).var().item() == pytest.approx(2 * 0.1 * 1e-6, rel=0.03)


def test_each_rival_runs_under_its_own_name():
    """Those with torch's noise on one path from one seed, bfloat16 products on another nearby."""
    torch.manual_seed(0)
    equation = Equation(torch.randn(6, 6), torch.randn(6), 1.0, 0.5, steps=20, dt=1e-2, temperature=0.1)
    state, ends = torch.randn(5, 6), {}
    for name, run in torch_rivals(equation).items():
        torch.manual_seed(1)
        ends[name] = torch.as_tensor(run(state)).detach()
    torch.manual_seed(1)
    assert torch.equal(ends["eager torch loop"], plain_loop(equation, state))
    rounded = ends["eager torch loop, bfloat16 products"]
    difference = (rounded - ends["eager torch loop"]).abs().max()
    assert 1e-5 < difference < 0.1
    torch.manual_seed(1)
    rounded_field = replace(equation, field=lambda x: (x.bfloat16() @ equation.couplings.bfloat16()).float())
    assert torch.equal(rounded, plain_loop(rounded_field, state))


def test_the_compiled_loop_has_the_gradients_of_the_plain_one():
    torch.manual_seed(0)
    couplings, bias, state = torch.randn(6, 6).requires_grad_(), torch.randn(6).requires_grad_(), torch.randn(5, 6)
    gradients = []
    for loop in (plain_loop, compiled_loop):
        end = loop(Equation(couplings, bias, 1.0, 0.5, steps=20, dt=1e-2, temperature=0.0), state)
        gradients.append(torch.autograd.grad(end.square().sum(), (couplings, bias)))
    torch.testing.assert_close(gradients[1], gradients[0])
