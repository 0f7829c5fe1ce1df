"""Kinds of arguments: other spellings of a value, and what is no value of the kind."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import inf, nan
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class Kind:
    """`same(value)` are spellings of numpy and torch; each of `bad` must be refused with the argument's name, and each
    of `ends`, the last values that are none of them, must not.
    """

    same: Callable[[Any], list[Any]]
    bad: Sequence[Any]
    ends: Sequence[Any] = ()

    def or_none(self) -> "Kind":
        return replace(self, bad=[value for value in self.bad if value is not None], ends=[*self.ends, None])

    def but(self, *more: Any) -> "Kind":
        return replace(self, bad=[*self.bad, *more], ends=[end for end in self.ends if end not in more])


def _integers(value: int) -> list[Any]:
    return [np.int64(value), np.uint8(value), torch.tensor(value), torch.tensor(value, dtype=torch.int32)]


def _numbers(value: float) -> list[Any]:
    whole = [int(value), np.int64(value)] if value == int(value) else []
    return [np.float64(value), torch.tensor(value, dtype=torch.float64), *whole]


def _sequences(value: Sequence[int]) -> list[Any]:
    return [tuple(value), np.array(value), torch.tensor(value), torch.tensor(value, dtype=torch.int32)]


NO_INTEGER = (True, np.True_, torch.tensor(True), 2.5, 3.0, "3", nan, 1j, torch.tensor(2.5), torch.tensor([1, 2]))
NO_NUMBER = (True, np.True_, torch.tensor(True), "2", b"2", 1j, torch.tensor(1j), [1.0, 2.0], torch.ones(2),
             nan, inf, -inf, 10**400, torch.tensor(nan))  # fmt: skip
NO_INTEGERS = ([0, 1, 2], [0.0, 1.0], [True, False], [0, -1], "ab", 3, [[0, 1]], torch.zeros(2))

count = Kind(_integers, (*NO_INTEGER, None, 0, -1), [1])
count_or_zero = Kind(_integers, (*NO_INTEGER, None, -1), [0])
seed = Kind(_integers, (*NO_INTEGER, -1, 1 << 64), [0, (1 << 64) - 1])
positive = Kind(_numbers, (*NO_NUMBER, None, 0.0, -1.0))
not_negative = Kind(_numbers, (*NO_NUMBER, None, -1.0), [0.0])
signed = Kind(_numbers, (*NO_NUMBER, None), [-1.0, 0.0])
ids = Kind(_sequences, (*NO_INTEGERS, [0, 1 << 34]))
labels = Kind(_sequences, (*NO_INTEGERS, [0, 99]))
counts = Kind(_sequences, (3, "ab", [2.5], [0], [-1], [True], None, torch.tensor(3)))
