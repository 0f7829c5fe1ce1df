"""torch.func around simulations: the values of loops and of ordinary autograd."""

import pytest
import torch
from torch.func import functional_call, grad, jacrev, jvp, stack_module_state, vmap

import thermotorch as tt
from thermotorch.dynamics.functional import simulate_with
from thermotorch.models.classifier.neuron import neuron_activation

SCHEMES = ["euler_maruyama", "heun", "leimkuhler_matthews", "splitting", "alternating"]
PHYSICS = {"steps": 5, "dt": 0.05, "temperature": 0.3}


def lattice() -> tt.Potential:
    couplings = tt.LatticeCouplings((2, 3), [(0, 1), (1, 0)])
    torch.nn.init.normal_(couplings.bonds)
    return tt.Potential(couplings, bias=0.3)


def dense() -> tt.Potential:
    couplings = tt.DenseCouplings(4)
    torch.nn.init.normal_(couplings.bonds)
    return tt.Potential(couplings, bias=0.3)


def machine() -> tt.Potential:
    couplings = tt.BlockCouplings({"left": 2, "right": 3}, [("left", "right")])
    torch.nn.init.normal_(couplings.blocks["left-right"])
    return tt.Potential(couplings, bias=0.3)


class Run(torch.nn.Module):
    def __init__(self, integrator: str, **arguments) -> None:
        super().__init__()
        self.potential, self.arguments = machine(), {**PHYSICS, "seed": 3, "integrator": integrator, **arguments}

    def forward(self, state: torch.Tensor) -> torch.Tensor:
        run = tt.simulate(self.potential, state, **self.arguments)
        return run.state.square().sum(1) + run.heat


def near(found, expected) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("integrator", SCHEMES)
def test_grad_of_a_functional_call_is_that_of_autograd(integrator):
    module, state = Run(integrator), torch.randn(4, 5)
    parameters = dict(module.named_parameters())
    found = grad(lambda parameters: functional_call(module, parameters, (state,)).sum())(parameters)
    module(state).sum().backward()
    for name, parameter in module.named_parameters():
        near(found[name], parameter.grad)


@pytest.mark.parametrize("integrator", SCHEMES)
def test_vmap_over_samples_is_the_batch(integrator):
    module, states, ids = Run(integrator), torch.randn(6, 5), torch.tensor([5, 0, 7, 8, 2, 1])

    def one(state, number):
        run = tt.simulate(module.potential, state[None], **{**module.arguments, "sample_ids": number[None]})
        return run.state[0], run.heat[0]

    together = tt.simulate(module.potential, states, **{**module.arguments, "sample_ids": ids})
    state, heat = vmap(one)(states, ids)
    near(state, together.state)
    near(heat, together.heat)


@pytest.mark.parametrize("integrator", SCHEMES)
def test_vmap_over_an_ensemble_is_a_loop(integrator):
    modules, state = [Run(integrator) for _ in range(3)], torch.randn(4, 5)
    parameters, buffers = stack_module_state(modules)
    shared = {name: value[0] for name, value in buffers.items()}

    def loss(parameters):
        return functional_call(modules[0], (parameters, shared), (state,)).mean()

    near(vmap(loss)(parameters), torch.stack([module(state).mean() for module in modules]))
    gradients = vmap(grad(loss))(parameters)
    for k, module in enumerate(modules):
        module(state).mean().backward()
        for name, parameter in module.named_parameters():
            near(gradients[name][k], parameter.grad)


@pytest.mark.parametrize("integrator", SCHEMES)
def test_jacobians_forward_and_backward_agree_with_differences(integrator):
    potential, state, tangent = machine().double(), torch.randn(2, 5).double(), torch.randn(2, 5).double()

    def end(state):
        return tt.simulate(potential, state, **PHYSICS, seed=3, integrator=integrator).state

    _, forward = jvp(end, (state,), (tangent,))
    backward = torch.einsum("abcd,cd->ab", jacrev(end)(state), tangent)
    differences = (end(state + 1e-5 * tangent) - end(state - 1e-5 * tangent)).detach() / 2e-5
    torch.testing.assert_close(forward, backward)
    torch.testing.assert_close(forward.detach(), differences, rtol=1e-6, atol=1e-8)


def test_a_layer_per_sample_and_its_gradients():
    layer, x, ids = tt.ThermodynamicLayer(3, 2, hidden=4, t_final=0.05, dt=0.01), torch.randn(5, 3), torch.arange(5)
    near(vmap(lambda x, number: layer(x, 7, number))(x, ids), layer(x, 7))
    parameters = dict(layer.named_parameters())

    def loss(parameters, x, number):
        return functional_call(layer, parameters, (x, 7, number)).square().sum()

    per_sample = vmap(grad(loss), (None, 0, 0))(parameters, x, ids)
    layer(x, 7).square().sum().backward()
    for name, parameter in layer.named_parameters():
        near(per_sample[name].sum(0), parameter.grad)


@pytest.mark.parametrize("make", [lattice, dense])
def test_every_topology_has_ensembles(make):
    potentials = [make() for _ in range(3)]
    parameters, buffers = stack_module_state(potentials)
    shared, state = {name: value[0] for name, value in buffers.items()}, torch.randn(2, potentials[0].num_units)

    def end(parameters):
        tensors = {**parameters, **shared}
        return simulate_with(
            tensors, tt.simulate, potentials[0], state, **PHYSICS, seed=1, integrator="splitting"
        ).state

    expected = [tt.simulate(each, state, **PHYSICS, seed=1, integrator="splitting").state for each in potentials]
    near(vmap(end)(parameters), torch.stack(expected))


def test_a_fresh_seed_inside_vmap_follows_its_randomness():
    potential, states = machine(), torch.zeros(3, 1, 5)

    def end(state):
        return tt.simulate(potential, state, **PHYSICS).state

    with pytest.raises(RuntimeError, match="randomness"):
        vmap(end)(states)
    same, different = (vmap(end, randomness=kind)(states) for kind in ("same", "different"))
    assert torch.equal(same[0], same[1]) and not torch.allclose(different[0], different[1])
    torch.manual_seed(3)
    first = vmap(end, randomness="different")(states)
    torch.manual_seed(3)
    assert torch.equal(first, vmap(end, randomness="different")(states))


def test_seeds_may_be_mapped_over():
    potential, state, seeds = machine(), torch.zeros(2, 5), torch.tensor([3, 0, 1 << 40])
    found = vmap(lambda seed: tt.simulate(potential, state, **PHYSICS, seed=seed).state)(seeds)
    for end, seed in zip(found, seeds, strict=True):
        near(end, tt.simulate(potential, state, **PHYSICS, seed=int(seed)).state)


def test_a_potential_of_the_users_own_and_observers():
    class Tilted(tt.Potential):
        def energy(self, x):
            return super().energy(x) + 3.0 * x.sin().sum(-1)

    potential = Tilted(machine().couplings)
    states, observers = torch.randn(4, 1, 5), {"moments": tt.Moments()}

    def run(state):
        return tt.simulate(potential, state, **PHYSICS, seed=1, observers=observers).observed["moments"].mean

    near(vmap(run)(states), torch.stack([run(state) for state in states]))
    near(grad(lambda state: run(state).sum())(states[0]), torch.func.jacrev(lambda state: run(state).sum())(states[0]))


def test_inertia():
    potential, states = machine(), torch.randn(3, 1, 5)

    def end(state):
        return tt.simulate_underdamped(potential, state, **PHYSICS, seed=1).state

    near(vmap(end)(states), torch.stack([end(state) for state in states]))
    near(grad(lambda x: end(x).sum())(states[0]), torch.autograd.functional.jacobian(lambda x: end(x).sum(), states[0]))


def test_a_fast_backend_by_name_is_refused_in_one_sentence():
    potential = machine()
    with pytest.raises(ValueError, match="backend='cpu': inside torch.func only the reference runs"):
        vmap(lambda x: tt.simulate(potential, x, **PHYSICS, seed=0, backend="cpu").state)(torch.zeros(3, 1, 5))


def test_the_activation_of_a_neuron():
    force = torch.linspace(-2.0, 2.0, 5).double()
    near(vmap(neuron_activation)(force), neuron_activation(force))
    slope = torch.autograd.functional.jacobian(lambda x: neuron_activation(x).sum(), force)
    near(vmap(grad(neuron_activation))(force), slope)
    near(vmap(grad(grad(neuron_activation)))(force), torch.autograd.functional.jacobian(
        lambda x: torch.autograd.functional.jacobian(lambda y: neuron_activation(y).sum(), x, create_graph=True).sum(),
        force))  # fmt: skip


def test_training_outside_of_transforms_is_untouched():
    module, state = Run("euler_maruyama", backend="auto"), torch.randn(4, 5)
    before = module(state).detach()
    vmap(lambda x: module(x[None]))(state)
    assert torch.equal(module(state).detach(), before)
