"""The compiled noise and products themselves; runs are tested in test_fused.py."""

import ctypes

import pytest
import torch

import thermotorch as tt
from tests.dynamics.threads import threads
from thermotorch.dynamics import Stream, normals
from thermotorch.dynamics.cpu import operators as cpu
from thermotorch.dynamics.cpu.build import library
from thermotorch.dynamics.cpu.structures import structure

pytestmark = pytest.mark.skipif(cpu.unavailable() is not None, reason=f"no CPU backend: {cpu.unavailable()}")


def compiled_normals(seed: int, ids: torch.Tensor, step: int, units: int, stream: Stream) -> torch.Tensor:
    out = torch.empty(len(ids), units)
    library().thermotorch_normals(
        ctypes.c_uint64(seed),
        ctypes.c_int64(stream),
        ctypes.c_uint64(step),
        ctypes.c_void_p(ids.data_ptr()),
        ctypes.c_int64(len(ids)),
        ctypes.c_int64(units),
        ctypes.c_void_p(out.data_ptr()),
    )
    return out


@pytest.mark.parametrize(
    "seed, step, stream",
    [
        (0, 0, Stream.DYNAMICS),
        ((1 << 64) - 1, (1 << 56) - 1, Stream.HARDWARE),
        (0x123456789, (5 << 32) + 6, Stream.DATA),
    ],
)
@pytest.mark.parametrize("ids", [range(64), [0], [3, 2, 1, 0], [1, 2, 3, 4, 5, 6, 7, 8, 9], [7, 7, (1 << 34) - 1]])
def test_normals_are_those_of_noise_py(seed, step, stream, ids):
    """Same words, so the same normals up to the rounding of logarithm and sine, wherever blocks of four begin.

    The reference rounds its angle, up to pi, to 2e-7, which a radius of at most 6.7 turns into 1.3e-6.
    """
    ids = torch.as_tensor(ids)
    error = compiled_normals(seed, ids, step, 77, stream) - normals(seed, ids, step, 1, 77, stream)[0]
    assert error.square().mean().sqrt() < 3e-7
    assert error.abs().max() < 1.5e-6


def test_normals_are_accurate_in_the_tails_and_near_zero():
    """Two million of them: the largest error of float32 noise is that of its input, (w + 1/2) / 2^32 rounded."""
    ids = torch.arange(1024)
    for step in range(2):
        expected = normals(5, ids, step, 1, 1000, dtype=torch.float64)[0]
        found = compiled_normals(5, ids, step, 1000, Stream.DYNAMICS)
        assert expected.abs().max() > 4.8
        assert (found - expected).square().mean().sqrt() < 2e-7
        far = expected.abs() > 3
        assert ((found - expected)[far] / expected[far]).abs().max() < 1e-6


def test_the_peak_is_a_speed_of_this_century():
    assert 1e9 < cpu.peak_flops() < 1e15


def test_the_peak_is_that_of_all_threads(monkeypatch):
    class Library:
        @staticmethod
        def thermotorch_peak_flops() -> float:
            return 3e9

    monkeypatch.setattr(cpu, "library", lambda: Library)
    monkeypatch.setattr(cpu, "threads", lambda: 4)
    assert cpu.peak_flops() == 12e9


@pytest.mark.parametrize("batch", [1, 20, 250])  # the last in lanes
def test_products_for_timing_are_the_field(batch):
    couplings = tt.BlockCouplings({"a": 41, "b": 33}, [("a", "b"), ("b", "b")])
    for bonds in couplings.parameters():
        torch.nn.init.normal_(bonds)
    state = torch.randn(batch, 74)
    found, field = cpu.products(couplings.pieces(), state, 3), couplings.double()(state.double()).detach()
    assert (found - field).norm() < 4e-7 * field.norm()


ROWS_AND_LANES = pytest.mark.parametrize("batch", [1, 23, 128])  # the last in lanes, if at all
BLOCKS = [("a", "b"), ("b", "b"), ("b", "c")]


def couplings_and_state(batch: int) -> tuple[list, torch.Tensor]:
    torch.manual_seed(batch)
    couplings = tt.BlockCouplings({"a": 101, "b": 47, "c": 30}, BLOCKS)
    for bonds in couplings.parameters():
        torch.nn.init.normal_(bonds, std=0.1)
    pieces = [(row, column, block.detach()) for row, column, block in couplings.pieces()]
    return pieces, torch.randn(batch, 178)


@ROWS_AND_LANES
@pytest.mark.parametrize("mean, spread", [(0.0, 1.0), (3.0, 0.3)])
def test_products_round_as_float32_does(batch, mean, spread):
    """Also where all units are alike, whose squares would add up if rows were multiplied in pairs of one sign:
    1.2e-6.
    """
    torch.manual_seed(batch)
    matrix, state = torch.randn(178, 178), mean + spread * torch.randn(batch, 178)
    found, expected = cpu.products([(0, 0, matrix)], state, 1), state.double() @ matrix.double()
    assert (found - expected).norm() < 4e-7 * expected.norm()


@pytest.mark.parametrize("batch", [1, 16, 23, 33, 250])
@pytest.mark.parametrize("precision, at_most", [("bf16", 2**-8), ("tf32", 3 * 2**-18)])
def test_products_of_rounded_operands_are_off_by_their_rounding(batch, precision, at_most):
    """bfloat16: 2^-9 of either operand; two pieces of each (native/amx.h): 2^-18 left out and 2^-18 for the rounding of
    either second piece. Observed 2.4e-3 and 4.5e-6, the root mean square of errors up to these.
    """
    pieces, state = couplings_and_state(batch)
    expected = torch.zeros(batch, 178, dtype=torch.float64)
    for row, column, block in pieces:
        ends = row + block.shape[0], column + block.shape[1]
        expected[:, column : ends[1]] += state[:, row : ends[0]].double() @ block.double()
    found = cpu.products(pieces, state, 1, precision)
    error = ((found - expected).norm() / expected.norm()).item()
    assert error < at_most
    if library().thermotorch_has_matrix_unit():
        assert error > at_most / 8  # it is these products that were taken
    with threads(1):
        assert torch.equal(found, torch.cat([cpu.products(pieces, row[None], 1, precision) for row in state]))


@pytest.mark.parametrize("precision", ["bf16", "tf32"])
def test_products_of_rounded_operands_keep_what_is_not_finite_to_its_sample(precision):
    pieces, state = couplings_and_state(40)
    for value in (torch.inf, torch.nan):
        state[-1, 120] = value
        found = cpu.products(pieces, state, 1, precision)
        assert not found[-1, :101].isfinite().any()
        assert found[:-1].isfinite().all()


@ROWS_AND_LANES
@pytest.mark.parametrize("of_state, of_couplings", [(-50, 0), (40, 10), (0, -40), (20, -50)])
def test_products_do_not_depend_on_units_of_measure(batch, of_state, of_couplings):
    pieces, state = couplings_and_state(batch)
    scaled = [(row, column, block * 2.0**of_couplings) for row, column, block in pieces]
    found = cpu.products(scaled, state * 2.0**of_state, 1)
    assert torch.equal(found, cpu.products(pieces, state, 1) * 2.0 ** (of_state + of_couplings))


@ROWS_AND_LANES
def test_a_sample_is_multiplied_by_itself(batch):
    """Its neighbours may be a million times as large."""
    pieces, state = couplings_and_state(batch)
    alone = torch.cat([cpu.products(pieces, row[None], 1) for row in state])
    assert torch.equal(cpu.products(pieces, state, 1), alone)
    state[::2] *= 1e6
    assert torch.equal(cpu.products(pieces, state, 1)[1::2], alone[1::2])


@ROWS_AND_LANES
def test_products_with_zeros_are_zero(batch):
    pieces, state = couplings_and_state(batch)
    assert not cpu.products(pieces, torch.zeros_like(state), 1).any()
    assert not cpu.products([(row, column, block * 0) for row, column, block in pieces], state, 1).any()


@ROWS_AND_LANES
def test_what_is_not_finite_stays_so(batch):
    pieces, state = couplings_and_state(batch)
    for value in (torch.inf, torch.nan):
        state[-1, 120] = value
        found = cpu.products(pieces, state, 1)
        assert not found[-1, :101].isfinite().any()
        assert found[:-1].isfinite().all()


@pytest.mark.parametrize("batch", [1, 7, 20])
@pytest.mark.parametrize("count", [2, 5])
def test_threads_without_samples_help_with_products(batch, count):
    """The division of the columns among threads changes no bit, in any repetition."""
    torch.manual_seed(0)
    pieces, state = [(0, 0, torch.randn(700, 700)), (0, 700, torch.randn(700, 50))], torch.randn(batch, 750)
    with threads(1):
        alone = cpu.products(pieces, state, 1)
    assert alone.isfinite().all() and alone.any()
    with threads(count):
        for times in [1] * 20 + [100]:
            assert torch.equal(cpu.products(pieces, state, times), alone)


@pytest.mark.parametrize("integrator, precision", [
    ("euler_maruyama", "ieee"), ("euler_maruyama", "bf16"), ("heun", "ieee"), ("splitting", "ieee"),
    ("alternating", "ieee"), ("alternating", "bf16"), ("euler_maruyama", "tf32")])  # fmt: skip
def test_help_changes_no_bit_of_a_run_or_its_gradient(integrator, precision):
    torch.manual_seed(0)
    potential = tt.Potential(tt.BlockCouplings({"a": 500, "b": 300}, [("a", "b")]), 1.0, 0.0, 0.5, 0.3)
    for bonds in potential.couplings.parameters():
        torch.nn.init.normal_(bonds, std=0.05)

    found = []
    for count in (1, 2):
        start = torch.zeros(3, 800, requires_grad=True)
        with threads(count):
            path = tt.simulate(potential, start, steps=6, dt=0.01, temperature=0.3, seed=5, integrator=integrator,
                               precision=precision, backend="cpu")  # fmt: skip
            of_loss = torch.autograd.grad(path.state.pow(3).sum(), [start, *potential.couplings.parameters()])
        found.append([path.state, *of_loss])
    for alone, helped in zip(*found, strict=True):
        assert torch.equal(alone, helped)


def test_structures_have_the_fields_of_the_headers_in_their_order():
    numbers = ["batch", "units", "steps", "start_step", "stream", "record", "keep", "threads", "precision"]
    run = {name: kind for name, kind in structure("Run")._fields_}
    assert list(run)[: len(numbers)] == numbers and run["batch"] is ctypes.c_int64
    assert (run["seed"], run["blocks"], run["kept"]) == (ctypes.c_uint64, ctypes.c_void_p, ctypes.c_void_p)
    assert structure("Force")._fields_ == [
        ("data", ctypes.c_void_p),
        ("steps", ctypes.c_int64),
        ("rows", ctypes.c_int64),
    ]
    langevin = dict(structure("Langevin")._fields_)
    assert (langevin["run"], langevin["drive"]) == (structure("Run"), structure("Force"))
    assert langevin["dt"] is langevin["temperature"] is ctypes.c_double and list(langevin)[-1] == "colour"


def test_structures_of_another_size_are_refused_when_the_library_loads(monkeypatch):
    class Force(ctypes.Structure):
        _fields_ = structure("Force")._fields_[:-1]

    monkeypatch.setattr(cpu, "structure", lambda name: Force if name == "Force" else structure(name))
    with pytest.raises(ImportError, match="Force: 24 bytes in native/, 16 in"):
        cpu.library.__wrapped__()


def test_schemes_are_found_by_their_names():
    numbers = [cpu._number_of(name) for name in cpu.INTEGRATORS if name != "splitting"]
    assert sorted(numbers) == list(range(4))
    with pytest.raises(ValueError, match="the CPU backend does not have 'midpoint'"):
        cpu._number_of("midpoint")
