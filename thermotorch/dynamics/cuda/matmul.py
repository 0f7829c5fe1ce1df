"""Products of whole tensors by cuBLAS, with the precision as an argument instead of a global switch."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def matmul(a: Tensor, b: Tensor, precision: str) -> Tensor:
    """Return a @ b, float32 [n, m], with operands rounded to `precision`: "ieee", "tf32" or "bf16"; sums in float32."""
    if precision == "bf16":
        a, b = a.bfloat16(), b.bfloat16()
        return torch.mm(a, b, out_dtype=torch.float32) if a.is_cuda else a.float() @ b.float()
    with _float32_products(precision):
        return a @ b


@contextmanager
def _float32_products(precision: str) -> Iterator[None]:
    switch = torch.backends.cuda.matmul
    before = switch.fp32_precision
    switch.fp32_precision = precision
    try:
        yield
    finally:
        switch.fp32_precision = before
