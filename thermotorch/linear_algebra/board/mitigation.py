"""Error mitigation: settings of finite resolution whose average is the wanted setting.

A component with steps of size e cannot hold a value between two steps, and a result f(value) is then wrong by O(e). Run
several roundings whose weighted average is the value exactly, and average the results: the first order cancels, and
O(e^2) is left, by the curvature of f. Source: Aifer et al., arXiv:2401.16231 (averaging over differently rounded
settings); that the roundings share one threshold, which needs no random draws and no more settings than there are
distinct remainders, is ours.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from thermotorch.arguments import count_of, number_of


class Settings(NamedTuple):
    """Roundings of one set of values, and the share of the time that each runs."""

    values: Tensor  # [setting, ...], multiples of the step
    weights: Tensor  # [setting], positive, of sum one


def nearest(values: Tensor, step: float) -> Settings:
    """One setting: each value rounded to its nearest step. The error of a result is O(step)."""
    step = number_of("step", step, positive=True)
    return Settings(step * (values / step).round().unsqueeze(0), torch.ones(1).to(values))


def averaging(values: Tensor, step: float, settings: int | None = None) -> Settings:
    """Settings that average to `values`: step x floor(value / step + u) for thresholds u, shared by all values.

    Args:
        values: what is wanted, any shape.
        step: the resolution.
        settings: how many evenly spaced thresholds; their average then misses the values by up to step / (2 settings).
            None takes every distinct setting with its exact weight: no more than the number of values plus one, and
            an average that is exact.

    Returns:
        The settings in order of their threshold. Each value is rounded down in some and up in the others.
    """
    step, settings = (
        number_of("step", step, positive=True),
        None if settings is None else count_of("settings", settings),
    )
    ratio = values / step
    base = ratio.floor()
    if settings is None:
        # A value rounds up once u reaches 1 - remainder: between two such points nothing changes.
        edges = torch.cat([ratio.new_tensor([0.0, 1.0]), 1 - (ratio - base).flatten()]).unique()
        thresholds, weights = (edges[1:] + edges[:-1]) / 2, edges.diff()
        real = weights > 1e-12  # two remainders that differ by rounding are one
        thresholds, weights = thresholds[real], weights[real] / weights[real].sum()
    else:
        thresholds = (torch.arange(settings).to(values) + 0.5) / settings
        weights = torch.full_like(thresholds, 1 / settings)
    up = (ratio - base) + thresholds.view(-1, *(1,) * values.dim()) >= 1
    return Settings(step * (base + up), weights)
