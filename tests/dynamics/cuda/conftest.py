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


@pytest.fixture(autouse=True)
def nothing_outside_the_arguments(monkeypatch):
    """Fail where a kernel reads or writes an address outside the tensors of its launch, which a GPU may not notice."""
    if not INTERPRETED:
        return
    from triton.runtime.interpreter import GridExecutor, InterpreterBuilder

    start, load, store = (
        GridExecutor._init_args_hst,
        InterpreterBuilder.create_masked_load,
        InterpreterBuilder.create_masked_store,
    )
    memory: list[np.ndarray] = []

    def init_args(self, arguments, options):
        hosted = start(self, arguments, options)
        given = [*hosted[0], *hosted[1].values()]
        tensors = [part for value in given for part in (value if isinstance(value, tuple) else (value,))]
        tensors = [value for value in tensors if isinstance(value, torch.Tensor)]
        # In the order of their addresses: views of one storage have the same.
        bounds = {(s.data_ptr(), s.data_ptr() + s.nbytes()) for s in (value.untyped_storage() for value in tensors)}
        memory[:] = np.array(sorted(bounds), dtype=np.uint64).reshape(-1, 2).T
        return hosted

    def check(pointers, mask) -> None:
        size = max(1, pointers.get_element_ty().primitive_bitwidth // 8)
        used = pointers.data[np.broadcast_to(mask.data, pointers.data.shape)].astype(np.uint64)
        place = np.searchsorted(memory[0], used, side="right") - 1
        assert (place >= 0).all() and (used + np.uint64(size) <= memory[1][place]).all(), "outside of all arguments"

    def checked_load(self, pointers, mask, *others):
        check(pointers, mask)
        return load(self, pointers, mask, *others)

    def checked_store(self, pointers, value, mask, *others):
        check(pointers, mask)
        return store(self, pointers, value, mask, *others)

    monkeypatch.setattr(GridExecutor, "_init_args_hst", init_args)
    monkeypatch.setattr(InterpreterBuilder, "create_masked_load", checked_load)
    monkeypatch.setattr(InterpreterBuilder, "create_masked_store", checked_store)
