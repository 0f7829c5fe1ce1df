"""Couplings as the kernels take them: one matrix, from which the gradients of the blocks are cut."""

import torch

from thermotorch.dynamics.cuda.run import dense, parts


def test_one_matrix_and_several_blocks_are_laid_out_row_by_row():
    """Kernels step through a row by one number, also of a block that is a view."""
    matrix, state = torch.randn(5, 5), torch.zeros(2, 5)
    left, right = matrix[:2].T, matrix[2:].T
    for pieces in ([(0, 0, matrix.T)], [(0, 0, left), (0, 2, right)]):
        found = dense(pieces, state)
        assert torch.equal(found, matrix.T)
        assert found.stride() == (5, 1)


def test_a_block_is_at_its_place_and_zero_elsewhere():
    block, state = torch.ones(3, 2), torch.zeros(2, 5)
    matrix = dense([(1, 2, block)], state)
    assert torch.equal(matrix[1:4, 2:4], block)
    assert matrix.count_nonzero() == 6
    (part,) = parts(matrix, [(1, 2, block)])
    assert torch.equal(part, block)
    assert part.is_contiguous()
