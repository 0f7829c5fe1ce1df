"""A sample in the browser is that sample in Python, for the same couplings."""

import pytest
import torch

from tests.page.engines import ENGINES, answer
from thermotorch.models.generator.machine import ThermodynamicGenerator
from thermotorch.models.imperfections import realise
from thermotorch.page.description import describe
from thermotorch.zoo import load_checkpoint

SHAPE = (1, 3, 3)


def small(**config) -> ThermodynamicGenerator:
    """A machine of nine pixels with strong random couplings, which the page and Python have alike: on 8 bits."""
    settings = {
        "image_shape": SHAPE, "hidden": [5, 3], "hidden_hidden": False, "visible_bias": True, "num_classes": 3,
        "t_final": 3.0, "dt": 0.1, "readout_time": 0.4, "integrator": "alternating",
        "j2": {"visible": 0.5, "hidden": -0.5}, "j4": 0.8, "mobility": {"hidden": 0.7},
    }  # fmt: skip
    machine = ThermodynamicGenerator(**settings | config).double().requires_grad_(False)
    generator = torch.Generator().manual_seed(1)
    for values in machine.potential.parameters():
        values.copy_(torch.randn(values.shape, generator=generator))
    machine.potential.bias[machine.hidden.stop :] = 0.0
    return realise(machine, bits=8)


def run(engine, machine, tmp_path, **given):
    """What the page's machine ends with; `given` are arguments of `machine_run.js`."""
    found = answer(engine, "machine_run.js", {"description": describe(machine, "small"), **given}, tmp_path)
    return {name: torch.tensor(values, dtype=torch.float64) for name, values in found.items()}


def agree(found, expected, machine):
    torch.testing.assert_close(found["images"].view_as(expected.images), expected.images, rtol=0, atol=1e-6)
    torch.testing.assert_close(found["heat"] / machine.temperature, expected.heat, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("config", [{}, {"num_classes": 0, "hidden": 4}, {"readout_time": 0.0, "temperature": 0.3}])
def test_layers_labels_and_slow_groups(engine, config, tmp_path):
    """Images, heat, the start of the run and its end, of samples 4 to 7 and 20 to 23."""
    machine = small(**config)
    found = run(engine, machine, tmp_path, seed=11, quartets=[1, 5])
    ids = torch.cat([torch.arange(4, 8), torch.arange(20, 24)])
    agree(found, machine.sample(8, seed=11, sample_ids=ids), machine)
    labels = ids % 3 if machine.num_classes else None
    start = machine.start(8, seed=11, sample_ids=ids, labels=labels)
    torch.testing.assert_close(found["start"], start, rtol=0, atol=1e-6)
    end = machine.denoise(start, seed=11, sample_ids=ids).state
    torch.testing.assert_close(found["states"], end, rtol=0, atol=1e-6)
    torch.testing.assert_close(found["energy"], machine.potential.energy(end), rtol=0, atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_digit_asked_for_half_of_it_given_at_another_temperature_and_observation_time(engine, tmp_path):
    machine = small(temperature=0.25, t_final=2.0)
    mask = torch.arange(9).view(SHAPE) % 2 == 0
    known = torch.linspace(0, 1, 9, dtype=torch.float64).view(SHAPE)
    given = {"mask": mask.flatten().int().tolist(), "pixels": known.flatten().tolist()}
    found = run(engine, small(), tmp_path, labels=2, known=given, steps=20, temperature=0.25)
    expected = machine.sample(4, seed=0, labels=torch.full((4,), 2), known=known.expand(4, *SHAPE), mask=mask)
    agree(found, expected, machine)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["generator.mnist", "generator.mnist_conditional"])
def test_sample_7_of_seed_0_is_sample_7_of_seed_0(engine, name, tmp_path):
    """With the couplings of the page, in float64; in float32, which `generate` has, to 1e-4 of white."""
    machine = load_checkpoint(name)
    found = run(engine, machine, tmp_path, quartets=[1])
    browsers = found["images"][3].view(1, 28, 28)
    realise(machine, bits=8)
    single = machine.generate(1, seed=0, sample_ids=torch.tensor([7]))[0]
    torch.testing.assert_close(browsers.float(), single, rtol=0, atol=1e-4)
    exact = machine.double().sample(1, seed=0, sample_ids=torch.tensor([7]))
    torch.testing.assert_close(browsers, exact.images[0], rtol=0, atol=1e-6)
    torch.testing.assert_close(found["heat"][3:] / machine.temperature, exact.heat, rtol=1e-6, atol=0)
