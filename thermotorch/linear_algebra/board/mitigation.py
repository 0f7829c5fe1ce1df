"""Error mitigation: settings of finite resolution that average to a target setting.

Rounding a value to steps of size e changes a result f(value) by O(e). The average of the results over several roundings
whose weighted average is the value has an error O(e^2), from the curvature of f. Source: Aifer et al.,
arXiv:2401.16231. Here the roundings share one threshold, which needs no random numbers and no more settings than
distinct remainders.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from thermotorch.arguments import count_of, number_of


class Settings(NamedTuple):
    """Roundings of one set of values, with their weights."""

    values: Tensor  # [setting, ...], multiples of the step
    weights: Tensor  # [setting], positive, of sum one


def nearest(values: Tensor, step: float) -> Settings:
    """Return one setting, each value rounded to its nearest step. The error of a result is O(step)."""
    step = number_of("step", step, positive=True)
    return Settings(step * (values / step).round().unsqueeze(0), torch.ones(1).to(values))


def averaging(values: Tensor, step: float, settings: int | None = None) -> Settings:
    """Return settings that average to `values`: step x floor(value / step + u) for increasing thresholds u, shared.

    Args:
        values: target values, any shape.
        step: resolution.
        settings: number of evenly spaced thresholds, whose average is off by up to step / (2 settings). None takes
            every distinct setting, at most the number of values plus one, and averages exactly.
    """
    step = number_of("step", step, positive=True)
    ratio = values / step
    base = ratio.floor()
    if settings is None:
        # A value rounds up once u reaches 1 - remainder: between two such points nothing changes.
        edges = torch.cat([ratio.new_tensor([0.0, 1.0]), 1 - (ratio - base).flatten()]).unique()
        thresholds, weights = (edges[1:] + edges[:-1]) / 2, edges.diff()
        real = weights > 1e-12  # remainders that differ by rounding are the same
        thresholds, weights = thresholds[real], weights[real] / weights[real].sum()
    else:
        settings = count_of("settings", settings)
        thresholds = (torch.arange(settings).to(values) + 0.5) / settings
        weights = torch.full_like(thresholds, 1 / settings)
    up = (ratio - base) + thresholds.view(-1, *(1,) * values.dim()) >= 1
    return Settings(step * (base + up), weights)
