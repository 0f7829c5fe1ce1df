"""Alternating steps with rounded products: on a matrix unit with noise, roots and operands of their own (colours.h)."""

import pytest
import torch

import thermotorch as tt
from tests.dynamics.threads import threads
from thermotorch.dynamics.cpu import operators as cpu

pytestmark = pytest.mark.skipif(cpu.unavailable() is not None, reason="no compiler")
SIZES = {"a": 41, "b": 23, "c": 30}  # vectors and tiles with units of both colours
# Of the displacement. Rounded fields change the force of each step by 2.4e-3 and 4.5e-6 of it, at random.
OFF_BY = {"ieee": 2e-6, "tf32": 1e-5, "bf16": 3e-3}
ROUNDED = pytest.mark.parametrize("precision", ["tf32", "bf16"])


def machine(coupled: bool = True, j2: torch.Tensor | float | None = None) -> tt.Potential:
    torch.manual_seed(0)
    couplings = tt.BlockCouplings(SIZES, [("a", "b"), ("b", "c")] if coupled else [])
    for bonds in couplings.parameters():
        torch.nn.init.normal_(bonds, std=0.2)
    return tt.Potential(couplings, torch.randn(94) if j2 is None else j2, 0.1, 1.0, 0.3 * torch.randn(94))


def run(potential: tt.Potential, batch: int = 70, **named) -> tt.Trajectory:
    start = torch.randn(250, 94, generator=torch.Generator().manual_seed(1))[:batch]
    start = named.pop("start", start)
    defaults = {"steps": 12, "dt": 0.1, "temperature": 0.2, "seed": 4, "backend": "cpu", "integrator": "alternating"}
    return tt.simulate(potential, start, **{**defaults, **named})


@pytest.mark.parametrize("precision", OFF_BY)
def test_paths_are_those_of_the_reference(precision):
    potential = machine()
    with torch.no_grad():
        found, expected = (run(potential, record=1, **way).states for way in (
            {"precision": precision}, {"backend": "reference"},
        ))  # fmt: skip
    error = ((found - expected).norm() / (expected - expected[0]).norm()).item()
    assert error < OFF_BY[precision]
    if cpu.library().thermotorch_has_matrix_unit() and precision != "ieee":
        assert error > OFF_BY[precision] / 30  # it is these products that were taken


@ROUNDED
def test_noise_and_wells_keep_the_accuracy_of_float32(precision):
    """Without couplings only the shorter polynomials and the roots differ."""
    free = machine(coupled=False)
    with torch.no_grad():
        found, expected = run(free, precision=precision).state, run(free, backend="reference").state
    assert (found - expected).abs().max() < 4e-6
    assert (found - expected).square().mean().sqrt() < 5e-7


@ROUNDED
@pytest.mark.parametrize("count", [1, 2])
def test_a_sample_depends_on_nothing_but_itself(precision, count):
    """Not on its batch, its place among sixteen or in a group of four, the threads, or how often it was stored."""
    potential = machine()
    with torch.no_grad(), threads(count):
        whole = run(potential, precision=precision)
        for number in (0, 5, 33, 69):
            start = torch.randn(250, 94, generator=torch.Generator().manual_seed(1))[number : number + 1]
            alone = run(potential, start=start, sample_ids=torch.tensor([number]), precision=precision)
            assert torch.equal(whole.state[number : number + 1], alone.state)
        assert torch.equal(run(potential, 250, precision=precision).state[:70], whole.state)
        assert torch.equal(run(potential, precision=precision, record=3).state, whole.state)
        half = run(potential, precision=precision, steps=5)
        rest = run(potential, precision=precision, steps=7, start=half.state, start_step=5)
        assert torch.equal(rest.state, whole.state)
    with torch.no_grad(), threads(3 - count):
        assert torch.equal(run(potential, precision=precision).state, whole.state)


@ROUNDED
def test_weighing_a_path_leaves_it_alone(precision):
    potential = machine()
    with torch.no_grad():
        plain = run(potential, precision=precision)
        weighed = run(potential, precision=precision, observers={"weights": tt.PathWeights(potential)})
    assert torch.equal(weighed.state, plain.state)


@ROUNDED
def test_gradients_are_those_of_the_reference(precision):
    """Of single wells: on the ridge of a double one any error grows."""
    potential, found = machine(j2=1.0), {}
    for way in ("cpu", "reference"):
        start = torch.randn(70, 94, generator=torch.Generator().manual_seed(1)).requires_grad_()
        potential.zero_grad()
        run(potential, start=start, backend=way, precision=precision).state.pow(3).sum().backward()
        found[way] = [start.grad, *(parameter.grad.clone() for parameter in potential.parameters())]
    for ours, expected in zip(*found.values(), strict=True):
        assert (ours - expected).norm() < OFF_BY[precision] * expected.norm()
