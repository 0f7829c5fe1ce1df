"""Rows of a large matrix in blocks of bounded memory."""

import torch
from torch import Tensor

_ELEMENTS = 2**22  # of a block: 32 MiB in float64
_ROWS = 1024


def row_blocks(rows: int, columns: int) -> tuple[Tensor, ...]:
    """Split the indices 0 ... rows - 1 into blocks of at most 1024 rows, and of 4 million elements in `columns`."""
    return torch.arange(rows).split(max(1, min(_ROWS, _ELEMENTS // max(1, columns))))
