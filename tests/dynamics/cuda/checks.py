"""What every scheme of `thermotorch::langevin` is asked: the gradients of one loss, and runs in parts."""

import torch
from torch import Tensor

from tests.dynamics.cuda.cases import Case
from thermotorch.dynamics import cuda as kernels


def gradients(case: Case, device: str) -> tuple[list[Tensor], list[Tensor | None], list[Tensor]]:
    """Of a loss of the end and of what was recorded: those of the kernels, in their order; then those of the reference.

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

    start, *others = case.arguments(device)
    end, _, kept = kernels.langevin(start, *others)
    found = kernels.langevin_backward(
        weights.to(end) + end, grad_recorded.to(end), start, kept, *others, True, force is not None
    )
    if force is None:
        assert found[2].numel() == 0
    else:
        assert found[2].shape == force.shape
    leaves = [state.grad, potential.bias.grad, None if force is None else force.grad]
    return found, leaves, [bonds.grad for bonds in potential.couplings.parameters()]


def assert_parts_are_the_whole(case: Case, device: str) -> None:
    """Two halves of six steps, and all samples but the first five, to the bit."""
    end = kernels.langevin(*case.arguments(device))[0]
    first = case.arguments(device)
    first[11] = 2
    second = [kernels.langevin(*first)[0], *case.arguments(device)[1:]]
    second[11], second[15] = 4, 2
    assert torch.equal(kernels.langevin(*second)[0], end)
    part = case.arguments(device)
    part[0], part[10] = part[0][5:], part[10][5:]
    if part[9] is not None and part[9].shape[1] > 1:
        part[9] = part[9][:, 5:]
    assert torch.equal(kernels.langevin(*part)[0], end[5:])
