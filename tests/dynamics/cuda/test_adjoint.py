"""Gradients of kernels against autograd through the reference backend in float64."""

import pytest
import torch

from tests.dynamics.cuda.cases import Case, changed, rms_ratio
from tests.dynamics.cuda.checks import gradients
from tests.dynamics.cuda.test_paths import way  # noqa: F401
from thermotorch.dynamics import cuda as kernels
from thermotorch.dynamics.operators.arguments import Langevin

CASES = {
    "one unit": Case(1, 1, 3, coupling=0.0),
    "everything kept": Case(20, 9, 4, keep=1, drive="sample", record=2, start_step=1),
    "nothing kept": Case(20, 9, 4, keep=0, drive="unit", first_sample=2),
    "checkpoints": Case(33, 18, 5, "leimkuhler_matthews", keep=2, drive="step and sample", record=1, clamped=4),
    "Heun": Case(20, 9, 5, "heun", keep=2, drive="sample", record=2),
    "Heun, everything kept, two column blocks": Case(70, 17, 3, "heun", keep=1, drive="step"),
    "two column blocks": Case(80, 18, 3, keep=2),
}


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_those_of_the_reference(name, way, device):  # noqa: F811
    case = CASES[name]
    found, leaves, of_bonds = gradients(case, device)
    for here, there in zip(found, leaves, strict=False):  # those of blocks follow
        if there is not None:
            assert rms_ratio(here, there) < 1e-6
    if case.coupling:
        row, column = torch.triu_indices(case.units, case.units, 1)
        both = found[3] + found[3].T  # a bond is J_ij and J_ji
        assert rms_ratio(both[row, column], of_bonds[0]) < 1e-6


def test_gradients_of_blocks_are_pieces_of_that_of_the_matrix(device):
    case = Case(30, 6, 3, keep=1)
    arguments = case.arguments(device)
    end, _, kept = kernels.langevin(*arguments)
    none = end.new_zeros(0, *end.shape)
    whole = kernels.langevin_backward(*arguments, end, none, kept, True, False)[3]
    (matrix,) = Langevin(*arguments).blocks
    blocks = [matrix[:12, 12:].contiguous(), matrix[:12, 12:].T, matrix[12:, 12:], matrix[:12, :12]]
    rows, columns = torch.tensor([0, 12, 12, 0]), torch.tensor([12, 0, 12, 0])
    arguments = changed(arguments, blocks=blocks, rows=rows, columns=columns)
    *_, right, below, corner, first = kernels.langevin_backward(*arguments, end, none, kept, True, False)
    assert torch.equal(right, whole[:12, 12:]) and torch.equal(below, whole[12:, :12])
    assert torch.equal(corner, whole[12:, 12:]) and torch.equal(first, whole[:12, :12])
