"""The contrastive update against the gradient it estimates: exact moments by quadrature, and autograd."""

from math import sqrt

import pytest
import torch

from thermotorch import BlockCouplings, Potential, simulate
from thermotorch.models.classifier.neuron import neuron_activation
from thermotorch.objectives import contrastive, contrastive_loss, mean_response

TEMPERATURE = 0.5


@pytest.fixture
def machine() -> Potential:
    """Return two visible units and a hidden one in a double well, in double precision."""
    couplings = BlockCouplings({"visible": 2, "hidden": 1}, [("visible", "hidden")])
    couplings.load_matrix(torch.tensor([[0.0, 0.0, -0.8], [0.0, 0.0, 0.5], [-0.8, 0.5, 0.0]]))
    j2 = torch.tensor([0.5, 0.5, -0.5])
    return Potential(couplings, j2, 0.0, 1.0, bias=torch.tensor([0.1, -0.2, 0.3])).double()


def quadrature(potential: Potential, visible: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the exact <x_i> and <x_i x_j> at equilibrium, with the visible units given or free."""
    axis = torch.linspace(-2.5, 2.5, 101, dtype=torch.float64)
    axes = [axis] * 3 if visible is None else [visible[:1], visible[1:], axis]
    points = torch.cartesian_prod(*axes)
    weight = torch.softmax(-potential.energy(points).detach() / TEMPERATURE, 0)
    return weight @ points, points.T @ (weight[:, None] * points)


def test_the_update_is_the_gradient_of_the_log_likelihood(machine):
    """kT d/dtheta of the mean -log p(v), by differences of the exact free energies, equals <.>+ - <.>- from one
    long run at equilibrium, within its statistical error."""
    images = torch.tensor([[0.6, -0.4], [-0.5, 0.2], [0.3, 0.5]], dtype=torch.float64)

    def negative_log_likelihood() -> torch.Tensor:
        axis = torch.linspace(-2.5, 2.5, 101, dtype=torch.float64)
        volume = torch.cartesian_prod(axis, axis, axis)
        free = -TEMPERATURE * torch.logsumexp(-machine.energy(volume) / TEMPERATURE, 0)
        clamped = []
        for image in images:
            line = torch.cat([image.expand(101, 2), axis[:, None]], 1)
            clamped.append(-TEMPERATURE * torch.logsumexp(-machine.energy(line) / TEMPERATURE, 0))
        return torch.stack(clamped).mean() - free

    exact = torch.autograd.grad(negative_log_likelihood(), list(machine.parameters()))
    start = torch.zeros(4000, 3, dtype=torch.float64)
    with torch.no_grad():
        negative = simulate(machine, start, steps=1500, dt=5e-3, temperature=TEMPERATURE, seed=3).state
        positive = mean_response(machine, torch.cat([images, torch.zeros(3, 1)], 1), slice(2, 3), TEMPERATURE)
    found = torch.autograd.grad(contrastive_loss(machine, positive, negative), list(machine.parameters()))
    spread = torch.stack([negative.std(0).max(), (negative[:, :2] * negative[:, 2:]).std(0).max()]).max()
    for wanted, got in zip(exact, found, strict=True):
        assert (wanted - got).abs().max() < 4.5 * spread / sqrt(len(negative)), (wanted, got)
    assert max(g.abs().max() for g in exact) > 20 * spread / sqrt(len(negative))  # there was something to get wrong


def test_mean_response_against_quadrature(machine):
    image = torch.tensor([0.6, -0.4], dtype=torch.float64)
    mean, _ = quadrature(machine, image)
    state = torch.tensor([[0.6, -0.4, 123.0]], dtype=torch.float64)
    responded = mean_response(machine, state, slice(2, 3), TEMPERATURE)
    torch.testing.assert_close(responded[0], mean, rtol=0, atol=1e-7)
    assert state[0, 2] == 123.0  # the argument is left alone


def test_groups_of_different_wells_are_refused(machine):
    with pytest.raises(ValueError, match="same on-site"):
        mean_response(machine, torch.zeros(1, 3, dtype=torch.float64), slice(1, 3), TEMPERATURE)


def test_mean_response_of_many_units_is_interpolated_closely():
    """A cold double well, whose response is steepest: slope var / kT = 8 at zero force."""
    couplings = BlockCouplings({"visible": 4, "hidden": 300}, [("visible", "hidden")])
    torch.manual_seed(0)
    torch.nn.init.normal_(couplings.blocks["visible-hidden"], std=3.0)
    potential = Potential(couplings, torch.cat([torch.full((4,), 0.5), torch.full((300,), -0.5)]))
    state, hidden = torch.randn(300, 304), slice(4, 304)
    together = mean_response(potential, state, hidden, 0.03)
    alone = torch.cat([mean_response(potential, rows, hidden, 0.03) for rows in state[:60].split(20)])
    torch.testing.assert_close(together[:60], alone, rtol=0, atol=1e-3)
    assert (together[:60] - alone).square().mean().sqrt() < 1e-4


def test_a_response_does_not_know_where_the_group_was(machine):
    """Also where units of the group are coupled to each other: their mean field is that of the others alone."""
    couplings = BlockCouplings({"visible": 2, "hidden": 2}, [("visible", "hidden"), ("hidden", "hidden")])
    torch.manual_seed(0)
    for bonds in couplings.parameters():
        torch.nn.init.normal_(bonds)
    potential = Potential(couplings, 0.5).double()
    states = torch.tensor([[0.6, -0.4, 0.0, 0.0], [0.6, -0.4, 2.0, -1.0]], dtype=torch.float64)
    one, other = mean_response(potential, states, slice(2, 4), TEMPERATURE)
    assert torch.equal(one, other)


def test_responses_up_to_65536_are_exact_and_more_are_interpolated(monkeypatch):
    monkeypatch.setattr(contrastive, "neuron_activation", lambda force, *well: torch.zeros_like(force))
    monkeypatch.setattr(contrastive, "_interpolated", lambda force, *well: torch.ones_like(force))
    potential = Potential(BlockCouplings({"visible": 1, "hidden": 1}, []))
    for count, value in ((65536, 0.0), (65537, 1.0)):
        assert (mean_response(potential, torch.zeros(count, 2), slice(1, 2), 1.0)[:, 1] == value).all()


def test_many_responses_to_one_and_the_same_force_are_that_of_one():
    potential = Potential(BlockCouplings({"visible": 1, "hidden": 1}, []), bias=-0.7)
    many = mean_response(potential, torch.zeros(65537, 2), slice(1, 2), 1.0)[:, 1]
    torch.testing.assert_close(many, neuron_activation(torch.full((65537,), 0.7)[:1]).expand(65537))


def test_no_gradient_of_the_loss_reaches_its_states(machine):
    states = [torch.randn(3, 3, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    contrastive_loss(machine, *states).backward()
    assert [state.grad for state in states] == [None, None] and machine.bias.grad is not None


def test_wells_may_differ_in_no_coefficient():
    for name in ("j2", "j3", "j4"):
        wells = {"j2": 1.0, "j3": 0.0, "j4": 1.0, name: torch.tensor([1.0, 0.5, 0.6])}
        with pytest.raises(ValueError, match="same on-site"):
            mean_response(Potential(BlockCouplings({"unit": 3}, []), **wells), torch.zeros(1, 3), slice(1, 3), 1.0)
