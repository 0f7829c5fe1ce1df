import torch

from thermotorch.models.classifier.neuron import neuron_activation
from thermotorch.models.classifier.neuron_net import NeuronNet


def test_it_is_layers_of_neurons():
    torch.manual_seed(0)
    net, x = NeuronNet(6, [5, 4], 3, temperature=0.2, j2=0.5, j4=2.0), torch.randn(7, 6)
    first = neuron_activation(net.layers[0](x), 0.5, 0.0, 2.0, 0.2)
    second = neuron_activation(net.layers[1](first), 0.5, 0.0, 2.0, 0.2)
    torch.testing.assert_close(net(x), net.layers[2](second))
    wanted = net.wanted(x)
    assert wanted.shape == (7, 5 + 4 + 3)
    torch.testing.assert_close(wanted[:, :5], first)
    torch.testing.assert_close(wanted[:, 5:9], second)
    torch.testing.assert_close(wanted[:, 9:], 2 * net(x).softmax(1) - 1)


def test_it_learns_the_real_8x8_digits(digits8x8):
    images, labels = digits8x8
    torch.manual_seed(0)
    net, x = NeuronNet(64, [16]), images.flatten(1)
    optimizer = torch.optim.Adam(net.parameters(), 0.03)
    for _ in range(100):
        loss = torch.nn.functional.cross_entropy(net(x[:500]), labels[:500])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (net(x[1500:]).argmax(1) == labels[1500:]).float().mean() > 0.8


def test_its_neurons_are_by_default_single_wells_at_a_tenth_of_their_energy():
    net, x = NeuronNet(3, [4], 2), torch.linspace(-2, 2, 12).view(4, 3)
    torch.testing.assert_close(net.activations(x)[0], neuron_activation(net.layers[0](x), 1.0, 0.0, 1.0, 0.1))
