"""The counter of torch counts our operators: products by the formula that the reference backend's products obey."""

import subprocess
import sys

import pytest
import torch

import thermotorch as tt
from thermotorch.dynamics.cpu import operators as cpu


def counted(gradient: bool = True, steps: int = 6, **options) -> tuple[int, int]:
    """Return the operations of a run, and of its backward pass."""
    from torch.utils.flop_counter import FlopCounterMode

    import thermotorch.dynamics.operators.flops  # noqa: F401

    torch.manual_seed(0)
    potential = tt.Potential(tt.BlockCouplings({"a": 3, "b": 4}, [("a", "b"), ("b", "b")]))
    with FlopCounterMode(display=False) as counter:
        run = tt.simulate(potential, torch.randn(5, 7), steps=steps, dt=0.01, temperature=0.1, **options)
        forward = counter.get_total_flops()
        if gradient:
            run.state.sum().backward()
    return forward, counter.get_total_flops() - forward


@pytest.mark.skipif(cpu.unavailable() is not None, reason="no compiler")
@pytest.mark.parametrize("integrator", ["euler_maruyama", "heun", "leimkuhler_matthews"])
def test_a_run_counts_what_its_products_count(integrator):
    assert counted(integrator=integrator, backend="cpu")[0] == counted(integrator=integrator, backend="reference")[0]


@pytest.mark.skipif(cpu.unavailable() is not None, reason="no compiler")
def test_a_gradient_counts_two_products_for_each_of_the_run():
    product = 2 * 5 * (12 + 12 + 16)
    assert counted(backend="cpu")[1] == 2 * 6 * product
    assert counted(backend="cpu", integrator="heun")[1] == 6 * 6 * product  # and the two of the run once more


@pytest.mark.skipif(cpu.unavailable() is not None, reason="no compiler")
def test_a_splitting_run_counts_one_dense_product_for_each_step_and_one_more():
    dense, counts = 2 * 5 * 7 * 7, {}
    for steps in (6, 6, 9):  # the first is also probed for the error of its step
        counts[steps] = counted(backend="cpu", integrator="splitting", steps=steps)
    assert counts[9][0] - counts[6][0] == 3 * dense and counts[9][1] - counts[6][1] == 3 * 3 * dense
    with torch.no_grad():  # which remembers the exponential, so that it is not counted
        forward = [counted(backend="cpu", integrator="splitting", gradient=False)[0] for _ in range(2)][1]
    energies = 2 * 2 * 5 * (12 + 16)
    assert 0 <= forward - energies - 7 * dense < dense  # what is left are the pushes by the biases


def test_counting_is_not_paid_for_at_import():
    program = "import sys, thermotorch; print('torch.utils.flop_counter' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
