"""The action of stored paths and its gradients against autograd in float64."""

import pytest
import torch

from tests.dynamics.cuda.cases import Case, rms_ratio
from thermotorch.dynamics import cuda as kernels
from thermotorch.dynamics.cuda import action
from thermotorch.dynamics.cuda.run import parts
from thermotorch.dynamics.operators.arguments import Langevin


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("units, batch, times, chunk", [(1, 1, 2, 1 << 26), (70, 5, 7, 700), (130, 9, 8, 1)])
def test_action_and_gradients_are_those_of_autograd(units, batch, times, chunk, reverse, monkeypatch, device):
    monkeypatch.setattr(action, "CHUNK_ELEMENTS", chunk)
    case = Case(units, batch, 1, clamped=units // 10, coupling=0.2)
    dt, temperature, mobility = case.dt, case.temperature, case.mobility.masked_fill(case.clamp, 0.0)
    draw = torch.Generator().manual_seed(1)
    steps = 0.1 * torch.randn(times, batch, units, dtype=torch.float64, generator=draw)
    path = (case.state + steps.cumsum(0) * (mobility > 0)).float().double()  # exact in float32
    weights = torch.rand(times - 1, batch, dtype=torch.float64, generator=draw)
    matrix, bias = case.couplings.clone().requires_grad_(), case.bias.clone().requires_grad_()
    x = path[1:] if reverse else path[:-1]
    gradient = x * (2 * case.j2 + x * (3 * case.j3 + x * (4 * case.j4))) + bias + x @ matrix
    residual = (path[:-1] - path[1:] if reverse else path[1:] - path[:-1]) + mobility * dt * gradient
    expected = (residual**2 / torch.where(mobility > 0, 4 * mobility * temperature * dt, 1.0)).sum(-1)
    (weights * expected).sum().backward()

    vectors = (tensor.float().to(device) for tensor in (case.couplings, case.bias, case.j2, case.j3, case.j4, mobility))
    arguments = path.float().to(device), *vectors, dt, temperature, reverse, "ieee"
    found, of_matrix, of_bias = action.path_action(*arguments, weights.float().to(device), True)
    assert rms_ratio(found, expected.detach()) < 1e-6
    assert rms_ratio(of_matrix, matrix.grad) < 1e-6
    assert rms_ratio(of_bias, bias.grad) < 1e-6
    alone = action.path_action(*arguments)
    assert torch.equal(alone[0], found) and not alone[1].any()
    kept = torch.empty(times - 1, batch, units, device=device)
    action.path_action(*arguments, residuals=kept)
    assert rms_ratio(kept, residual.detach()) < 1e-5
    if reverse:
        by_kept = action.gradients_of_residuals(arguments[0], kept, weights.float().to(device), temperature)
        moving = mobility > 0
        assert rms_ratio(by_kept[0][:, moving.to(device)], matrix.grad[:, moving]) < 1e-6
        assert rms_ratio(by_kept[1][moving.to(device)], bias.grad[moving]) < 1e-6
    once, of_once, _ = action.path_action(*arguments, None, True)
    twice = action.path_action(*arguments, torch.full_like(weights, 2, dtype=torch.float32).to(device), True)[1]
    assert torch.allclose(2 * of_once, twice, rtol=1e-5, atol=1e-6) and torch.equal(once, found)


def test_the_operator_returns_the_residuals_from_which_its_gradient_follows(device):
    """Couplings in two blocks, one the transpose of the other; three steps of four samples."""
    case = Case(12, 4, 1, groups=(5, 7), pairs=((0, 1),))
    a, dt, temperature = Langevin(*case.arguments(device)), case.dt, case.temperature
    moves = 0.1 * torch.randn(4, 4, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    path = (case.state + moves.cumsum(0)).float().double()
    matrix, bias = case.couplings.clone().requires_grad_(), case.bias.clone().requires_grad_()
    before, x = path[:-1], path[1:]
    gradient = x * (2 * case.j2 + x * (3 * case.j3 + x * (4 * case.j4))) + bias + x @ matrix
    residual = before - x + dt * gradient
    expected = (residual**2 / (4 * temperature * dt)).sum(-1)
    weights = torch.rand(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    (weights * expected).sum().backward()

    here, blocks = path.float().to(device), (a.blocks, a.rows, a.columns)
    found, kept = kernels.reverse_action(here, *blocks, a.bias, a.j2, a.j3, a.j4, dt, temperature)
    assert rms_ratio(found, expected.detach()) < 1e-6
    assert rms_ratio(kept, residual.detach()) < 1e-5
    sent = weights.float().to(device), kept, here, *blocks, a.bias, temperature
    of_bias, *of_blocks = kernels.reverse_action_backward(*sent)
    assert rms_ratio(of_bias, bias.grad) < 1e-5
    pieces = list(zip(a.rows.tolist(), a.columns.tolist(), a.blocks, strict=True))
    for one, other in zip(of_blocks, parts(matrix.grad, pieces), strict=True):
        assert rms_ratio(one, other) < 1e-5
