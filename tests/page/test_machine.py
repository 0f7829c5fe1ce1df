"""A sample in the browser is that sample in Python, for the same couplings."""

import pytest
import torch

from tests.page.engines import ENGINES, answer
from thermotorch.models.generator.chain import ThermodynamicChain
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
    """Return the results of the page's machine; `given` are arguments of `machine_run.js`."""
    found = answer(engine, "machine_run.js", {"description": describe(machine, "small"), **given}, tmp_path)
    return {name: torch.tensor(values, dtype=torch.float64) for name, values in found.items()}


def agree(found, expected, machine):
    # The page's couplings are level x scale with a scale in float32, so that they are off by up to 6e-8 of themselves.
    # A run of strong couplings amplifies that some ten times; an energy sums it over some twenty units.
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
    found = run(engine, small(), tmp_path, labels=2, known=given, steps=20, factor=2.5)
    expected = machine.sample(4, seed=0, labels=torch.full((4,), 2), known=known.expand(4, *SHAPE), mask=mask)
    agree(found, expected, machine)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_read_out_begins_anew_when_the_observation_time_is_moved_while_it_runs(engine, tmp_path):
    """From 20 steps to 30, half-way through the read-out of the last four."""
    found = run(engine, small(), tmp_path, steps=20, stride=1, lengthened={"at": 18, "to": 30})
    ids = torch.arange(4)
    start = small(t_final=2.0).start(4, seed=0, sample_ids=ids, labels=ids % 3)
    machine = small(t_final=3.0)
    expected = machine.to_images(machine.read(start, seed=0, sample_ids=ids).state)
    torch.testing.assert_close(found["images"].view_as(expected), expected, rtol=0, atol=1e-6)


def small_chain(**first) -> ThermodynamicChain:
    """A chain of two stages, of which one runs twice, with strong random couplings on 6 bits."""
    settings = {
        "hidden": 5, "hidden_hidden": False, "visible_bias": True, "num_classes": 3, "temperature": 0.2,
        "t_final": 2.0, "dt": 0.1, "integrator": "alternating", "j2": {"visible": 0.5, "hidden": -0.5},
    }  # fmt: skip
    chain = ThermodynamicChain(
        SHAPE, settings | first, angles=[60.0, 25.0], order=[1, 0, 1], hidden=7, t_stage=1.2, dt=0.1, temperature=0.1,
        readout_time=0.3,
    ).double().requires_grad_(False)  # fmt: skip
    generator = torch.Generator().manual_seed(2)
    for values in chain.parameters():
        values.copy_(0.7 * torch.randn(values.shape, generator=generator))
    chain.first.potential.bias[chain.first.hidden.stop :] = 0.0
    return realise(chain, bits=6)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("classes", [3, 0])
def test_a_chain_noises_holds_and_draws_as_python_does(engine, classes, tmp_path):
    """Images and heat at the end, with labels and without."""
    chain = small_chain(num_classes=classes)
    found = run(engine, chain, tmp_path, seed=11, quartets=[1, 5])
    ids = torch.cat([torch.arange(4, 8), torch.arange(20, 24)])
    agree(found, chain.sample(8, seed=11, sample_ids=ids), chain)


@pytest.mark.parametrize("engine", ENGINES)
def test_half_a_digit_is_held_through_a_chain(engine, tmp_path):
    chain = small_chain()
    mask = torch.arange(9).view(SHAPE) % 2 == 0
    known = torch.linspace(0, 1, 9, dtype=torch.float64).view(SHAPE)
    given = {"mask": mask.flatten().int().tolist(), "pixels": known.flatten().tolist()}
    found = run(engine, chain, tmp_path, labels=1, known=given)
    expected = chain.sample(
        4, seed=0, labels=torch.ones(4, dtype=torch.int64), known=known.expand(4, *SHAPE), mask=mask
    )
    agree(found, expected, chain)


def on_the_grid_of_the_page(chain: ThermodynamicChain) -> ThermodynamicChain:
    """Return a chain of 6-bit couplings with level x scale in float64, as the page has them, for float32 products.

    The runs amplify the rounding of the couplings: 1e-7 becomes 4e-5 of white after six machines.
    """
    for values in chain.requires_grad_(False).parameters():
        if values.numel() and (scale := values.abs().amax() / 31) > 0:
            values.copy_((values / scale).round() * scale)
    return chain


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_sample_7_of_seed_0_of_the_chain(engine, tmp_path):
    """In float64, to 1e-5 of white: six machines run one after the other."""
    chain = load_checkpoint("generator.mnist_chain").without_die()  # a page asks for classes
    found = run(engine, chain, tmp_path, quartets=[1])
    exact = on_the_grid_of_the_page(realise(chain, bits=6).double())
    exact = exact.sample(1, seed=0, sample_ids=torch.tensor([7]))
    torch.testing.assert_close(found["images"][3].view(1, 28, 28), exact.images[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(found["heat"][3:] / chain.temperature, exact.heat, rtol=1e-6, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["generator.mnist_unlabelled", "generator.mnist_conditional"])
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


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_sample_7_with_a_half_held_at_another_temperature_and_observation_time(engine, tmp_path):
    """The lower half is held, at 1.5 times the temperature for 5 in place of 10."""
    name, held = "generator.mnist_conditional", torch.zeros(28, 28, dtype=torch.bool)
    held[14:] = True
    known = torch.linspace(0, 1, 784, dtype=torch.float64).view(1, 28, 28)
    given = {"mask": held.flatten().int().tolist(), "pixels": known.flatten().tolist()}
    options = {"quartets": [1], "labels": 4, "known": given, "steps": 100, "factor": 1.5}
    own = load_checkpoint(name)
    found = run(engine, own, tmp_path, **options)
    machine = load_checkpoint(name, config={"temperature": 1.5 * own.temperature, "t_final": 5.0})
    machine = realise(machine, bits=8).double()
    labels, ids = torch.tensor([4]), torch.tensor([7])
    expected = machine.sample(1, seed=0, sample_ids=ids, labels=labels, known=known[None], mask=held[None])
    torch.testing.assert_close(found["images"][3].view(1, 28, 28), expected.images[0], rtol=0, atol=1e-6)
    torch.testing.assert_close(found["heat"][3:] / machine.temperature, expected.heat, rtol=1e-6, atol=0)
