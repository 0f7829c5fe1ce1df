"""These tests run on a GPU, or on Triton's interpreter in a process of its own (`tests/dynamics/test_kernels.py`).

`TRITON_INTERPRET` acts when a kernel is decorated, so one process cannot have both; elsewhere nothing here is
collected.
"""

import os

import numpy as np
import pytest
import torch

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
collect_ignore_glob = [] if INTERPRETED or torch.cuda.is_available() else ["test_*.py"]


@pytest.fixture
def device() -> str:
    return "cpu" if INTERPRETED else "cuda"


@pytest.fixture(autouse=True)
def products_of_one_rounding(monkeypatch):
    """Multiply float32 tiles in float64 and round once: the bits of a host's BLAS depend on where a row lies in a
    tile.
    """
    if not INTERPRETED:
        return
    from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

    by_the_host = InterpreterBuilder.create_dot

    def create_dot(self, a, b, d, *precision):
        if a.data.dtype != np.float32 or b.data.dtype != np.float32:
            return by_the_host(self, a, b, d, *precision)
        product = np.matmul(a.data, b.data, dtype=np.float64).astype(d.data.dtype)
        return TensorHandle(product + d.data, d.dtype.scalar)

    monkeypatch.setattr(InterpreterBuilder, "create_dot", create_dot)
