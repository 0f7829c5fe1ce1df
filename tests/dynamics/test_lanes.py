"""Samples in lanes (native/lanes.h) against samples in rows: the same states and costates to the bit, the same sums."""

from pathlib import Path

import pytest
import torch

import thermotorch as tt
from tests.dynamics.threads import threads
from thermotorch.dynamics.cpu import operators as cpu
from thermotorch.dynamics.operators import langevin as op

pytestmark = pytest.mark.skipif(cpu.unavailable() is not None, reason=f"no CPU backend: {cpu.unavailable()}")

BATCH, UNITS = 256, 13
IDS = {
    "counted": torch.arange(BATCH),
    "blocks apart": torch.arange(BATCH) + torch.arange(BATCH) // 4 * 4 + (1 << 33),
    "blocks cut in two": torch.arange(BATCH) + (torch.arange(BATCH) >= 100),  # in rows from the second chunk on
}


@pytest.fixture(autouse=True)
def _one_thread():
    with threads(1):
        yield


def run(rows: slice, ids: torch.Tensor, **arguments) -> tuple[tt.Trajectory, dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    potential = tt.Potential(tt.BlockCouplings({"a": 9, "b": 4}, [("a", "b"), ("b", "b")]), 1.0, 0.1, 0.5, 0.3)
    for bonds in potential.couplings.parameters():
        torch.nn.init.normal_(bonds, std=0.4)
    start, force = (x[rows].requires_grad_() for x in torch.randn(2, BATCH, UNITS).unbind())
    arguments = {"steps": 37, "dt": 0.01, "temperature": 0.3, "seed": 5, "record": 10, "start_step": 6, **arguments}
    path = tt.simulate(potential, start, drive=force, sample_ids=ids[rows], backend="cpu", **arguments)
    (path.state.square().sum() + path.states.pow(3).sum()).backward()
    gradients = {name: parameter.grad for name, parameter in potential.named_parameters()}
    return path, {"start": start.grad, "force": force.grad, **gradients}


@pytest.mark.parametrize("ids", IDS)
def test_a_sample_in_lanes_is_the_sample_in_rows_to_the_bit(ids):
    """Parts of 40 samples are too few for lanes."""
    whole, gradients = run(slice(0, BATCH), IDS[ids])
    sums = {name: torch.zeros_like(gradient) for name, gradient in gradients.items()}
    for begin in range(0, BATCH, 40):
        rows = slice(begin, begin + 40)
        part, of_part = run(rows, IDS[ids])
        assert torch.equal(part.state, whole.state[rows])
        assert torch.equal(part.states, whole.states[:, rows])
        for name in ("start", "force"):
            assert torch.equal(of_part[name], gradients[name][rows]), name
        for name in sums.keys() - {"start", "force"}:
            sums[name] += of_part[name]
    for name in sums.keys() - {"start", "force"}:
        torch.testing.assert_close(gradients[name], sums[name], rtol=1e-5, atol=1e-5 * sums[name].abs().max().item())


@pytest.mark.parametrize(
    "batch, count, keep, integrator, expected",
    [
        (256, 1, 1, "euler_maruyama", True),
        (70, 1, 1, "euler_maruyama", True),
        (40, 1, 1, "euler_maruyama", False),  # not one chunk
        (256, 3, 1, "euler_maruyama", False),  # four chunks for three threads: one would do half of the work
        (256, 1, 2, "euler_maruyama", False),  # states are computed again
        (256, 1, 1, "heun", False),
    ],
)
def test_which_runs_go_through_lanes(batch, count, keep, integrator, expected):
    """Kept states record the choice for the gradient, which may run on another number of threads."""
    processor = Path("/proc/cpuinfo")
    if not processor.exists() or "avx512f" not in processor.read_text():
        pytest.skip("chunks are of 64 samples with AVX-512 alone")
    torch.set_num_threads(count)
    unit, state = torch.ones(3), torch.randn(batch, 3)
    timeline = state, torch.arange(batch), 5, torch.tensor(0), 0, 0, 0, keep, "ieee"
    kept = op.langevin(*timeline, None, *op.placed([]), unit, unit, unit, unit, unit, 0.01, 0.1, integrator)[2]
    assert kept.flatten()[-1].item() == expected


def test_the_gradient_may_have_other_threads_than_the_run():
    potential = tt.Potential(tt.DenseCouplings(UNITS))
    torch.nn.init.normal_(potential.couplings.bonds, std=0.4)
    found = []
    for count in (1, 3):
        start = torch.linspace(-1, 1, BATCH * UNITS).view(BATCH, UNITS).requires_grad_()
        end = tt.simulate(potential, start, steps=20, dt=0.01, temperature=0.3, backend="cpu", seed=0).state
        with threads(count):
            end.square().sum().backward()
        found.append(start.grad)
    assert torch.equal(*found)
