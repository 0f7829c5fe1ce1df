"""The counter of torch counts our operators: products by the formula that the reference backend's products obey."""

import subprocess
import sys

import pytest
import torch

import thermotorch as tt
from thermotorch.dynamics.cpu import operators as cpu


def counted(**options) -> tuple[int, int]:
    """Return the operations of a run, and of its backward pass."""
    from torch.utils.flop_counter import FlopCounterMode

    import thermotorch.dynamics.operators.flops  # noqa: F401

    torch.manual_seed(0)
    potential = tt.Potential(tt.BlockCouplings({"a": 3, "b": 4}, [("a", "b"), ("b", "b")]))
    with FlopCounterMode(display=False) as counter:
        run = tt.simulate(potential, torch.randn(5, 7), steps=6, dt=0.01, temperature=0.1, **options)
        forward = counter.get_total_flops()
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


def test_counting_is_not_paid_for_at_import():
    program = "import sys, thermotorch; print('torch.utils.flop_counter' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
