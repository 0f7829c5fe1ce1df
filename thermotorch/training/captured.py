"""A loss and its gradient as one CUDA graph, which the host launches once for each update."""

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from thermotorch.training.module import TrainingModule

if TYPE_CHECKING:
    from torch.cuda import _POOL_HANDLE

_WARM_UP = 3  # runs before a capture: compilation, autotuning and lazy allocations have no place in a graph


class _Capture(NamedTuple):
    graph: torch.cuda.CUDAGraph
    places: list[Tensor]  # of the inputs
    value: Tensor
    gradients: tuple[Tensor, ...]


class CapturedGradient:
    """Evaluate a loss and its gradient; on a GPU the first call captures a graph, which later calls replay.

    The loss must consist of operations on the GPU, of the same shapes each time, and no value may return to the host.
    Noise from torch's generator is fresh in every replay.
    """

    def __init__(self) -> None:
        self._graphs: dict[Hashable, _Capture] = {}
        self._pool: _POOL_HANDLE | None = None  # memory that the graphs share: they never run at the same time

    def __call__(
        self, key: Hashable, loss: Callable[..., Tensor], parameters: Sequence[Tensor], *inputs: Tensor
    ) -> Tensor:
        """Return the loss, detached, and leave its gradient in `grad` of the parameters.

        Args:
            key: identity of the loss, which holds everything that is constant in a capture.
            loss: function of `inputs`, whose shapes depend on the key alone.
            parameters: parameters of the loss.
            inputs: tensors that change from call to call.
        """
        if not inputs[0].is_cuda:
            value, gradients = _evaluate(loss, parameters, inputs)
        else:
            if key not in self._graphs:
                self._graphs[key] = self._captured(loss, parameters, inputs)
            graph, places, value, gradients = self._graphs[key]
            for place, value_of_input in zip(places, inputs, strict=True):
                place.copy_(value_of_input)
            graph.replay()
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        return value

    def _captured(
        self, loss: Callable[..., Tensor], parameters: Sequence[Tensor], inputs: Sequence[Tensor]
    ) -> "_Capture":
        places = [value.clone() for value in inputs]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(_WARM_UP):
                _evaluate(loss, parameters, places)
        torch.cuda.current_stream().wait_stream(side)
        graph, self._pool = torch.cuda.CUDAGraph(), self._pool or torch.cuda.graph_pool_handle()
        cached = torch.is_autocast_cache_enabled()
        torch.set_autocast_cache_enabled(False)  # a replay would not repeat the cached cast of a weight
        try:
            with torch.cuda.graph(graph, pool=self._pool):
                value, gradients = _evaluate(loss, parameters, places)
        finally:
            torch.set_autocast_cache_enabled(cached)
        return _Capture(graph, places, value, gradients)


class GradientAtHand(TrainingModule):
    """A module whose `training_step` may return a detached loss, with the gradient already in `grad`.

    Attributes:
        gradient: see `CapturedGradient`.
    """

    def prepare(self) -> None:
        self.gradient = CapturedGradient()

    def wants_graph(self) -> bool:
        """Return True for updates in one CUDA graph: as the setting `at_once` says; if None, on a GPU."""
        at_once = self.settings["at_once"]
        return self.device.type == "cuda" if at_once is None else at_once

    def on_fit_start(self) -> None:
        if self.device.type == "cuda":  # products of float32 keep 11 significant bits; sums and states keep all
            torch.set_float32_matmul_precision("high")
            torch.backends.cudnn.allow_tf32 = True

    def optimizer_zero_grad(self, *_: object) -> None:
        pass  # Lightning calls this after `training_step`

    def backward(self, loss: Tensor, *arguments: Any, **keywords: Any) -> None:
        if loss.requires_grad:
            for parameter in self.parameters():
                parameter.grad = None
            super().backward(loss, *arguments, **keywords)


def _evaluate(
    loss: Callable[..., Tensor], parameters: Sequence[Tensor], inputs: Sequence[Tensor]
) -> tuple[Tensor, tuple[Tensor, ...]]:
    with torch.enable_grad():
        value = loss(*inputs)
        return value.detach(), torch.autograd.grad(value, parameters)
