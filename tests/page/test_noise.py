"""The noise of the page is the noise of the library."""

import pytest
import torch

from tests.page.engines import ENGINES, answer
from thermotorch.dynamics.noise import Stream, normals

ONES = 0xFFFFFFFF
# Known answers that Random123 publishes for Philox4x32-10: counter, key, words.
PUBLISHED = [
    ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([ONES] * 4, [ONES] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("seed", "quartet", "step"), [(0, 0, 0), (2**40 + 5, 3, 7), (1, 2**32 - 1, 2**33 + 9)])
def test_philox_gives_the_published_words_and_the_normals_are_pythons(engine, seed, quartet, step, tmp_path):
    units, stream = 9, Stream.INITIAL
    given = {
        "blocks": [(counter, key) for counter, key, _ in PUBLISHED],
        "seed": seed, "quartet": quartet, "step": step, "stream": int(stream), "units": units,
    }  # fmt: skip
    found = answer(engine, "noise_numbers.js", given, tmp_path)
    assert found["words"] == [words for _, _, words in PUBLISHED]
    ids = 4 * quartet + torch.arange(4)
    expected = normals(seed, ids, step, 1, units, stream, torch.float64)[0].T.flatten()
    torch.testing.assert_close(torch.tensor(found["normals"], dtype=torch.float64), expected, rtol=1e-13, atol=1e-15)
