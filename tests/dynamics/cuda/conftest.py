"""These tests run on a GPU, or on Triton's interpreter in a process of its own (`tests/dynamics/test_kernels.py`).

`TRITON_INTERPRET` acts when a kernel is decorated, so one process cannot have both; elsewhere nothing here is collected.
"""

import os

import pytest
import torch

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
collect_ignore_glob = [] if INTERPRETED or torch.cuda.is_available() else ["test_*.py"]


@pytest.fixture
def device() -> str:
    return "cpu" if INTERPRETED else "cuda"
