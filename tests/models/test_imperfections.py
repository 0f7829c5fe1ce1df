import pytest
import torch
from torch import nn

from thermotorch.models.imperfections import imperfect_parameters, quantised, realise


def test_few_bits_mean_few_levels_and_small_errors():
    values = torch.linspace(-1.0, 0.7, 1001)
    for bits in (2, 4, 8):
        levels = quantised(values, bits)
        step = 1.0 / (2 ** (bits - 1) - 1)
        assert len(levels.unique()) <= 2**bits - 1
        assert (levels - values).abs().max() <= step / 2 + 1e-6
        torch.testing.assert_close(levels / step, (levels / step).round())
    assert quantised(values, 3).min() == -1.0
    assert torch.equal(quantised(torch.zeros(3), 4), torch.zeros(3))


def test_the_gradient_passes_the_rounding():
    values = torch.tensor([0.1, -0.9, 0.4], requires_grad=True)
    (quantised(values, 3) * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert values.grad.tolist() == [1.0, 2.0, 3.0]


def test_mismatch_is_relative_normal_and_belongs_to_the_device():
    module = nn.Linear(100, 200)
    first, again, other = (imperfect_parameters(module, mismatch=0.05, seed=0, device_id=d) for d in (3, 3, 4))
    ratio = (first["weight"] / module.weight - 1).flatten() / 0.05
    assert abs(ratio.mean().item()) < 4 / 20_000**0.5
    assert abs(ratio.var().item() - 1) < 4 * (2 / 20_000) ** 0.5
    assert torch.equal(first["weight"], again["weight"])
    correlation = torch.corrcoef(torch.stack([ratio, (other["weight"] / module.weight - 1).flatten()]))[0, 1]
    assert abs(correlation) < 4 / 20_000**0.5
    bias = (first["bias"] / module.bias - 1) / 0.05
    assert not torch.allclose(bias, ratio[:200])  # every tensor has a draw of its own


def test_perfect_hardware_changes_nothing():
    module = nn.Linear(3, 2)
    for name, values in imperfect_parameters(module).items():
        assert values is dict(module.named_parameters())[name]


def test_realising_programs_in_place():
    module = nn.Linear(30, 20)
    expected = imperfect_parameters(module, bits=4, mismatch=0.1, seed=2)
    nominal = module.weight.detach().clone()
    assert realise(module, bits=4, mismatch=0.1, seed=2) is module
    assert torch.equal(module.weight, expected["weight"])
    assert not torch.equal(module.weight, nominal)
    assert module.weight.requires_grad


@pytest.mark.parametrize(
    ("settings", "message"), [({"bits": 1}, "bits: expected at least 2"), ({"mismatch": -1.0}, "negative")]
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        imperfect_parameters(nn.Linear(2, 2), **settings)


def test_what_has_no_step_is_exact_and_numbers_of_devices_have_bounds():
    assert quantised(torch.zeros(0, 3), 4).shape == (0, 3)
    module = nn.Linear(2, 2)
    last = imperfect_parameters(module, mismatch=0.1, seed=1, device_id=2**34 - 1)
    assert not torch.equal(last["weight"], imperfect_parameters(module, mismatch=0.1, seed=1)["weight"])
    for device_id in (-1, 2**34):
        with pytest.raises(ValueError, match="device_id"):
            imperfect_parameters(module, mismatch=0.1, seed=1, device_id=device_id)


def test_levels_are_chosen_before_components_deviate_from_them():
    """The grid is that of the nominal values, and a deviation is relative to a level."""
    module = nn.Linear(3, 2)
    both = imperfect_parameters(module, bits=3, mismatch=0.1, seed=4)
    exact, alone = imperfect_parameters(module, bits=3), imperfect_parameters(module, mismatch=0.1, seed=4)
    for name, nominal in module.named_parameters():
        torch.testing.assert_close(both[name], exact[name] * alone[name] / nominal)
