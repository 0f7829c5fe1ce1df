"""A digital network whose hidden units are thermodynamic neurons: the teacher of a thermodynamic classifier."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from thermotorch.arguments import count_of, counts_of
from thermotorch.models.classifier.neuron import NeuronActivation, neuron_activation


class NeuronNet(nn.Module):
    """Fully connected layers with the exact equilibrium activation of `neuron_activation`, and a softmax on top.

    Args:
        in_features: number of inputs.
        hidden: widths of the hidden layers.
        num_classes: number of outputs.
        temperature, j2, j4: kT and on-site coefficients of the neurons.

    Source: the teacher of Whitelam, PNAS 123, e2528413123 (2026), is 784-32-32-10 with tanh.
    """

    def __init__(
        self,
        in_features: int,
        hidden: Sequence[int] = (32, 32),
        num_classes: int = 10,
        temperature: float = 0.1,
        j2: float = 1.0,
        j4: float = 1.0,
    ) -> None:
        super().__init__()
        inputs, outputs = count_of("in_features", in_features), count_of("num_classes", num_classes)
        widths = [inputs, *counts_of("hidden", hidden), outputs]
        self.layers = nn.ModuleList([nn.Linear(narrow, wide) for narrow, wide in pairwise(widths)])
        self.neuron = {"j2": j2, "j4": j4, "temperature": temperature}
        NeuronActivation(**self.neuron)  # checks the values

    def activations(self, features: Tensor) -> list[Tensor]:
        """Return the activations of every hidden layer [batch, width], and the logits [batch, class]."""
        values = [features]
        for layer in self.layers[:-1]:
            values.append(neuron_activation(layer(values[-1]), **self.neuron))
        return [*values[1:], self.layers[-1](values[-1])]

    def forward(self, features: Tensor) -> Tensor:
        """Return the logits [batch, class] of features [batch, feature]."""
        return self.activations(features)[-1]

    def wanted(self, features: Tensor) -> Tensor:
        """Return the targets of a thermodynamic student's units: hidden activations, then 2 softmax - 1.

        [batch, feature] -> [batch, hidden units + classes].
        """
        *hidden, logits = self.activations(features)
        return torch.cat([*hidden, 2 * logits.softmax(-1) - 1], -1)
