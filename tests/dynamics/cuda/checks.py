"""Checks of every scheme of `thermotorch::langevin`: the gradients of one loss, and runs in parts."""

import torch
from torch import Tensor

from tests.dynamics.cuda.cases import Case, changed
from thermotorch.dynamics import cuda as kernels
from thermotorch.dynamics.operators.arguments import Langevin


def gradients(case: Case, device: str) -> tuple[list[Tensor], list[Tensor | None], list[Tensor]]:
    """Return the gradients of a loss of the end and the records: those of the kernels, then those of the reference.

    The latter by start, bias and force (None without one), and by the couplings' parameters.
    """
    potential, state, force, run = case.reference()
    weights = torch.randn(run.state.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    loss = (weights * run.state).sum() + 0.5 * run.state.square().sum()
    grad_recorded = torch.zeros(0, *state.shape, dtype=torch.float64)
    if run.states is not None:
        grad_recorded = torch.randn(run.states.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
        loss = loss + (grad_recorded * run.states).sum()
    loss.backward()

    arguments = case.arguments(device)
    end, _, kept = kernels.langevin(*arguments)
    found = kernels.langevin_backward(
        *arguments, weights.to(end) + end, grad_recorded.to(end), kept, True, force is not None
    )
    if force is None:
        assert found[2].numel() == 0
    else:
        assert found[2].shape == force.shape
    leaves = [state.grad, potential.bias.grad, None if force is None else force.grad]
    return found, leaves, [bonds.grad for bonds in potential.couplings.parameters()]


def assert_parts_are_the_whole(case: Case, device: str) -> None:
    """Compare two halves of six steps, and all samples but the first five, with the whole, to the bit."""
    arguments = case.arguments(device)
    end, a = kernels.langevin(*arguments)[0], Langevin(*arguments)
    middle = kernels.langevin(*changed(arguments, steps=2))[0]
    assert torch.equal(kernels.langevin(*changed(arguments, state=middle, steps=4, start_step=2))[0], end)
    drive = a.drive if a.drive is None or a.drive.shape[1] == 1 else a.drive[:, 5:]
    part = changed(arguments, state=a.state[5:], sample_ids=a.sample_ids[5:], drive=drive)
    assert torch.equal(kernels.langevin(*part)[0], end[5:])
