"""An estimate with its standard error."""

import math
from typing import NamedTuple

from torch import Tensor


class Estimate(NamedTuple):
    """A value and its standard error."""

    value: float
    stderr: float


def mean_of(values: Tensor) -> Estimate:
    """Return the mean of independent values [n], n >= 2, in double precision."""
    values = values.double()
    return Estimate(values.mean().item(), values.std().item() / len(values) ** 0.5)


def fraction_of(hits: Tensor) -> Estimate:
    """Return the fraction of independent hits, bool [n]."""
    fraction = hits.double().mean().item()
    return Estimate(fraction, math.sqrt(fraction * (1.0 - fraction) / len(hits)))
