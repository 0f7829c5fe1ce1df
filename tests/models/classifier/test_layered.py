import pytest
import torch

import thermotorch as tt
from thermotorch.models.classifier.layered import LayeredComputer


def test_the_published_machine():
    """33 units: 8 + 33 + 3 x 64 + 8 + 1 parameters."""
    model = tt.create_model("layered")
    assert model.potential.num_units == 33
    assert sum(parameter.numel() for parameter in model.parameters()) == 8 + 33 + 3 * 64 + 8 + 1
    assert LayeredComputer(**model.config).config == model.config
    mask = model.potential.couplings.mask()
    layer = torch.tensor([0] * 8 + [1] * 8 + [2] * 8 + [3] * 8 + [4])
    assert torch.equal(mask, (layer[:, None] - layer).abs() == 1)  # neighbouring layers, both directions, nothing else


def test_every_parameter_starts_from_normals_of_a_tenth():
    torch.manual_seed(0)
    values = torch.cat([parameter.flatten() for parameter in LayeredComputer([40, 60, 50]).parameters()]).detach()
    assert abs(values.std() / 0.1 - 1) < 5 / (2 * len(values)) ** 0.5
    assert abs(values.mean()) < 5 * 0.1 / len(values) ** 0.5


def test_fan_in_counts_the_layer_before():
    fan_in = LayeredComputer([8, 8, 4, 1]).fan_in()
    assert fan_in == {
        "input": 1.0,
        "output": 1.0,
        "potential.bias": 1.0,
        "potential.couplings.blocks.layer0-layer1": (1 + 8) / 2,
        "potential.couplings.blocks.layer1-layer2": 8.0,
        "potential.couplings.blocks.layer2-layer3": (8 + 4) / 2,
    }


def test_the_answer_is_the_weighted_mean_of_the_last_layer():
    torch.manual_seed(0)
    model, z = LayeredComputer([3, 4, 2], t_final=0.1, dt=0.01, j2=-0.5), torch.tensor([0.2, 0.9])
    drive = torch.zeros(8, 9)
    drive[:, :3] = -z.repeat_interleave(4)[:, None] * model.input  # V has + W z x
    run = tt.simulate(model.potential, torch.zeros(8, 9), steps=10, dt=0.01, temperature=0.1, drive=drive, seed=2)
    expected = (run.state[:, 7:] @ model.output).view(2, 4).mean(1)
    torch.testing.assert_close(model(z, samples=4, seed=2), expected)
    short = tt.simulate(model.potential, torch.zeros(8, 9), steps=2, dt=0.02, temperature=0.1, drive=drive, seed=2)
    found = model(z, samples=4, seed=2, dt=0.02, t_final=0.04)
    torch.testing.assert_close(found, (short.state[:, 7:] @ model.output).view(2, 4).mean(1))
    ids = torch.arange(8, 16)  # run r on input k is sample 8 + 4 k + r
    later = tt.simulate(
        model.potential, torch.zeros(8, 9), steps=10, dt=0.01, temperature=0.1, drive=drive, seed=2, sample_ids=ids
    )
    found = model(z, samples=4, seed=2, first_sample=8)
    torch.testing.assert_close(found, (later.state[:, 7:] @ model.output).view(2, 4).mean(1))
    assert not torch.allclose(found, expected)


def test_the_observation_time_is_reached_exactly():
    model = LayeredComputer([2, 1])
    assert model.steps_of() == {"steps": 1000, "dt": 1e-3}
    assert model.steps_of(1 / 3, 1.0) == {"steps": 3, "dt": 1 / 3}
    with pytest.raises(ValueError, match="write 0.9 or 1.2"):
        model.steps_of(0.3, 1.0)


def test_a_single_layer_is_refused():
    with pytest.raises(ValueError, match="layers: expected at least two"):
        LayeredComputer([3])
