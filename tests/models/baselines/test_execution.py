"""The formats in which a network runs: what they compute in, what they leave behind, and how the fastest is found."""

import pytest
import torch
from torch import nn

from thermotorch.models.baselines.diffusion import DiffusionModel
from thermotorch.models.baselines.execution import EXECUTIONS, executed_in, fastest_execution

TINY = {"image_size": 8, "block_out_channels": [8, 16], "num_train_timesteps": 100}


@pytest.fixture
def model() -> DiffusionModel:
    torch.manual_seed(0)
    return DiffusionModel(**TINY)


def observed(network: nn.Conv2d) -> str:
    """Return the execution that a network is in, as PyTorch shows it."""
    number_format = "bfloat16" if torch.is_autocast_enabled("cpu") else "float32"
    last = network.weight.is_contiguous(memory_format=torch.channels_last) and not network.weight.is_contiguous()
    return number_format + " channels_last" * last


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_an_execution_holds_inside_its_context_alone(execution):
    network = nn.Conv2d(4, 8, 3)
    weight = network.weight.detach().clone()
    with pytest.raises(RuntimeError, match="on purpose"), executed_in(network, execution) as number_format:
        with number_format:
            assert observed(network) == execution
        assert not torch.is_autocast_enabled("cpu")
        raise RuntimeError("on purpose")
    assert observed(network) == "float32"
    assert torch.equal(network.weight, weight)


@pytest.mark.parametrize("winner", EXECUTIONS)
def test_the_fastest_execution_is_the_one_that_takes_least_time(winner):
    network, now = nn.Conv2d(4, 8, 3), [0.0]

    def work() -> None:
        now[0] += 1.0 if observed(network) == winner else 1.2

    assert fastest_execution(network, work, lambda: now[0]) == winner


@pytest.mark.parametrize("second", [0.01, 100.0])
def test_a_gain_within_the_noise_of_a_clock_keeps_float32(second):
    network, now = nn.Conv2d(4, 8, 3), [0.0]

    def work() -> None:
        now[0] += second * (1.0 if observed(network) == "bfloat16" else 1.03)

    assert fastest_execution(network, work, lambda: now[0]) == "float32"


def test_the_first_run_of_an_execution_which_allocates_does_not_count():
    network, now, seen = nn.Conv2d(4, 8, 3), [0.0], set()

    def work() -> None:
        now[0] += (1.0 if observed(network) == "bfloat16" else 1.2) + 10.0 * (observed(network) not in seen)
        seen.add(observed(network))

    assert fastest_execution(network, work, lambda: now[0]) == "bfloat16"


@pytest.mark.parametrize("execution", [name for name in EXECUTIONS if name != "float32"])
def test_images_of_an_execution_are_those_of_float32_up_to_its_rounding(model, execution):
    exact = model.generate(4, seed=1, steps=5)
    rounded = model.generate(4, seed=1, steps=5, execution=execution)
    error = (rounded - exact).square().mean().sqrt() / exact.std()
    assert rounded.dtype == torch.float32
    if execution.startswith("bfloat16"):
        assert 1e-5 < error < 0.02  # products of operands with 8 significant bits, five steps in a row
    else:
        assert error < 1e-5
    assert torch.equal(model.generate(4, seed=1, steps=5), exact)  # nothing is left behind


def test_auto_takes_the_execution_that_was_measured_once(model, monkeypatch):
    calls = []

    def measured(network: nn.Module, work: object) -> str:
        calls.append(network)
        return "bfloat16"

    monkeypatch.setattr("thermotorch.models.baselines.diffusion.fastest_execution", measured)
    images = [model.generate(3, steps=2, execution="auto") for _ in range(2)]
    assert len(calls) == 1
    assert torch.equal(images[1], model.generate(3, steps=2, execution="bfloat16"))


def test_what_is_measured_is_a_batch_with_the_guidance_at_hand(monkeypatch):
    """A prediction that is guided evaluates the network for the class and for any class; others evaluate it once."""
    rows = []
    told = DiffusionModel(**TINY, num_classes=3, guidance=2.0)
    told.unet.register_forward_pre_hook(lambda network, arguments: rows.append(len(arguments[0])))
    monkeypatch.setattr(
        "thermotorch.models.baselines.diffusion.fastest_execution", lambda network, work: work() is None or "float32"
    )
    for batch_size, guidance in ((5, None), (5, 1.0), (5, 0.0), (5, 3.0), (6, None)):
        told.fastest_execution(batch_size, guidance)
    assert rows == [10, 5, 12]


def test_an_unknown_execution_is_refused_with_the_known_ones(model):
    with pytest.raises(ValueError, match=r"execution: expected one of float32, .*auto, found 'fp8'"):
        model.generate(1, execution="fp8")
