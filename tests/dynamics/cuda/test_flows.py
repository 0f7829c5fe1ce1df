"""The splitting operator against its definition in float64."""

import pytest
import torch

from tests.dynamics.cuda.cases import rms_ratio
from thermotorch.dynamics import cuda as kernels
from thermotorch.dynamics.noise import Stream, normals

UNITS, BATCH = 70, 18


def definition(state, whole, half, whole_push, half_push, decay, spread, stiffness, shift, ids, steps, seed, first, *_):
    """Return the states after each step, and u between the steps."""

    def couple(y, matrix, push, k):
        return y + (0 if matrix is None else y @ matrix) + push[k if len(push) > 1 else 0]

    def relax(x):
        return (x + shift) / (1 + stiffness * (x + shift) ** 2).sqrt() - shift

    states, between, u = [], [], couple(state, half, half_push, 0)
    for k, xi in enumerate(normals(seed, ids, first, steps, state.shape[1], Stream.DATA, torch.float64)):
        y = relax(decay * relax(u) + spread * xi)
        states.append(couple(y, half, half_push, k))
        u = couple(y, whole, whole_push, k)
        between.append(u)
    return torch.stack(states), torch.stack(between)


def random_arguments(couplings: bool, pushes: tuple[int, int]) -> list:
    """Return arguments of the operator up to the first step, in float64; three units are clamped."""
    draw = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(shape, generator=draw).double()

    whole = 0.1 * normal(UNITS, UNITS) / UNITS**0.5 if couplings else None
    half = None if whole is None else 0.5 * whole
    units = [0.9 - 0.1 * normal(UNITS).abs(), normal(UNITS).abs(), normal(UNITS).abs(), 0.1 * normal(UNITS)]
    for vector, held in zip(units, (1.0, 0.0, 0.0, 0.3), strict=True):
        vector[:3] = held
    push = [0.1 * normal(*pushes, UNITS) for _ in range(2)]
    for matrix in (whole, half, *push):
        if matrix is not None:
            matrix[..., :3] = 0.0
    return [normal(BATCH, UNITS), whole, half, *push, *units, torch.arange(BATCH) + 4, 5, torch.tensor(3), 1]


def of_operator(exact: list, device: str, record: int, keep: int, precision: str) -> list:
    """Return arguments of `thermotorch::splitting`, in float32."""

    def put(value):
        return value.detach().to(device, torch.float32 if value.is_floating_point() else None)

    state, whole, half, *units, ids, steps, seed, first = [
        put(value) if isinstance(value, torch.Tensor) else value for value in exact
    ]
    whole_push, half_push, *units = units
    stream, pushes = int(Stream.DATA), (whole_push, half_push)
    return [state, ids, steps, seed, first, stream, record, keep, precision, *pushes, whole, half, *units]


@pytest.mark.parametrize("couplings", [True, False])
@pytest.mark.parametrize("pushes", [(1, 1), (1, BATCH), (5, 1), (5, BATCH)])
def test_paths_are_those_of_the_definition(couplings, pushes, device):
    exact = random_arguments(couplings, pushes)
    arguments = of_operator(exact, device, 2, 2, "ieee")
    end, recorded, kept = kernels.splitting(*arguments)
    states, between = definition(*exact)
    assert rms_ratio(end, states[-1]) < 5e-7
    assert rms_ratio(recorded, states[[0, 2, 4]]) < 5e-7
    assert rms_ratio(kept, between[[1, 3]]) < 5e-7
    assert torch.equal(end[:, :3], arguments[0][:, :3])


@pytest.mark.parametrize("keep", [0, 2])
@pytest.mark.parametrize("couplings", [True, False])
@pytest.mark.parametrize("pushes", [(1, BATCH), (5, 1)])
def test_gradients_are_those_of_the_definition(couplings, pushes, keep, device):
    exact = random_arguments(couplings, pushes)
    for value in exact[:5]:
        if value is not None:
            value.requires_grad_()
    states, _ = definition(*exact)
    draw = torch.Generator().manual_seed(1)
    grad_recorded = torch.randn(3, BATCH, UNITS, generator=draw).double()
    (states[-1].square().sum() + (grad_recorded * states[[0, 2, 4]]).sum()).backward()
    arguments = of_operator(exact, device, 2, keep, "ieee")
    end, _, kept = kernels.splitting(*arguments)
    found = kernels.splitting_backward(*arguments, 2 * end, grad_recorded.to(end), kept, couplings)
    expected = [exact[0], *exact[3:5], *(exact[1:3] if couplings else ())]
    assert len(found) == len(expected)
    for here, there in zip(found, expected, strict=True):
        assert rms_ratio(here, there.grad) < 2e-6
