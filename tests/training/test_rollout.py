"""The run for training is `simulate` path by path, given the same normals, and so is its gradient."""

import pytest
import torch

import thermotorch as tt
from thermotorch.dynamics.noise import normals
from thermotorch.training.captured import CapturedGradient
from thermotorch.training.rollout import leaky_clamp, rollout


@pytest.fixture
def potential() -> tt.Potential:
    torch.manual_seed(0)
    couplings = tt.BlockCouplings({"visible": 6, "hidden": 5}, [("visible", "hidden")])
    torch.nn.init.normal_(couplings.blocks["visible-hidden"], std=0.5)
    j2 = torch.cat([torch.full((6,), 0.5), torch.full((5,), -0.5)])
    return tt.Potential(couplings, j2, 0.0, 1.0, bias=torch.randn(11))


def same_noise(ids):
    def of(part):
        return lambda step, like: normals(3, ids, step, 1, 11)[0][:, part]

    return of(slice(6)), of(slice(6, 11))


def test_a_rollout_is_a_simulation(potential):
    state, force, ids = torch.randn(7, 11), torch.randn(7, 11), torch.arange(7)
    common = {"steps": 9, "dt": 0.07, "temperature": 0.1}
    run = tt.simulate(potential, state, drive=force, integrator="alternating", seed=3, record=1, **common)
    shown, first, second = rollout(
        potential, state[:, :6], state[:, 6:], (force[:, :6], force[:, 6:]), readout_steps=3, normals=same_noise(ids),
        **common,
    )  # fmt: skip
    torch.testing.assert_close(torch.cat([first, second], 1), run.state, rtol=0, atol=1e-5)
    torch.testing.assert_close(shown, run.states[-3:, :, :6].mean(0), rtol=0, atol=1e-5)
    parameters = list(potential.parameters())
    wanted = torch.autograd.grad(run.state.square().sum(), parameters)
    found = torch.autograd.grad(torch.cat([first, second], 1).square().sum(), parameters)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_uncoupled_units_feel_neither_couplings_nor_biases(potential):
    state, ids = torch.randn(7, 11), torch.arange(7)
    bare = tt.Potential(tt.BlockCouplings({"unit": 11}, []), potential.j2, 0.0, 1.0)
    common = {"steps": 9, "dt": 0.07, "temperature": 0.1}
    run = tt.simulate(bare, state, integrator="alternating", seed=3, **common)
    _, first, second = rollout(
        potential, state[:, :6], state[:, 6:], (0.0, 0.0), coupled=False, normals=same_noise(ids), **common
    )
    torch.testing.assert_close(torch.cat([first, second], 1), run.state, rtol=0, atol=1e-5)


def test_clamped_pixels_keep_a_twentieth_of_their_excess_and_of_its_slope():
    x = torch.tensor([-1.0, 0.0, 0.3, 1.0, 3.0], requires_grad=True)
    clamped = leaky_clamp(x)
    torch.testing.assert_close(clamped, torch.tensor([-0.05, 0.0, 0.3, 1.0, 1.1]))
    clamped[[0, 2, 4]].sum().backward()
    torch.testing.assert_close(x.grad, torch.tensor([0.05, 0.0, 1.0, 0.0, 0.05]))


def test_the_gradient_at_hand_is_that_of_autograd(potential):
    x = torch.randn(4, 11)
    value = CapturedGradient()("energy", lambda x: potential.energy(x).sum(), list(potential.parameters()), x)
    assert not value.requires_grad
    wanted = torch.autograd.grad(potential.energy(x).sum(), list(potential.parameters()))
    for parameter, gradient in zip(potential.parameters(), wanted, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_a_third_group_acts_through_the_force_alone():
    torch.manual_seed(0)
    couplings = tt.BlockCouplings({"visible": 6, "hidden": 5, "label": 4}, [("visible", "hidden"), ("hidden", "label")])
    for block in couplings.blocks.values():
        torch.nn.init.normal_(block, std=0.5)
    potential = tt.Potential(couplings, 0.5, 0.0, 1.0, bias=torch.randn(15))
    first, second, label = torch.randn(4, 6), torch.randn(4, 5), torch.randn(4, 4)
    common = {"steps": 9, "dt": 0.07, "temperature": 0.0}
    held = torch.arange(15) >= 11
    run = tt.simulate(potential, torch.cat([first, second, label], 1), clamp=held, integrator="alternating", **common)
    force = -label @ couplings.block("hidden", "label").T
    _, first, second = rollout(potential, first, second, (0.0, force), **common)
    # Float32 states of order one after nine steps, which the two sum in another order.
    torch.testing.assert_close(torch.cat([first, second], 1), run.state[:, :11], rtol=0, atol=1e-5)
