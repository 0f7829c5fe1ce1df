import pytest
import torch
from torch import nn
from torch.nn import functional as F

from scripts.pages.energy_page import by_block
from thermotorch.evaluation.energy.digital_count import count, count_flops


class Net(nn.Module):
    """A convolution 2 -> 3 of 5 x 5 pixels, a linear layer 75 -> 4 in a list, and a product of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3, padding=1, bias=False)
        self.heads = nn.ModuleList([nn.Linear(75, 4, bias=False)])
        self.unused = nn.Linear(50, 50)

    def forward(self, x):
        y = self.heads[0](self.conv(x).flatten(1))
        return y @ y.T


CONV, HEAD, OWN = 2 * 25 * 3 * 2 * 9, 2 * 75 * 4, 2 * 4


@pytest.fixture
def net():
    return Net().eval().requires_grad_(False)


def test_operations_of_the_layers_are_those_by_hand_and_add_up(net):
    found = count(net, lambda: net(torch.zeros(1, 2, 5, 5)))
    assert found.flops_by_layer == {"conv": CONV, "heads.0": HEAD, "": OWN}
    assert found.flops == CONV + HEAD + OWN == sum(found.flops_by_layer.values())
    assert by_block(found, 1) == {"conv": CONV, "heads": HEAD, "": OWN}


def test_a_layer_that_is_used_twice_counts_twice(net):
    def twice():
        net(torch.zeros(1, 2, 5, 5))
        return net(torch.zeros(1, 2, 5, 5))

    assert count(net, twice).flops_by_layer == {"conv": 2 * CONV, "heads.0": 2 * HEAD, "": 2 * OWN}


def test_numbers_read_and_written_by_hand():
    """[3, 4] x [4, 5]: weights 20 read, 12 read and 15 written beside them; reshaping moves nothing."""
    layer = nn.Linear(4, 5, bias=False).requires_grad_(False)
    x = torch.zeros(3, 4)
    found = count(layer, lambda: layer(x).view(5, 3).T)
    assert (found.weight_numbers, found.activation_numbers) == (20, 12 + 15)
    assert found.least_numbers == 20 + 15
    added = count(layer, lambda: layer(x) + 1.0)
    assert added.activation_numbers == 12 + 15 + 15 + 15


def test_weights_are_read_at_every_use_and_at_least_once(net):
    weights = 3 * 2 * 9 + 75 * 4  # the unused layer is not read

    def thrice():
        for _ in range(3):
            out = net(torch.zeros(1, 2, 5, 5))
        return out

    found = count(net, thrice)
    assert found.weight_numbers == 3 * weights
    assert found.least_numbers == weights + 1
    assert found.numbers == found.weight_numbers + found.activation_numbers


def test_attention_counts_its_two_products():
    """Queries times keys and weights times values, 2 x 7 x 7 x 8 operations each, for two heads."""
    query = torch.zeros(1, 2, 7, 8)
    assert count_flops(lambda: F.scaled_dot_product_attention(query, query, query)) == 2 * 2 * (2 * 7 * 7 * 8)


def test_evaluations_are_the_images_that_go_through_the_network():
    net = nn.Identity()

    def run():
        for batch in (1, 2, 2):
            made = net(torch.zeros(batch, 3))
        return made

    assert count(net, run).evaluations == 5
    assert not net._forward_pre_hooks
    made = count(net, lambda: torch.ones(2, 3))
    assert (made.evaluations, made.num_samples) == (0, 2)


def test_operations_of_a_layer_deep_inside_are_taken_off_the_one_around_it_alone():
    """A block with a product of its own around a list of layers, inside a network with none."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(4, 5, bias=False)])

        def forward(self, x):
            return x @ x.T @ self.layers[0](x)

    outer = nn.Sequential(Block(), nn.Linear(5, 6, bias=False)).requires_grad_(False)
    found = count(outer, lambda: outer(torch.zeros(3, 4)))
    own = 2 * 3 * 3 * 4 + 2 * 3 * 3 * 5  # x x^T, and its product with the layer's output
    assert found.flops_by_layer == {"0": own, "0.layers.0": 2 * 3 * 4 * 5, "1": 2 * 3 * 5 * 6}
