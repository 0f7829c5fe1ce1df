import copy
import pickle
import warnings

import pytest
import torch

import thermotorch as tt
from tests.physics import Boltzmann, OrnsteinUhlenbeck, assert_mean
from thermotorch.dynamics import INTEGRATORS
from thermotorch.dynamics.cpu import operators as cpu

fast = pytest.mark.skipif(cpu.unavailable() is not None, reason=f"no CPU backend: {cpu.unavailable()}")


def small_layer(**changed) -> tt.ThermodynamicLayer:
    torch.manual_seed(0)
    return tt.ThermodynamicLayer(3, 2, **{"hidden": 2, "t_final": 0.2, "dt": 0.02, "temperature": 0.5, **changed})


def features(*leading: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*leading, 3, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("integrator", [name for name in INTEGRATORS if name != "alternating"])
@pytest.mark.parametrize("hidden", [0, 2])
def test_gradcheck_of_features_and_every_parameter(integrator, hidden):
    layer, x = small_layer(hidden=hidden, integrator=integrator).double(), features(4).double().requires_grad_()
    names, values = zip(*layer.named_parameters(), strict=True)

    def output(x, *values):
        return torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (x, 7))

    assert torch.autograd.gradcheck(output, (x, *values), fast_mode=True)
    output(x, *values).sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in layer.parameters())


@pytest.mark.parametrize("temperature", [0.2, 1.0])
def test_uncoupled_units_answer_with_the_equilibrium_response(temperature):
    """At long times the mean output is the activation function <x>(W u) of Whitelam & Casert, Eq. 2."""
    layer = tt.ThermodynamicLayer(
        1, 3, hidden=0, t_final=4.0, dt=0.02, temperature=temperature, j2=0.5, j4=1.0, integrator="leimkuhler_matthews"
    )
    with torch.no_grad():
        layer.potential.couplings.blocks["output-output"].zero_()
        layer.input.weight.copy_(torch.tensor([[-2.0], [0.5], [4.0]]))
        layer.potential.bias.copy_(torch.tensor([0.0, 0.5, -1.0]))  # V has + b.x: the force is W u - b
        y = layer(torch.full((20_000, 1), 1.5), seed=3)
    truth = [Boltzmann(0.5, 0.0, 1.0, force, temperature).mean() for force in (-3.0, 0.25, 7.0)]
    assert_mean(y, torch.tensor(truth).double(), 4)


def test_quadratic_network_solves_its_linear_response():
    """J4 = 0 and no noise: x relaxes towards (2 j2 + J)^-1 (W u - b), and the outputs are the last units."""
    layer = tt.ThermodynamicLayer(3, 2, hidden=4, t_final=1.0, dt=0.1, temperature=0.0, j4=0.0, mobility=0.5).double()
    with torch.no_grad():
        layer.potential.bias.normal_(generator=torch.Generator().manual_seed(2))
        x = features(5).double()
        stiffness = 2 * torch.eye(6).double() + layer.potential.couplings.matrix()
        expected = [
            OrnsteinUhlenbeck(stiffness, layer.input(u) - layer.potential.bias, 0.0).euler_mean(
                torch.zeros(6).double(), 0.1 * 0.5, 10
            )[4:]
            for u in x
        ]
        torch.testing.assert_close(layer(x, seed=0), torch.stack(expected))


def test_output_is_read_from_the_output_units_of_the_simulated_network():
    """By the wells, the mobility and the scheme of the layer, or by the step and the scheme of one run of it."""
    layer, x = small_layer(j2=0.3, j3=0.6, j4=1.4, mobility=1.7, integrator="heun"), features(6)
    potential = tt.Potential(layer.potential.couplings, 0.3, 0.6, 1.4, bias=layer.potential.bias)
    arguments = {"temperature": 0.5, "mobility": 1.7, "seed": 3, "drive": layer.input(x)}
    run = tt.simulate(potential, torch.zeros(6, 4), steps=10, dt=0.02, integrator="heun", **arguments)
    torch.testing.assert_close(layer(x, seed=3), run.state[:, 2:])
    found = layer.run(x, 3, dt=0.01, integrator="euler_maruyama", record=5)
    run = tt.simulate(potential, torch.zeros(6, 4), steps=20, dt=0.01, record=5, **arguments)
    torch.testing.assert_close(found.recorded, run.recorded)
    torch.testing.assert_close(found.heat, run.heat)


def test_parameters_are_what_the_state_dict_holds():
    layer, other = small_layer(), tt.ThermodynamicLayer(3, 2, hidden=2, t_final=0.2, dt=0.02, temperature=0.5)
    trained = {"input.weight", "potential.bias"} | {
        f"potential.couplings.blocks.{b}" for b in ("hidden-hidden", "hidden-output", "output-output")
    }
    assert {name for name, _ in layer.named_parameters()} == trained
    assert set(layer.state_dict()) == trained | {"potential.j2", "potential.j3", "potential.j4"}
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other(features(4), seed=1), layer(features(4), seed=1))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_copies_compute_the_same_and_share_nothing(duplicate):
    layer = small_layer()
    other = duplicate(layer)
    assert torch.equal(other(features(4), seed=1), layer(features(4), seed=1))
    with torch.no_grad():
        other.input.weight.add_(1.0)
    assert not torch.equal(other(features(4), seed=1), layer(features(4), seed=1))


def test_repr_says_what_it_is():
    text = repr(small_layer())
    assert "in_features=3, out_features=2, hidden=2, t_final=0.2, dt=0.02, temperature=0.5" in text
    assert "(couplings): BlockCouplings(" in text and "groups={'hidden': 2, 'output': 2}" in text


def test_seed_none_is_governed_by_torch_manual_seed():
    layer, x = small_layer(), features(4)
    torch.manual_seed(5)
    first, second = layer(x), layer(x)
    torch.manual_seed(5)
    assert torch.equal(layer(x), first)
    assert not torch.equal(first, second)
    assert torch.equal(layer(x, seed=9), layer(x, seed=9))


@pytest.mark.parametrize("leading", [(), (4,), (2, 3), (2, 1, 3), (0,)])
def test_leading_dimensions_are_kept(leading):
    layer, x = small_layer(), features(*leading)
    y = layer(x, seed=1)
    assert y.shape == (*leading, 2)
    torch.testing.assert_close(y.reshape(-1, 2), layer(x.reshape(-1, 3), seed=1))


def test_sample_ids_name_the_noise_of_each_row():
    layer, x = small_layer(), features(2, 3)
    ids = torch.tensor([[5, 0, 9], [5, 2, 1 << 33]])
    y = layer(x, seed=1, sample_ids=ids)
    for row in range(2):
        for column in range(3):
            torch.testing.assert_close(layer(x[row, column], seed=1, sample_ids=ids[row, column]), y[row, column])
    assert not torch.allclose(layer(x, seed=1), y)


def test_steps_cover_the_observation_time_exactly():
    layer = tt.ThermodynamicLayer(1, 1, t_final=0.25, dt=0.125)
    assert (layer.steps, layer.dt) == (2, 0.125)
    assert tt.ThermodynamicLayer(1, 1).steps == 200


@pytest.mark.parametrize("couplings", [False, True])
def test_it_learns_inside_a_torch_model(couplings):
    """The sign of one feature in three, as a classification: a few steps of Adam take the loss well below ln 2."""
    layer = small_layer(hidden=4 if couplings else 0, temperature=0.05, t_final=0.4, dt=0.04)
    model = torch.nn.Sequential(layer, torch.nn.Linear(2, 2))
    optimizer, x = torch.optim.Adam(model.parameters(), lr=0.05), features(256)
    for _ in range(60):
        loss = torch.nn.functional.cross_entropy(model(x), (x[:, 0] > 0).long())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.3


def test_nothing_is_said_on_the_way():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tt.ThermodynamicLayer(3, 1, hidden=0)(features(2))
        tt.ThermodynamicLayer(3, 1, hidden=1)(features(2))


def test_features_that_are_no_tensor_are_refused():
    with pytest.raises(TypeError, match="features: expected a tensor, got list"):
        small_layer()([1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: small_layer()(torch.ones(4)), r"features: expected \[..., 3\], got \(4,\)"),
        (lambda: small_layer()(torch.tensor(1.0)), r"features: expected \[..., 3\]"),
        (lambda: small_layer()(features(2), sample_ids=torch.arange(3)), "sample_ids: expected an int64 tensor"),
        (lambda: small_layer()(features(2), seed=-1), "seed must lie in"),
        (lambda: small_layer(dt=0.3), "dt must be positive and at most t_final"),
        (lambda: small_layer(dt=0.0), "dt must be finite and positive"),
        (lambda: small_layer(hidden=-1), "hidden: expected at least 0"),
        (lambda: tt.ThermodynamicLayer(3, 0), "out_features: expected at least 1"),
        (lambda: tt.ThermodynamicLayer(0, 2), "in_features: expected at least 1"),
        (lambda: small_layer(temperature=-1.0), "temperature must be finite and not negative"),
        (lambda: small_layer(mobility=-1.0), "mobility must be finite and not negative"),
        (lambda: small_layer(integrator="eulr_maruyama"), "did you mean 'euler_maruyama'"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


class InAModel(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.before, self.layer, self.after = torch.nn.Linear(3, 3), small_layer(), torch.nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.after(self.layer(torch.tanh(self.before(x)), seed=3))


@fast
def test_torch_export_gives_a_program_with_the_run_as_one_operator():
    model, x = InAModel(), features(5)
    program = torch.export.export(model, (x,))
    assert [node for node in program.graph.nodes if str(node.target).startswith("thermotorch.langevin")]
    assert torch.equal(program.module()(x), model(x))


@fast
@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_torch_compile_takes_a_model_with_the_layer_in_one_graph():
    model, x = InAModel(), features(5)
    compiled, gradients = torch.compile(model, fullgraph=True, backend="aot_eager"), []
    assert torch.equal(compiled(x), model(x))
    for run in (compiled, model):
        model.zero_grad()
        run(x).square().sum().backward()
        gradients.append([p.grad.clone() for p in model.parameters()])
    for found, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected)


@fast
def test_a_second_derivative_is_refused_clearly_and_the_reference_has_it():
    layer, x = small_layer(), features(2).requires_grad_()
    (gradient,) = torch.autograd.grad(layer(x, seed=1).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="no second derivative; simulate with backend='reference'"):
        gradient.sum().backward()
    layer, x = layer.double(), x.double()
    (gradient,) = torch.autograd.grad(layer(x, seed=1).sum(), x, create_graph=True)
    gradient.square().sum().backward()


def test_torch_compile_needs_no_seed_and_recompiles_for_no_batch_size():
    from torch._dynamo.testing import CompileCounter

    torch._dynamo.reset()
    layer = tt.ThermodynamicLayer(5, 3, hidden=4, t_final=0.05, dt=0.01)
    counter = CompileCounter()
    compiled = torch.compile(layer, fullgraph=True, backend=counter, dynamic=True)
    torch.manual_seed(0)
    found = [compiled(torch.ones(n, 5)) for n in (4, 7, 12)]
    torch.manual_seed(0)
    for output, n in zip(found, (4, 7, 12), strict=True):
        torch.testing.assert_close(output, layer(torch.ones(n, 5)))
    assert counter.frame_count == 1
    assert not torch.equal(compiled(torch.ones(4, 5)), found[0])


def test_torch_export_with_any_batch_and_no_seed():
    layer = tt.ThermodynamicLayer(5, 3, hidden=4, t_final=0.05, dt=0.01)
    program = torch.export.export(
        layer, (torch.ones(4, 5),), dynamic_shapes={"features": {0: torch.export.Dim("batch", min=2)}}, strict=True
    ).module()  # fmt: skip
    torch.manual_seed(3)
    found = program(torch.ones(9, 5))
    torch.manual_seed(3)
    torch.testing.assert_close(found, layer(torch.ones(9, 5)))


@pytest.mark.parametrize("hidden", [60, 240])
def test_fresh_couplings_have_a_tenth_of_the_spectral_edge(hidden):
    """A symmetric matrix of n x n normals of deviation s has its edge at 2 s sqrt(n); wells have curvature 2 j2 = 2."""
    torch.manual_seed(0)
    layer = tt.ThermodynamicLayer(4, 10, hidden=hidden)
    torch.nn.init.ones_(layer.potential.bias)
    layer.reset_parameters()
    assert not layer.potential.bias.any()
    matrix = layer.potential.couplings.matrix()
    assert torch.linalg.eigvalsh(matrix)[-1].item() == pytest.approx(0.2, rel=0.1)


@pytest.mark.parametrize("features", [4, 400])
def test_fresh_inputs_push_with_forces_of_order_one(features):
    """Whatever their number: features of variance one give forces of variance one."""
    torch.manual_seed(0)
    force = tt.ThermodynamicLayer(features, 300, hidden=200).input(torch.randn(200, features))
    assert force.var().item() == pytest.approx(1.0, rel=0.1)
