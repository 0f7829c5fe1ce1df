from math import prod

import pytest
import torch

from thermotorch.dynamics.noise import NormalStream, Stream, normals, philox

ALL_ONES = 0xFFFFFFFF


@pytest.fixture(scope="module")
def z() -> torch.Tensor:
    """Return two million normals, float64 [step, batch, unit]."""
    return normals(1234, torch.arange(128), 0, 128, 128, dtype=torch.float64)


@pytest.mark.parametrize(
    "counter, key, words",
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((ALL_ONES,) * 4, (ALL_ONES,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_gives_the_known_answers_of_random123(counter, key, words):
    assert tuple(int(word) for word in philox(tuple(torch.tensor(c) for c in counter), key)) == words


def test_normals_are_the_documented_function_of_seed_sample_step_and_unit():
    """The layout of counter and key is a promise: another device or another year must give the same machine."""
    seed, sample, step, unit = (5 << 32) + 6, 4 * 7 + 3, (9 << 32) + 8, 11
    words = philox(tuple(torch.tensor(c) for c in (unit, 7, 8, 9 | Stream.DATA << 24)), (6, 5))
    u = (words[2].double() + 0.5) / 2**32
    expected = (-2 * u.log()).sqrt() * torch.sin(2 * torch.pi * words[3].double() / 2**32)
    found = normals(seed, torch.tensor([sample]), step, 1, 12, Stream.DATA, torch.float64)[0, 0, unit]
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("power", range(1, 9))
def test_moments_are_those_of_the_normal_distribution(z, power):
    def moment(k: int) -> int:
        return prod(range(1, k, 2)) if k % 2 == 0 else 0

    standard_error = ((moment(2 * power) - moment(power) ** 2) / z.numel()) ** 0.5
    assert abs((z**power).mean().item() - moment(power)) < 4 * standard_error


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_distribution_function_is_that_of_the_normal_distribution(dtype):
    z = normals(99, torch.arange(64), 0, 128, 128, dtype=dtype).flatten().sort().values.double()
    n = len(z)
    expected, below = torch.special.ndtr(z), torch.arange(n, dtype=torch.float64) / n
    distance = torch.maximum((expected - below).abs(), (expected - below - 1 / n).abs()).max().item()
    assert n**0.5 * distance < 2.2  # Kolmogorov: exceeded with probability 2 exp(-2 x 2.2^2) = 1.3e-4


def pairs(z: torch.Tensor) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    def again(seed=1234, stream=Stream.DYNAMICS):
        return normals(seed, torch.arange(128), 0, 128, 128, stream, torch.float64)

    lanes = z.unflatten(1, (32, 4))
    return {
        "units": (z[..., 1:], z[..., :-1]),
        "steps": (z[1:], z[:-1]),
        "blocks": (lanes[:, 1:], lanes[:, :-1]),
        **{f"lanes {a}{b}": (lanes[:, :, a], lanes[:, :, b]) for a in range(4) for b in range(a)},
        "streams": (z, again(stream=Stream.INITIAL)),
        "seeds": (z, again(1235)),
        "high seeds": (z, again(1234 + (1 << 32))),
        "sample with unit": (z, z.transpose(1, 2)),
        "step with sample": (z, z.transpose(0, 1)),
    }


@pytest.mark.parametrize("power", [1, 2])
def test_neighbours_are_uncorrelated_and_so_are_their_squares(z, power):
    """Squares as well: the two normals of a Box-Muller pair share their radius."""
    centre, variance = (0, 1) if power == 1 else (1, 2)
    for name, (a, b) in pairs(z).items():
        different = a != b if "with" in name else slice(None)  # a transposed array meets itself on its diagonal
        product = ((a**power - centre) * (b**power - centre))[different]
        # A transposed array counts every pair twice.
        standard_error = variance / (product.numel() / (2 if "with" in name else 1)) ** 0.5
        assert abs(product.mean().item()) < 4.5 * standard_error, name


def test_float32_is_float64_rounded():
    double, single = (normals(3, torch.arange(64), 0, 64, 64, dtype=dtype) for dtype in (torch.float64, torch.float32))
    assert single.dtype == torch.float32
    assert (single.double() - double).square().mean().sqrt() < 1e-6


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_sample_does_not_depend_on_its_batch(dtype):
    def draw(ids):
        return normals(3, torch.as_tensor(ids), 0, 20, 37, dtype=dtype)

    whole = draw(range(64))
    assert torch.equal(draw([7])[:, 0], whole[:, 7])
    assert torch.equal(torch.cat([draw(range(32)), draw(range(32, 64))], 1), whole)
    odd = [63, 7, 7, 0, 12, 1, 62, 7]
    assert torch.equal(draw(odd), whole[:, odd])
    far = (1 << 34) - 1
    assert torch.equal(draw([far, 5])[:, 1], whole[:, 5])
    assert not torch.equal(draw([far]), draw([far - 4]))


@pytest.mark.parametrize("first", [0, 1000, (1 << 32) - 3, (1 << 55)])
def test_a_step_does_not_depend_on_the_steps_around_it(first):
    ids = torch.arange(8)
    block = normals(3, ids, first, 6, 5)
    for k in range(6):
        assert torch.equal(normals(3, ids, first + k, 1, 5)[0], block[k])
    assert len({tuple(step.flatten().tolist()) for step in block}) == 6


def test_every_bit_of_seed_step_and_stream_matters():
    drawn = [
        normals(seed, torch.arange(4), step, 1, 3, stream)
        for seed in (0, 1, 1 << 31, 1 << 32, (1 << 64) - 1)
        for step in (0, 1, 1 << 31, 1 << 32, (1 << 56) - 1)
        for stream in Stream
    ]
    assert len({tuple(d.flatten().tolist()) for d in drawn}) == len(drawn)


def test_the_stream_gives_the_same_numbers_in_any_order(monkeypatch):
    monkeypatch.setattr("thermotorch.dynamics.noise._ELEMENTS_PER_CHUNK", 4 * 8 * 5)  # four steps at a time
    ids = torch.arange(2, 10)
    expected = normals(3, ids, 100, 12, 5, Stream.DATA)
    stream = NormalStream(3, ids, 5, last_step=111, stream=Stream.DATA)
    for k in [*range(12), 3, 11, 0, 7, 7, 6, 8, 2]:
        assert torch.equal(stream(100 + k), expected[k])


def test_an_empty_batch_has_no_noise():
    assert NormalStream(0, torch.arange(0), 5, last_step=3)(0).shape == (0, 5)
