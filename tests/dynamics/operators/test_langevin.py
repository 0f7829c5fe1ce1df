"""The operator as torch sees it: schema, fake, autograd registration, tracing."""

import pytest
import torch

from thermotorch.dynamics.cpu import operators as cpu
from thermotorch.dynamics.operators import langevin as op
from thermotorch.dynamics.operators import reverse_action as action_op
from thermotorch.dynamics.operators.arguments import Langevin

pytestmark = pytest.mark.skipif(cpu.unavailable() is not None, reason=f"no CPU backend: {cpu.unavailable()}")


def arguments(blocks: bool = True, drive: bool = True, steps: int = 6, record: int = 2, keep: int = 2) -> tuple:
    torch.manual_seed(0)
    state, block = torch.randn(5, 7, requires_grad=True), torch.randn(3, 4, requires_grad=True)
    pieces = op.placed([(0, 3, block), (3, 0, block.detach().T.contiguous())] if blocks else [])
    on_site = torch.zeros(7, requires_grad=True), torch.ones(7), torch.zeros(7), torch.ones(7), torch.ones(7)
    force = torch.randn(1, 5, 7, requires_grad=True) if drive else None
    timeline = state, torch.arange(5), steps, torch.tensor(-3), 1, 0, record, keep, "ieee"
    return *timeline, force, *pieces, *on_site, 0.01, 0.1, "euler_maruyama"


def detached(values) -> list:
    return [
        value.detach() if isinstance(value, torch.Tensor) else detached(value) if isinstance(value, list) else value
        for value in values
    ]


@pytest.mark.parametrize("changed", [{}, {"blocks": False}, {"drive": False}, {"steps": 0}, {"record": 0, "keep": 0}])
def test_opcheck(changed):
    torch.library.opcheck(op.langevin, arguments(**changed))


def test_opcheck_of_the_gradient():
    inputs = arguments()
    outputs = op.langevin(*inputs)
    torch.library.opcheck(op.langevin_backward, (*detached(inputs), *detached(outputs), True, True))


@pytest.mark.parametrize("changed", [{}, {"couplings": False}, {"steps": 0}])
def test_opcheck_of_splitting(changed):
    inputs = splitting_arguments(**changed)
    torch.library.opcheck(op.splitting, inputs)
    outputs = op.splitting(*inputs)
    torch.library.opcheck(
        op.splitting_backward, (*detached(inputs), *detached(outputs), changed.get("couplings", True))
    )


def splitting_arguments(couplings: bool = True, steps: int = 6) -> tuple:
    torch.manual_seed(0)
    matrices = [torch.randn(7, 7, requires_grad=True) / 7 for _ in range(2)] if couplings else [None, None]
    pushes = [torch.randn(1, 5, 7, requires_grad=True) for _ in range(2)]
    units = [torch.full((7,), value) for value in (0.9, 0.1, 0.2, 0.0)]
    timeline = torch.randn(5, 7, requires_grad=True), torch.arange(5), steps, torch.tensor(3), 1, 0, 2, 2, "ieee"
    return *timeline, *pushes, *matrices, *units


@pytest.mark.parametrize("operator, inputs", [(op.langevin, arguments), (op.splitting, splitting_arguments)])
def test_a_second_derivative_is_refused_clearly(operator, inputs):
    state, *rest = inputs()
    (gradient,) = torch.autograd.grad(operator(state, *rest)[0].square().sum(), state, create_graph=True)
    with pytest.raises(RuntimeError, match="no second derivative; simulate with backend='reference'"):
        gradient.sum().backward()


def test_opcheck_of_the_reverse_action():
    a = Langevin(*arguments())
    blocks, rows, columns, bias, j2, j3, j4 = a.blocks, a.rows, a.columns, a.bias, a.j2, a.j3, a.j4
    path = torch.randn(6, 3, 7)
    torch.library.opcheck(action_op.reverse_action, (path, blocks, rows, columns, bias, j2, j3, j4, 0.01, 0.1))
    torch.library.opcheck(
        action_op.reverse_action_backward,
        (torch.randn(5, 3), torch.randn(5, 3, 7), path, detached(blocks), rows, columns, bias.detach(), 0.1),
    )


def test_residuals_lead_to_no_gradient():
    """They are what the gradient of the actions is made of; one through them would be lost without a word."""
    a = Langevin(*arguments())
    bias, path = a.bias.detach().requires_grad_(), torch.randn(6, 3, 7)
    action, residuals = action_op.reverse_action(
        path, detached(a.blocks), a.rows, a.columns, bias, a.j2, a.j3, a.j4, 0.01, 0.1
    )
    assert action.requires_grad and not residuals.requires_grad
