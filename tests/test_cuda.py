"""Tests that need a GPU, skipped without one; `scripts/gpu_checks.sh` runs them, and `tests/dynamics/cuda`."""

import pytest
import torch

import thermotorch as tt
from tests.dynamics.cuda.cases import Case, changed, rms_ratio
from thermotorch.dynamics import INTEGRATORS
from thermotorch.dynamics.noise import normals, philox
from thermotorch.dynamics.operators import langevin as op
from thermotorch.dynamics.operators.arguments import Langevin
from thermotorch.models.generator.machine import ThermodynamicGenerator

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
# Of displacements over 120 steps (60 of the alternating scheme). Emulated on the CPU, rounding gives 2e-7, 8e-5 and
# 2e-4 for these machines (1e-7, 3e-5 and 1e-4).
TOLERANCE = {"ieee": 2e-6, "tf32": 3e-4, "bf16": 6e-4}
# Of gradients, whose outer products have both factors rounded, to 2^-11 and 2^-9 of each.
GRADIENT_TOLERANCE = {"ieee": 4e-6, "tf32": 2e-3, "bf16": 6e-3}


def halves(units: int, batch: int, steps: int, **options) -> Case:
    """Return a machine of two groups, coupled with each other, for the alternating scheme at its longer steps."""
    groups = units - units // 3, units // 3
    options = {"dt": 0.05, "coupling": units**-0.5, "drive": "sample", **options}
    return Case(units, batch, steps, "alternating", groups=groups, pairs=((0, 1),), **options)


@pytest.fixture
def kernels():
    from thermotorch.dynamics import cuda as kernels

    return kernels


def displacement(end: torch.Tensor, case: Case) -> torch.Tensor:
    return end.cpu().double() - case.state.float().double()


def test_noise_words_are_the_same_integers():
    counter = tuple(torch.randint(0, 2**32, (1000,)) for _ in range(4))
    for here, there in zip(philox(counter, (7, 9)), philox(tuple(c.cuda() for c in counter), (7, 9)), strict=True):
        assert torch.equal(here, there.cpu())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_normals_agree(dtype):
    ids = torch.arange(37)
    here, there = normals(3, ids, 5, 4, 65, dtype=dtype), normals(3, ids.cuda(), 5, 4, 65, dtype=dtype)
    assert rms_ratio(there, here.double()) < (1e-6 if dtype is torch.float32 else 1e-14)


@pytest.mark.parametrize("integrator", ["euler_maruyama", "heun", "leimkuhler_matthews", "splitting"])
def test_paths_and_gradients_of_the_reference_agree(integrator):
    torch.manual_seed(0)
    potential = tt.Potential(tt.DenseCouplings(30)).double()
    torch.nn.init.normal_(potential.couplings.bonds, std=0.2)
    state, drive = torch.randn(9, 30).double(), torch.randn(9, 30).double()
    results = []
    for device in ("cpu", "cuda"):
        potential = potential.to(device)
        potential.zero_grad()
        run = tt.simulate(
            potential, state.to(device), steps=100, dt=1e-3, temperature=0.5, seed=2, drive=drive.to(device),
            integrator=integrator,
        )  # fmt: skip
        (run.state.square().sum() + run.heat.sum()).backward()
        results.append([t.detach().cpu() for t in (run.state, run.heat, run.work, potential.couplings.bonds.grad)])
    for here, there in zip(*results, strict=True):
        assert rms_ratio(there, here) < 1e-10


@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("units, batch", [(1, 1), (50, 37), (74, 300), (128, 33), (200, 65), (1296, 130)])
def test_long_paths_agree_with_the_reference(units, batch, precision, kernels):
    case = Case(
        units, batch, 120, precision=precision, dt=2e-3, coupling=units**-0.5, drive="sample", clamped=units // 9
    )
    end = kernels.langevin(*case.arguments("cuda"))[0]
    with torch.no_grad():
        expected = case.reference()[-1].state
    assert rms_ratio(displacement(end, case), displacement(expected, case)) < TOLERANCE[precision]
    assert torch.equal(end[:, case.clamp].cpu(), case.state[:, case.clamp].float())


@pytest.mark.parametrize("precision", TOLERANCE)
def test_products_by_cublas_give_the_same_paths(precision, kernels):
    from thermotorch.dynamics.cuda.run import Run

    case = Case(200, 300, 120, precision=precision, dt=2e-3, coupling=0.07, drive="sample")
    end = kernels.streamed.langevin(Run.of(Langevin(*case.arguments("cuda"))), library=True)[0]
    with torch.no_grad():
        expected = case.reference()[-1].state
    assert rms_ratio(displacement(end, case), displacement(expected, case)) < TOLERANCE[precision]


@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("units, batch", [(3, 1), (74, 300), (1296, 130)])
def test_long_alternating_paths_and_their_gradients_agree_with_the_reference(units, batch, precision, kernels):
    case = halves(units, batch, 60, precision=precision, keep=8)
    potential, state, force, run = case.reference()
    arguments = case.arguments("cuda")
    end, recorded, kept = kernels.langevin(*arguments)
    expected = displacement(run.state.detach(), case)
    assert rms_ratio(displacement(end, case), expected) < TOLERANCE[precision]
    run.state.square().sum().backward()
    found = kernels.langevin_backward(*arguments, 2 * end, recorded, kept, True, True)
    bonds = next(potential.couplings.parameters()).grad
    wanted = state.grad, potential.bias.grad, force.grad, bonds
    for here, there in zip((*found[:3], found[3] + found[4].T), wanted, strict=True):
        assert rms_ratio(here, there) < GRADIENT_TOLERANCE[precision]


@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("units", [74, 200])
def test_gradients_agree_with_the_reference(units, precision, kernels):
    case = Case(units, 40, 30, precision=precision, dt=5e-3, coupling=units**-0.5, drive="sample", keep=6)
    potential, state, force, run = case.reference()
    run.state.square().sum().backward()
    arguments = case.arguments("cuda")
    end, recorded, kept = kernels.langevin(*arguments)
    found = kernels.langevin_backward(*arguments, 2 * end, recorded, kept, True, True)
    tolerance = GRADIENT_TOLERANCE[precision]
    assert rms_ratio(found[0], state.grad) < tolerance
    assert rms_ratio(found[1], potential.bias.grad) < tolerance
    assert rms_ratio(found[2], force.grad) < tolerance
    row, column = torch.triu_indices(units, units, 1)
    assert rms_ratio((found[3] + found[3].T)[row, column], potential.couplings.bonds.grad) < tolerance


@pytest.mark.parametrize("machine", [Case, halves])
def test_graphs_pieces_and_single_launches_give_the_same_bits(machine, kernels, monkeypatch):
    """Graph or not, whole batch or pieces of it, first or second use of a pipeline: the path is the path."""
    from thermotorch.dynamics.cuda import pipeline

    arguments = machine(200, 600, 131, drive="unit", dt=2e-3, coupling=0.05, record=40).arguments("cuda")
    whole = kernels.langevin(*arguments)
    again = kernels.langevin(*arguments)
    monkeypatch.setattr(pipeline, "GRAPH", 0)
    launched = kernels.langevin(*arguments)
    monkeypatch.setattr(pipeline, "CACHE", 2e5)
    in_pieces = kernels.langevin(*arguments)
    for other in (again, launched, in_pieces):
        assert torch.equal(other[0], whole[0]) and torch.equal(other[1], whole[1])


def test_runs_on_two_streams_do_not_meet(kernels):
    first, second = (Case(200, 64, 100, seed=seed, dt=2e-3, coupling=0.05).arguments("cuda") for seed in (1, 2))
    expected = [kernels.langevin(*arguments)[0] for arguments in (first, second)]
    streams = torch.cuda.Stream(), torch.cuda.Stream()
    torch.cuda.synchronize()
    found = []
    for _ in range(3):
        for stream, arguments in zip(streams, (first, second), strict=True):
            with torch.cuda.stream(stream):
                found.append(kernels.langevin(*arguments)[0])
    torch.cuda.synchronize()
    for i, end in enumerate(found):
        assert torch.equal(end, expected[i % 2])


@pytest.mark.parametrize("units, machine", [(40, Case), (200, Case), (40, halves)])
def test_a_captured_run_replays_on_new_states(units, machine, kernels):
    arguments = machine(units, 24, 7, drive="sample", record=2, keep=3).arguments("cuda")
    start, other = arguments[0], torch.randn_like(arguments[0])
    for _ in range(2):
        expected = [op.langevin(x, *arguments[1:]) for x in (start, other)]
    static, graph = start.clone(), torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = op.langevin(static, *arguments[1:])
    for x, wanted in zip((start, other), expected, strict=True):
        static.copy_(x)
        graph.replay()
        for found, tensor in zip(outputs, wanted, strict=True):
            assert torch.equal(found, tensor)


@pytest.mark.parametrize("units, machine", [(7, Case), (150, Case), (9, halves)])
@pytest.mark.parametrize("drive", [None, "sample"])
def test_opcheck(units, machine, drive, kernels):
    arguments = machine(units, 5, 6, drive=drive, record=2, keep=2, start_step=1).arguments("cuda")
    a = Langevin(*arguments)
    for tensor in (a.state, *a.blocks, a.bias, *([a.drive] if drive else [])):
        tensor.requires_grad_()
    torch.library.opcheck(op.langevin, tuple(arguments))


def test_simulate_chooses_the_kernels_and_refuses_what_they_cannot(kernels):
    potential = tt.Potential(tt.DenseCouplings(6)).cuda()
    state = torch.randn(3, 6, device="cuda")
    options = {"steps": 5, "dt": 1e-3, "temperature": 0.1}
    with torch.no_grad():
        auto, named = (
            tt.simulate(potential, state, **options, backend=backend, seed=0) for backend in ("auto", "cuda")
        )
        by_reference = tt.simulate(potential, state, **options, backend="reference", seed=0)
    assert torch.equal(auto.state, named.state)
    assert rms_ratio(named.state, by_reference.state.double().cpu()) < 1e-6
    assert rms_ratio(named.heat, by_reference.heat.double().cpu()) < 1e-3
    with pytest.raises(ValueError, match="float32"):
        tt.simulate(potential.double(), state.double(), **options, backend="cuda", seed=0)


def test_a_layer_learns_the_same_on_both_devices_and_compiled(kernels):
    torch.manual_seed(0)
    layer = tt.ThermodynamicLayer(12, 5, hidden=40, t_final=0.05)
    features = torch.randn(30, 12)
    gradients = []
    for device in ("cpu", "cuda"):
        layer.to(device).zero_grad()
        layer(features.to(device), seed=3).square().sum().backward()
        gradients.append([parameter.grad.cpu().double() for parameter in layer.parameters()])
    for here, there in zip(*gradients, strict=True):
        assert rms_ratio(there, here) < 1e-5
    expected = layer(features.cuda(), seed=3)
    assert torch.equal(torch.compile(layer)(features.cuda(), seed=3), expected)


def test_memory_does_not_grow_with_the_number_of_steps(kernels):
    from thermotorch.dynamics.cuda import pipeline

    peaks = []
    for steps in (100, 2000):
        arguments = changed(Case(600, 256, 1, dt=1e-3, coupling=0.02).arguments("cuda"), steps=steps)
        pipeline._pipelines.clear()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        kernels.langevin(*arguments)
        peaks.append(torch.cuda.max_memory_allocated() - before)
    # Two buffers, a copy while the graph is captured, the result, and the couplings in two parts.
    assert peaks[1] <= peaks[0] < 6 * 640 * 256 * 4 + 3 * 640 * 640 * 4 + 2**20


def test_generated_images_agree():
    torch.manual_seed(0)
    model = ThermodynamicGenerator(t_final=0.1)
    for block in model.potential.couplings.parameters():
        torch.nn.init.normal_(block, std=0.02)
    here = model.sample(5, seed=1)
    there = model.cuda().sample(5, seed=1)
    assert rms_ratio(there.images, here.images.double()) < 1e-4
    assert rms_ratio(there.heat, here.heat.double()) < 1e-4


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize("units", [24, 150])
def test_simulate_on_the_kernels_is_the_reference_with_every_gradient(units, integrator, kernels):
    torch.manual_seed(0)
    halves = tt.BlockCouplings({"a": units - 9, "b": 9}, [("a", "b")])
    potential = tt.Potential(halves if integrator == "alternating" else tt.DenseCouplings(units), j3=0.2).double()
    torch.nn.init.normal_(next(potential.couplings.parameters()), std=0.5 * units**-0.5)
    state, drive = torch.randn(9, units).double(), torch.randn(9, units).double()
    results = []
    for device, dtype, backend in (("cpu", torch.float64, "reference"), ("cuda", torch.float32, "cuda")):
        potential.to(device, dtype).zero_grad()
        start = state.to(device, dtype).requires_grad_()
        run = tt.simulate(potential, start, steps=60, dt=5e-3, temperature=0.5, seed=2, drive=drive.to(start),
                          integrator=integrator, record=20, backend=backend)  # fmt: skip
        (run.state.square().sum() + run.states.sum()).backward()
        bonds = next(potential.couplings.parameters())
        found = run.state, run.states, run.work, start.grad, bonds.grad, potential.bias.grad
        results.append([tensor.detach().cpu().double() for tensor in found])
    for here, there in zip(*results, strict=True):
        assert rms_ratio(there, here) < 1e-5


@pytest.mark.parametrize("times", [[0.0, 0.2, 0.4, 0.6], [0.0, 0.2, 0.5, 1.5]])
def test_exact_linear_dynamics_agree(times):
    drift = torch.tensor([[1.0, 0.5], [-0.4, 2.0]], dtype=torch.float64)
    start, times = torch.ones(37, 2, dtype=torch.float64), torch.tensor(times, dtype=torch.float64)
    here = tt.OrnsteinUhlenbeck(drift, force=torch.ones(2).double()).sample(times, start)
    there = tt.OrnsteinUhlenbeck(drift.cuda(), force=torch.ones(2).double().cuda()).sample(times, start.cuda())
    torch.testing.assert_close(there.cpu(), here, rtol=1e-9, atol=1e-9)


def test_boards_and_devices_agree():
    from thermotorch.linear_algebra.board.spu import StochasticProcessingUnit
    from thermotorch.linear_algebra.solve import Readout, inverse

    matrix = torch.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
    board = StochasticProcessingUnit(4, tolerance=0.01, capacitor_step=1e-10, adc_bits=12)
    here = board.inverse(matrix, boards=3, reads=400, mitigate=True).value
    there = board.cuda().inverse(matrix.cuda(), boards=3, reads=400, mitigate=True).value
    torch.testing.assert_close(there.cpu(), here, rtol=1e-3, atol=1e-3)  # a voltage on the edge of a converter's step
    here, there = (inverse(given, readout=Readout(reads=400)).value for given in (matrix, matrix.cuda()))
    torch.testing.assert_close(there.cpu(), here, rtol=1e-9, atol=1e-9)
