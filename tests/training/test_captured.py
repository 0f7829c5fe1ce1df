"""A loss and its gradient as a CUDA graph, with stand-ins for the GPU that keep the order of what it is asked."""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch

from tests.training.fitting import diffusion_module
from thermotorch.training import captured, rollout
from thermotorch.training.captured import CapturedGradient
from thermotorch.training.observation_module import ObservationTimeModule


class OnGpu(torch.Tensor):
    """A tensor that says it is on a GPU."""

    is_cuda = True


class Graph:
    """A graph that computes again what was computed as it was captured, into the same tensors."""

    def replay(self) -> None:
        value, gradients = self.program()
        self.value.copy_(value)
        for place, gradient in zip(self.gradients, gradients, strict=True):
            place.copy_(gradient)


@pytest.fixture
def gpu(monkeypatch) -> SimpleNamespace:
    """Stand-ins in `torch.cuda`; `events` is what happened, `graphs` what was captured."""
    seen = SimpleNamespace(events=[], graphs=[], pools=[])
    evaluate = captured._evaluate
    current = SimpleNamespace(wait_stream=lambda other: seen.events.append(f"current waits for {other.name}"))
    current.name = "current"

    def side() -> SimpleNamespace:
        waits = lambda other: seen.events.append(f"side waits for {other.name}")  # noqa: E731
        return SimpleNamespace(name="side", wait_stream=waits)

    @contextmanager
    def stream(of):
        seen.events.append(f"on {of.name}")
        yield
        seen.events.append(f"off {of.name}")

    @contextmanager
    def graph(capturing, pool):
        assert not torch.is_autocast_cache_enabled()
        seen.events.append("capture")
        seen.graphs.append(capturing)
        seen.pools.append(pool)
        yield

    def evaluated(loss, parameters, inputs):
        value, gradients = evaluate(loss, parameters, inputs)
        seen.events.append("run")
        if "capture" in seen.events[-2:]:
            made = seen.graphs[-1]
            made.program, made.value, made.gradients = (lambda: evaluate(loss, parameters, inputs)), value, gradients
        return value, gradients

    for name, stand_in in {
        "Stream": side, "current_stream": lambda: current, "stream": stream, "CUDAGraph": Graph, "graph": graph,
        "graph_pool_handle": object,
    }.items():  # fmt: skip
        monkeypatch.setattr(torch.cuda, name, stand_in)
    monkeypatch.setattr(captured, "_evaluate", evaluated)
    return seen


def test_a_graph_is_captured_once_for_each_loss_and_replayed_on_what_is_given(gpu):
    weight, other = (torch.nn.Parameter(torch.tensor([1.0, 2.0, 3.0])) for _ in range(2))
    at_hand = CapturedGradient()
    for call, (key, power) in enumerate((("square", 2), ("square", 2), ("cube", 3), ("square", 2))):
        x, y = torch.full((3,), call + 1.0).as_subclass(OnGpu), torch.tensor([1.0, 0.5, 2.0])
        value = at_hand(key, lambda x, y, power=power: (weight**power * x + other * y).sum(), [weight, other], x, y)
        assert not value.requires_grad
        torch.testing.assert_close(torch.Tensor(value), (weight.detach() ** power * x + other.detach() * y).sum() + 0)
        torch.testing.assert_close(torch.Tensor(weight.grad), power * weight.detach() ** (power - 1) * (call + 1.0))
        torch.testing.assert_close(torch.Tensor(other.grad), y)
    warmed = ["side waits for current", "on side", "run", "run", "run", "off side", "current waits for side"]
    assert gpu.events == [*warmed, "capture", "run"] * 2
    assert len(gpu.graphs) == 2 and gpu.pools[0] is gpu.pools[1], "they never run at the same time"
    assert torch.is_autocast_cache_enabled()


def test_casts_are_cached_again_after_a_capture_that_fails(gpu):
    calls = []

    def loss(x: torch.Tensor) -> torch.Tensor:
        calls.append(x)
        if len(calls) == 4:
            raise RuntimeError("no capture")
        return (weight * x).sum()

    weight = torch.nn.Parameter(torch.ones(3))
    with pytest.raises(RuntimeError, match="no capture"):
        CapturedGradient()("loss", loss, [weight], torch.ones(3).as_subclass(OnGpu))
    assert torch.is_autocast_cache_enabled()


def test_a_gradient_at_hand_is_kept_and_any_other_replaces_that_of_the_last_update():
    module = diffusion_module()
    weight = module.model.unet.conv_in.weight
    weight.grad = torch.ones_like(weight)
    module.optimizer_zero_grad()
    module.backward(torch.tensor(1.0))
    assert torch.equal(weight.grad, torch.ones_like(weight))
    module.backward((3.0 * weight).sum())
    assert torch.equal(weight.grad, torch.full_like(weight, 3.0))


def test_a_gpu_multiplies_in_tf32_takes_graphs_and_lays_networks_out_for_it(monkeypatch):
    asked = []
    monkeypatch.setattr(torch, "set_float32_matmul_precision", asked.append)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    for compiled in (False, True):
        module = diffusion_module(objective={"compile": compiled})
        monkeypatch.setattr(type(module), "device", torch.device("cuda"))
        monkeypatch.setattr(type(module.model.unet), "compile", lambda self: asked.append("compile"))
        module.on_fit_start()
        assert asked == ["high", *["compile"] * compiled] and torch.backends.cudnn.allow_tf32
        assert module.model.unet.conv_out.weight.is_contiguous(memory_format=torch.channels_last)
        assert module.wants_graph()
        asked.clear()
    config = {"image_shape": [1, 2, 2], "hidden": 3, "t_final": 0.02, "dt": 0.01}
    module = ObservationTimeModule({"name": "generator", "config": config}, {}, {"at_once": False})
    monkeypatch.setattr(type(module), "device", torch.device("cuda"))
    assert not module.wants_graph()


def test_a_step_is_compiled_for_each_size_of_group(monkeypatch):
    made = []
    monkeypatch.setattr(torch, "compile", lambda function, **options: made.append(options) or function)
    for limit, expected in ((8, 64), (100, 100)):
        monkeypatch.setattr(torch._dynamo.config, "recompile_limit", limit)
        assert rollout._compiled_move.__wrapped__() is rollout._move
        assert torch._dynamo.config.recompile_limit == expected
    assert made == [{"dynamic": False}] * 2
