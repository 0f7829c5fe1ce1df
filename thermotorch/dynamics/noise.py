"""Counter-based Gaussian noise: a pure function of (seed, sample, step, unit), never of batch, device or history.

Philox4x32-10 (Salmon, Moraes, Dror, Shaw, SC 2011) with

    key     = the 64-bit seed, low word first
    counter = (unit, sample // 4, step low, step high | stream << 24)
    lane    = sample % 4: one block of four words serves four neighbouring samples

and Box-Muller on the word pairs (w0, w1) and (w2, w3): `r = sqrt(-2 ln u)` with u = (w + 1/2) / 2^32 from the first
word, and the angle `2 pi w' / 2^32`, w' the second word read as a signed integer, so that |angle| <= pi and float32
keeps it to one part in 10^7. float32 and float64 normals come from the same integers. Everything is integer arithmetic
in int64, the only 64-bit multiply that torch has on every device.
"""

from enum import IntEnum
from math import pi
from typing import Any

import torch
from torch import Tensor

from thermotorch.arguments import seed_of
from thermotorch.transforms import transformed, values_hidden

_WORD = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
_ELEMENTS_PER_CHUNK = 1 << 17  # normals per call of `normals`: they fit in the cache, and hide the cost of a dispatch


class Stream(IntEnum):
    """Purpose of the noise. Uses of one seed in different streams never share a counter."""

    DYNAMICS = 0  # the thermal noise of `simulate`
    INITIAL = 1  # initial states and their preparation
    DATA = 2  # noising of training data
    HARDWARE = 3  # component mismatch


def seed_bits(seed: int | Tensor) -> Tensor:
    """Return the 64 bits of a seed, 0 <= seed < 2^64, as an int64 scalar on the CPU, for operators and graphs."""
    if isinstance(seed, Tensor):
        return seed
    return torch.tensor(seed - (1 << 64) if seed >= 1 << 63 else seed, dtype=torch.int64, device="cpu")


def fresh_seed() -> int | Tensor:
    """Draw a seed from torch's global generator, so that `torch.manual_seed` governs it; a tensor in a graph."""
    seed = torch.randint(2**63 - 1, (), device="cpu")
    return seed if values_hidden() else int(seed)


def seed_or_fresh(seed: Any) -> int | Tensor:
    """Return a seed as a plain int (see `seed_of`), or a fresh one for None."""
    return fresh_seed() if seed is None else seed_of(seed)


def philox(
    counter: tuple[Tensor, Tensor, Tensor, Tensor], key: tuple[int | Tensor, int | Tensor]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return four 32-bit words for each counter, by Philox4x32-10.

    Counters, words and the two numbers of the key are in [0, 2^32); the words have the broadcast shape of the counters.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    # A tensor that vmap does not map cannot be changed in place by a key that it maps.
    mix = Tensor.bitwise_xor if isinstance(k0, Tensor) else Tensor.bitwise_xor_
    for _ in range(_ROUNDS):
        # A product of two 32-bit words fills 64 bits; int64 wraps around, and the masks read its halves as unsigned.
        p0, p1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (
            mix((p1 >> 32).bitwise_and_(_WORD), k0).bitwise_xor(c1),
            p1.bitwise_and_(_WORD),
            mix((p0 >> 32).bitwise_and_(_WORD), k1).bitwise_xor(c3),
            p0.bitwise_and_(_WORD),
        )
        k0, k1 = (k0 + _WEYL[0]) & _WORD, (k1 + _WEYL[1]) & _WORD
    return c0, c1, c2, c3


def normals(
    seed: int | Tensor,
    sample_ids: Tensor,
    first_step: int,
    num_steps: int,
    num_units: int,
    stream: Stream = Stream.DYNAMICS,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Return standard normals [step, batch, unit] for the steps `first_step ... first_step + num_steps - 1`.

    Args:
        seed: 0 <= seed < 2^64, or a tensor with its bits (`seed_bits`).
        sample_ids: int64 [batch], each in [0, 2^34); the result is on their device.
        first_step, num_steps: 0 <= step < 2^56.
        stream: purpose of the noise.
        dtype: float32 or float64.

    Cost: about 17 ns per normal on one CPU core when whole blocks of four samples are used, memory of a few int64
        copies of the result.
    """
    device = sample_ids.device
    if hidden := transformed():  # values cannot be read, so that each sample computes a block of its own
        group = sample_ids // 4
    else:
        group, lane_of = torch.unique(sample_ids // 4, return_inverse=True)
        row = lane_of * 4 + sample_ids % 4
    step = torch.arange(first_step, first_step + num_steps, device=device).view(-1, 1, 1)
    counter = (
        torch.arange(num_units, device=device).view(1, 1, -1),
        group.view(1, -1, 1),
        step & _WORD,
        (step >> 32) | (int(stream) << 24),
    )
    w0, w1, w2, w3 = philox(counter, (seed & _WORD, (seed >> 32) & _WORD))
    if hidden:
        lanes = torch.stack((*_box_muller(w0, w1, dtype), *_box_muller(w2, w3, dtype)))  # [lane, step, sample, unit]
        lane = (sample_ids % 4).view(1, 1, -1, 1)
        return lanes.where(torch.arange(4, device=device).view(4, 1, 1, 1) == lane, 0.0).sum(0)
    lanes = torch.stack((*_box_muller(w0, w1, dtype), *_box_muller(w2, w3, dtype)), dim=2)  # [step, group, lane, unit]
    rows = lanes.view(num_steps, 4 * len(group), num_units)
    whole = len(row) == rows.shape[1] and bool((row == torch.arange(len(row), device=device)).all())
    return rows if whole else rows.index_select(1, row)


def _box_muller(word: Tensor, angle_word: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    radius = word.to(dtype).add_(0.5).mul_(2.0**-32).log_().mul_(-2.0).sqrt_()
    angle = ((angle_word ^ 0x80000000) - 0x80000000).to(dtype).mul_(2.0 * pi / 2.0**32)
    return radius * angle.cos(), radius * angle.sin()


class NormalStream:
    """`normals` of one run, computed for many steps per call, since each call has a fixed cost.

    `stream(step)` is [batch, unit]. Increasing steps cost least; any order gives the same numbers.
    """

    def __init__(
        self,
        seed: int | Tensor,
        sample_ids: Tensor,
        num_units: int,
        last_step: int,
        stream: Stream = Stream.DYNAMICS,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self._arguments = (seed, sample_ids, num_units, stream, dtype)
        # `normals` computes whole blocks of four samples.
        lanes = 4 * len(sample_ids if transformed() else torch.unique(sample_ids // 4))
        self._chunk = max(1, _ELEMENTS_PER_CHUNK // max(1, lanes * num_units))
        self._last_step = last_step
        self._first, self._block = 0, sample_ids.new_empty(0, dtype=dtype)

    def __call__(self, step: int) -> Tensor:
        if not self._first <= step < self._first + len(self._block):
            seed, sample_ids, num_units, stream, dtype = self._arguments
            count = max(1, min(self._chunk, self._last_step + 1 - step))
            self._block = normals(seed, sample_ids, step, count, num_units, stream, dtype)
            self._first = step
        return self._block[step - self._first]
