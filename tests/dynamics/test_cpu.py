"""The compiled noise and products themselves; runs are tested in test_fused.py."""

import ctypes

import pytest
import torch

import thermotorch as tt
from thermotorch.dynamics import Stream, cpu, normals
from thermotorch.dynamics.build import library

pytestmark = pytest.mark.skipif(cpu.unavailable() is not None, reason=f"no CPU backend: {cpu.unavailable()}")


def compiled_normals(seed: int, ids: torch.Tensor, step: int, units: int, stream: Stream) -> torch.Tensor:
    out = torch.empty(len(ids), units)
    library().thermotorch_normals(
        ctypes.c_uint64(seed), ctypes.c_int64(stream), ctypes.c_uint64(step), ctypes.c_void_p(ids.data_ptr()),
        ctypes.c_int64(len(ids)), ctypes.c_int64(units), ctypes.c_void_p(out.data_ptr()))
    return out


@pytest.mark.parametrize("seed, step, stream", [
    (0, 0, Stream.DYNAMICS), ((1 << 64) - 1, (1 << 56) - 1, Stream.HARDWARE), (0x123456789, (5 << 32) + 6, Stream.DATA)])
@pytest.mark.parametrize("ids", [range(64), [0], [3, 2, 1, 0], [1, 2, 3, 4, 5, 6, 7, 8, 9], [7, 7, (1 << 34) - 1]])
def test_normals_are_those_of_noise_py(seed, step, stream, ids):
    """Same words, so the same normals up to the rounding of logarithm and sine, wherever blocks of four begin.

    The reference rounds its angle, up to pi, to 2e-7, which a radius of at most 6.7 turns into 1.3e-6.
    """
    ids = torch.as_tensor(ids)
    error = compiled_normals(seed, ids, step, 77, stream) - normals(seed, ids, step, 1, 77, stream)[0]
    assert error.square().mean().sqrt() < 3e-7
    assert error.abs().max() < 1.5e-6


def test_normals_are_accurate_in_the_tails_and_near_zero():
    """Two million of them: the largest error of float32 noise is that of its input, (w + 1/2) / 2^32 rounded."""
    ids = torch.arange(1024)
    for step in range(2):
        expected = normals(5, ids, step, 1, 1000, dtype=torch.float64)[0]
        found = compiled_normals(5, ids, step, 1000, Stream.DYNAMICS)
        assert expected.abs().max() > 4.8
        assert (found - expected).square().mean().sqrt() < 2e-7
        far = expected.abs() > 3
        assert ((found - expected)[far] / expected[far]).abs().max() < 1e-6


def test_the_peak_is_a_speed_of_this_century():
    assert 1e9 < cpu.peak_flops() < 1e15


@pytest.mark.parametrize("batch", [1, 20, 250])  # the last in lanes
def test_products_for_timing_are_the_field(batch):
    couplings = tt.BlockCouplings({"a": 41, "b": 33}, [("a", "b"), ("b", "b")])
    for bonds in couplings.parameters():
        torch.nn.init.normal_(bonds)
    state = torch.randn(batch, 74)
    found, field = cpu.products(couplings.pieces(), state, 3), couplings(state).detach()
    torch.testing.assert_close(found, field, rtol=1e-4, atol=1e-4)
