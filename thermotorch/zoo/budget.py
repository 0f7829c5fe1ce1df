"""Construction of models within the bounds of their weights.

Anybody can write the configuration in a card, and a few of its digits can ask for more memory or time than there is.
"""

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from thermotorch.zoo.registry import build_model

_SPARE = 1 << 22  # elements of tables that any configuration may imply
_TIMES = 8  # elements of such tables for each one of the weights


class TooLarge(ValueError):
    """A configuration that asks for far more tensor elements than its weights hold."""


class _Budget(TorchDispatchMode):
    """Limit on the tensors that a constructor allocates, in their number and in their elements."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.elements = _TIMES * sum(value.numel() for value in weights.values()) + _SPARE
        self.tensors = 100 * len(weights) + 10_000

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        if not any(isinstance(value, Tensor) for value in args):  # allocates a new tensor
            sizes = next((value for value in args if isinstance(value, list | tuple)), args)
            self.elements -= math.prod(max(1, size) for size in sizes if type(size) is int)
            self.tensors -= 1
            if self.elements < 0 or self.tensors < 0:
                raise TooLarge("the configuration asks for a model much larger than its weights")
        return func(*args, **(kwargs or {}))


def build_within(weights: Mapping[str, Tensor], kind: str, config: Mapping[str, Any]) -> nn.Module:
    """Return a fresh model of architecture `kind`, of a size that fits `weights`.

    Raises:
        TooLarge: the model would have far more tensor elements than the weights.
        Exception: any error of the constructor.
    """
    with _Budget(weights):
        return build_model(kind, dict(config))
