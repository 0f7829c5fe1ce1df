"""Words and normals of kernels against `thermotorch.dynamics.noise`."""

import pytest
import torch

triton = pytest.importorskip("triton")
import triton.language as tl  # noqa: E402

from thermotorch.dynamics.cuda.noise import one_normal, words  # noqa: E402
from thermotorch.dynamics.noise import Stream, normals, philox  # noqa: E402

UNITS, GROUPS = 70, 8
SEED, STEP = (7 << 32) | (2**32 - 5), (9 << 32) + 4


@triton.jit
def fill(words_out, out, low, high, step, stream, UNITS: tl.constexpr, FAST: tl.constexpr):
    unit, group = tl.arange(0, 128)[None, :], tl.arange(0, 8)[:, None]
    inside = unit < UNITS
    step = tl.load(step)
    place = group * UNITS + unit
    w0, w1, w2, w3 = words(unit, group, step, stream, low, high)
    tl.store(words_out + place, w0.to(tl.int64), mask=inside)
    tl.store(words_out + 8 * UNITS + place, w1.to(tl.int64), mask=inside)
    tl.store(words_out + 16 * UNITS + place, w2.to(tl.int64), mask=inside)
    tl.store(words_out + 24 * UNITS + place, w3.to(tl.int64), mask=inside)
    sample = tl.arange(0, 32)[:, None]
    tl.store(out + sample * UNITS + unit, one_normal(unit, sample, step, stream, low, high, FAST), mask=inside)


def made(device: str, fast: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    found = torch.empty(4, GROUPS, UNITS, dtype=torch.int64, device=device)
    z = torch.empty(4 * GROUPS, UNITS, device=device)
    step = torch.tensor([STEP], device=device)
    fill[(1,)](found, z, -5, 7, step, int(Stream.DATA), UNITS=UNITS, FAST=fast)
    return found.cpu(), z.cpu()


def test_words_are_the_same_integers(device):
    found, _ = made(device)
    unit, group = torch.arange(UNITS)[None, :], torch.arange(GROUPS)[:, None]
    counter = unit, group, torch.tensor(4), torch.tensor(9 | Stream.DATA << 24)
    for here, there in zip(found, philox(counter, (2**32 - 5, 7)), strict=True):
        assert torch.equal(here, there)


def test_normals_are_equal_to_one_part_in_a_million(device):
    _, z = made(device)
    for dtype in (torch.float64, torch.float32):
        expected = normals(SEED, torch.arange(4 * GROUPS), STEP, 1, UNITS, Stream.DATA, dtype)[0]
        assert (z - expected).abs().max() < 2e-6
        assert ((z - expected).norm() / expected.norm()).item() < 3e-7


def test_normals_of_the_special_function_units_are_equal_in_the_mean_square(device):
    if device == "cpu":
        pytest.skip("the interpreter has no PTX")
    _, z = made(device, fast=True)
    expected = normals(SEED, torch.arange(4 * GROUPS), STEP, 1, UNITS, Stream.DATA, torch.float64)[0]
    assert ((z - expected).norm() / expected.norm()).item() < 1e-6
