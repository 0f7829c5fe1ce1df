"""The restricted Boltzmann machine against all states of one small enough to count them."""

import itertools

import pytest
import torch

from thermotorch.dynamics import Stream
from thermotorch.models.baselines.boltzmann import RestrictedBoltzmannMachine


@pytest.fixture
def machine() -> RestrictedBoltzmannMachine:
    """Return a machine of 4 visible and 3 hidden units with couplings of order one."""
    torch.manual_seed(0)
    model = RestrictedBoltzmannMachine((1, 2, 2), hidden=3, sampling_steps=40).double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.8)
    return model


def states(units: int) -> torch.Tensor:
    """Return all states of binary units, float64 [2^units, units]."""
    return torch.tensor(list(itertools.product((0.0, 1.0), repeat=units)), dtype=torch.float64)


def joint(model: RestrictedBoltzmannMachine) -> torch.Tensor:
    """Return p(v, h) by enumeration of the energy, [visible state, hidden state]."""
    visible, hidden = states(4), states(3)
    exponent = visible @ model.weight @ hidden.T + (visible @ model.visible_bias)[:, None] + hidden @ model.hidden_bias
    return exponent.flatten().softmax(0).view(16, 8)


def test_the_first_couplings_are_small_and_the_biases_zero():
    """Normal with 0.01, as Hinton advises: hidden units start undecided."""
    torch.manual_seed(0)
    model = RestrictedBoltzmannMachine(hidden=50)
    bonds = model.weight.numel()
    assert abs(model.weight.std() / 0.01 - 1) < 5 / (2 * bonds) ** 0.5
    assert abs(model.weight.mean()) < 5 * 0.01 / bonds**0.5
    assert not model.visible_bias.any() and not model.hidden_bias.any()


def test_conditional_probabilities_are_those_of_the_joint_law(machine):
    p = joint(machine)
    hidden = (p / p.sum(1, keepdim=True)) @ states(3)
    torch.testing.assert_close(machine.hidden_probability(states(4)), hidden)
    visible = (p / p.sum(0)).T @ states(4)
    torch.testing.assert_close(machine.visible_probability(states(3)), visible)


def test_the_free_energy_gives_the_law_of_the_visible_units(machine):
    torch.testing.assert_close((-machine.free_energy(states(4))).softmax(0), joint(machine).sum(1))


def test_the_contrastive_gradient_is_that_of_the_likelihood(machine):
    """Positive minus negative phase, the latter under the machine's own law, against autograd of ln Z."""
    data = states(4)[[0, 3, 7, 7, 12]]
    normalisation = torch.logsumexp(-machine.free_energy(states(4)), 0)
    loss = machine.free_energy(data).mean() + normalisation
    exact = torch.autograd.grad(loss, list(machine.parameters()))
    law = joint(machine).sum(1).detach()
    difference = machine.free_energy(data).mean() - law @ machine.free_energy(states(4))
    for found, wanted in zip(torch.autograd.grad(difference, list(machine.parameters())), exact, strict=True):
        torch.testing.assert_close(found, wanted)


def test_gibbs_sampling_reaches_the_law(machine):
    n = 40_000
    visible, hidden = machine.gibbs(torch.zeros(n, 3).double(), 60, seed=1, sample_ids=torch.arange(n))
    place = torch.tensor([8, 4, 2, 1]).double()
    index = (visible @ place * 8 + hidden @ place[1:]).long()
    expected = n * joint(machine).flatten().detach()
    chi_squared = ((torch.bincount(index, minlength=128) - expected) ** 2 / expected).sum()
    assert chi_squared < 127 + 4.5 * (2 * 127) ** 0.5


def test_a_sweep_needs_only_its_own_noise(machine):
    """Two halves equal the whole, and a chain does not know the others."""
    ids, start = torch.arange(10), torch.zeros(10, 3).double()
    whole = machine.gibbs(start, 6, seed=2, sample_ids=ids)
    _, half = machine.gibbs(start, 4, seed=2, sample_ids=ids)
    for found, wanted in zip(machine.gibbs(half, 2, seed=2, sample_ids=ids, first_step=4), whole, strict=True):
        assert torch.equal(found, wanted)
    for found, wanted in zip(machine.gibbs(start[:2], 6, seed=2, sample_ids=ids[[7, 2]]), whole, strict=True):
        assert torch.equal(found, wanted[[7, 2]])
    other = machine.gibbs(start, 6, seed=2, sample_ids=ids, stream=Stream.DATA)
    assert not torch.equal(other[0], whole[0])


def test_images_are_means_of_visible_units_and_functions_of_seed_and_id(machine):
    whole = machine.generate(3000, seed=4)
    assert whole.shape == (3000, 1, 2, 2)
    mean = joint(machine).sum(1).detach() @ states(4)
    error = whole.flatten(1).std(0) / 3000**0.5
    assert ((whole.flatten(1).mean(0) - mean).abs() < 4.5 * error).all()
    ids = torch.tensor([41, 7, 1300])
    torch.testing.assert_close(machine.generate(3, seed=4, sample_ids=ids), whole[ids])
    torch.testing.assert_close(machine.generate(30, seed=4, batch_size=7), whole[:30])
    assert not torch.allclose(machine.generate(30, seed=5), whole[:30])


def test_what_does_not_fit_is_refused(machine):
    with pytest.raises(ValueError, match="sampling_steps: expected at least 1"):
        RestrictedBoltzmannMachine(sampling_steps=0)
    with pytest.raises(ValueError, match="sample_ids: expected an int64 tensor of shape"):
        machine.generate(3, sample_ids=torch.arange(2))
