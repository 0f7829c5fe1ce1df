"""The splitting operator against its definition in float64."""

import pytest
import torch

from tests.dynamics.kernels.cases import rms_ratio
from thermotorch.dynamics import kernels
from thermotorch.dynamics.noise import normals

UNITS, BATCH = 70, 18


def definition(state, whole, half, whole_push, half_push, decay, spread, stiffness, shift, ids, steps, seed, first, *_):
    """States after each step, and u between the steps."""

    def couple(y, matrix, push, k):
        return y + (0 if matrix is None else y @ matrix) + push[k if len(push) > 1 else 0]

    def relax(x):
        return (x + shift) / (1 + stiffness * (x + shift) ** 2).sqrt() - shift

    states, between, u = [], [], couple(state, half, half_push, 0)
    for k, xi in enumerate(normals(seed, ids, first, steps, state.shape[1], dtype=torch.float64)):
        y = relax(decay * relax(u) + spread * xi)
        states.append(couple(y, half, half_push, k))
        u = couple(y, whole, whole_push, k)
        between.append(u)
    return torch.stack(states), torch.stack(between)


@pytest.mark.parametrize("couplings", [True, False])
@pytest.mark.parametrize("pushes", [(1, 1), (1, BATCH), (5, 1), (5, BATCH)])
def test_paths_are_those_of_the_definition(couplings, pushes, device):
    draw = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(shape, generator=draw).double()

    whole = 0.1 * normal(UNITS, UNITS) / UNITS**0.5 if couplings else None
    half = None if whole is None else 0.5 * whole
    units = [0.9 - 0.1 * normal(UNITS).abs(), normal(UNITS).abs(), normal(UNITS).abs(), 0.1 * normal(UNITS)]
    for vector, held in zip(units, (1.0, 0.0, 0.0, 0.3), strict=True):
        vector[:3] = held  # three clamped units
    push = [0.1 * normal(*pushes, UNITS) for _ in range(2)]
    for matrix in (whole, half, *push):
        if matrix is not None:
            matrix[..., :3] = 0.0
    exact = [normal(BATCH, UNITS), whole, half, *push, *units, torch.arange(BATCH) + 4, 5, 3, 1]
    arguments = [
        value.to(device, torch.float32) if isinstance(value, torch.Tensor) and value.is_floating_point() else value
        for value in exact
    ]
    arguments[9] = arguments[9].to(device)
    end, recorded, kept = kernels.splitting(*arguments, 0, 2, 2)  # stream 0, record every 2 from step 1, keep every 2
    states, between = definition(*exact)
    assert rms_ratio(end, states[-1]) < 5e-7
    assert rms_ratio(recorded, states[[0, 2, 4]]) < 5e-7
    assert rms_ratio(kept, between[[1, 3]]) < 5e-7
    assert torch.equal(end[:, :3], arguments[0][:, :3])
