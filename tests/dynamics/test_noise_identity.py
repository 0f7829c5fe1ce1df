"""Each random number is the documented function of seed, stream, sample and step: what makes a run repeatable.

A number from another stream or step has the same law, so that no test of a law sees it; here each is computed anew.
"""

import pytest
import torch

import thermotorch as tt
from thermotorch.circuit import from_potential
from thermotorch.circuit.machine import mismatched_capacitors
from thermotorch.data.augmentation import NODES, jitter
from thermotorch.dynamics import Stream, normals, simulate_underdamped
from thermotorch.linear_algebra.board.spu import StochasticProcessingUnit
from thermotorch.models.baselines.boltzmann import RestrictedBoltzmannMachine
from thermotorch.models.baselines.gaussians import Gaussians
from thermotorch.models.imperfections import imperfect_parameters
from thermotorch.objectives.genetic import first_generation, next_generation
from thermotorch.training.classifier_module import ClassifierModule
from thermotorch.training.diffusion_module import DiffusionModule
from thermotorch.training.reference_module import BoltzmannModule

SEED, IDS = 11, torch.tensor([7, 2, 1 << 33])
ADAM = {"name": "adam", "lr": 0.1}


def uniform(*arguments) -> torch.Tensor:
    return torch.special.ndtr(normals(*arguments)[0])


def scattered(module: torch.nn.Module) -> torch.nn.Module:
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=0.5)
    return module


def batch(step: int = 3) -> dict:
    torch.manual_seed(1)
    slot = torch.tensor([4, 0, 9, 2])
    return {"image": torch.rand(4, 1, 8, 8), "label": torch.tensor([1, 0, 3, 2]), "slot": slot, "step": step}


def test_a_gaussian_draws_its_components_from_the_initial_stream():
    model = scattered(Gaussians([1, 2, 2], num_classes=3, components=2))
    z, labels = normals(SEED, IDS, 0, 1, 2, Stream.INITIAL)[0], torch.tensor([2, 0, 1])
    expected = (model.mean[labels] + torch.einsum("bpc,bc->bp", model.basis[labels], z)).clamp(0, 1)
    for batch_size in (1, 256):
        found = model.generate(3, seed=SEED, sample_ids=IDS, labels=labels, batch_size=batch_size)
        torch.testing.assert_close(found.flatten(1), expected)
    by_default = model.generate(3, seed=SEED, sample_ids=IDS)
    assert torch.equal(by_default, model.generate(3, seed=SEED, sample_ids=IDS, labels=IDS % 3))


@pytest.mark.parametrize("stream", [Stream.DYNAMICS, Stream.DATA])
@torch.no_grad()
def test_a_sweep_of_gibbs_rule_draws_visible_and_then_hidden_units(stream):
    model, hidden = (
        scattered(RestrictedBoltzmannMachine([1, 2, 2], 3)),
        torch.tensor([[0.0, 1, 0], [1, 1, 0], [0, 0, 0]]),
    )
    expected = hidden
    for step in (5, 6):
        draws = uniform(SEED, IDS, step, 1, 7, stream)
        visible = (draws[:, :4] < torch.sigmoid(expected @ model.weight.T + model.visible_bias)).float()
        expected = (draws[:, 4:] < torch.sigmoid(visible @ model.weight + model.hidden_bias)).float()
    found = model.gibbs(hidden, 2, seed=SEED, sample_ids=IDS, first_step=5, stream=stream)
    assert torch.equal(found[0], visible) and torch.equal(found[1], expected)


def test_the_machine_of_binary_units_starts_with_hidden_units_off_and_shows_its_probabilities():
    model = scattered(RestrictedBoltzmannMachine([1, 2, 2], 3, sampling_steps=4))
    _, hidden = model.gibbs(torch.zeros(3, 3), 4, seed=SEED, sample_ids=IDS)
    shown = model.visible_probability(hidden).view(3, 1, 2, 2)
    torch.testing.assert_close(model.generate(3, seed=SEED, sample_ids=IDS, batch_size=2), shown)


@pytest.mark.parametrize("step", [0, 3])
def test_binary_images_and_chains_have_numbers_of_their_own(step):
    spec = {"name": "rbm", "config": {"image_shape": [1, 8, 8], "hidden": 5}}
    module, given = BoltzmannModule(spec, ADAM, {"chains": 6, "sweeps": 2}, seed=SEED), batch(step)
    scattered(module.model)
    pixels = given["image"].flatten(1)
    assert torch.equal(module.binary(given), (uniform(SEED, given["slot"], step, 1, 64, Stream.DATA) < pixels).float())
    arguments = {"seed": SEED, "sample_ids": torch.arange(40, 46), "first_step": 2 * step, "stream": Stream.DATA}
    visible, chains = module.model.gibbs(torch.zeros(6, 5), 2, **arguments)
    assert torch.equal(module.advance(step, first_chain=40), visible) and torch.equal(module.chains, chains)


@pytest.mark.parametrize("step", [0, 3])
def test_the_digital_model_is_trained_at_levels_that_are_spread_evenly(step):
    """t = floor(T frac(u + slot / golden ratio)), one u for the batch; another normal of the slot drops its class."""
    config = {"image_size": 8, "block_out_channels": [8, 8], "num_classes": 4, "num_train_timesteps": 100}
    module = DiffusionModule({"name": "ddpm", "config": config}, ADAM, {"label_dropout": 0.5}, seed=SEED)
    given = batch(step)
    slot = given["slot"]
    noise, levels = module.noise(given)
    assert torch.equal(noise, normals(SEED, slot, step, 1, 64, Stream.DATA)[0].view(4, 1, 8, 8))
    shift = uniform(SEED, torch.tensor([0]), step, 1, 1, Stream.INITIAL).double()[0, 0]
    golden = (5**0.5 - 1) / 2
    assert torch.equal(levels, ((shift + slot.double() * golden) % 1.0 * 100).long())
    dropped = uniform(SEED, slot, step, 1, 2, Stream.INITIAL)[:, 1] < 0.5
    assert torch.equal(module.labels(given), torch.where(dropped, 4, given["label"]))
    assert dropped.any() and (step == 0 or not dropped.all())


@pytest.mark.parametrize("elastic", [0.0, 2.0])
def test_jitter_is_a_function_of_step_and_slot(elastic):
    settings = {"rotation": 20.0, "scale": 0.2, "shift": 1.0, "elastic": elastic}
    config = {"image_size": 8, "widths": [4], "num_features": 4}
    module, given = ClassifierModule({"name": "feature_net", "config": config}, ADAM, settings, seed=SEED), batch()
    bends = 2 * NODES**2 if elastic else 0
    xi = normals(SEED, given["slot"], 3, 1, 4 + bends, Stream.DATA)[0]
    field = xi[:, 4:].view(4, 2, NODES, NODES) if elastic else None
    expected = jitter(given["image"], torch.special.ndtr(xi[:, :4]), field, **settings)
    torch.testing.assert_close(module.augmented(given), expected)
    assert not torch.allclose(expected, given["image"])


def test_a_device_has_one_deviation_for_each_component_of_each_parameter():
    module = scattered(torch.nn.Linear(3, 2))
    found = imperfect_parameters(module, mismatch=0.1, seed=SEED, device_id=5)
    for number, (name, nominal) in enumerate(module.named_parameters()):
        xi = normals(SEED, torch.tensor([5]), number, 1, nominal.numel(), Stream.HARDWARE).view_as(nominal)
        torch.testing.assert_close(found[name], nominal * (1 + 0.1 * xi))


@pytest.mark.parametrize("generation", [1, 3])
def test_a_mutation_is_a_function_of_generation_parameter_and_member(generation):
    """Of twenty parameters, so that the numbers of one generation are no longer than those that it leaves for them."""
    population = {f"p{number}": torch.zeros(4, 2, 3) for number in range(20)}
    fan_in = {name: 4.0 for name in population}
    losses = torch.tensor([2.0, 1.0, 0.0, 3.0])
    found = next_generation(population, losses, fan_in, keep=2, strength=0.6, seed=SEED, generation=generation)
    first = first_generation({name: values[0] for name, values in population.items()}, 4, std=0.2, seed=SEED)
    for number, name in enumerate(population):
        for values, step, scale in ((found[name], generation << 16, 0.3), (first[name], 0, 0.2)):
            xi = normals(SEED, torch.arange(4), step + number, 1, 6, Stream.DATA)[0].view(4, 2, 3)
            torch.testing.assert_close(values, scale * xi)


def test_capacitors_deviate_by_numbers_that_no_parameter_has():
    machine = from_potential(tt.Potential(tt.DenseCouplings(4)), 1.0, 0.1, 0.1)
    xi = normals(SEED, torch.tensor([5]), 1 << 16, 1, 4, Stream.HARDWARE).view(-1).double()
    once = mismatched_capacitors(machine, 0.1, seed=SEED, device_id=5)
    torch.testing.assert_close(once.sizes, 1 + 0.1 * xi)
    twice = mismatched_capacitors(once, 0.1, seed=SEED, device_id=5)
    torch.testing.assert_close(twice.sizes, (1 + 0.1 * xi) ** 2)


def test_each_component_of_each_board_has_its_own_deviation():
    """A small matrix has the components of the first cells of its board."""
    board, matrix = StochasticProcessingUnit(4, tolerance=0.1), torch.diag(torch.tensor([1.0, 2.0])).double() + 0.25
    (circuit,), _ = board.circuits(matrix, boards=2, first_board=3, hardware_seed=SEED)
    draws = normals(SEED, torch.tensor([3, 4]), 0, 1, 3 * 4 + 16, Stream.HARDWARE, torch.float64)[0]
    inductors, resistors, ground, between = draws.split([4, 4, 4, 16], 1)
    torch.testing.assert_close(circuit.inductance, 1e-3 * torch.exp(0.1 * inductors[:, :2]))
    torch.testing.assert_close(circuit.resistance, 330.0 * torch.exp(0.1 * resistors[:, :2]))
    off = 0.25 / (1.25 * 2.25) ** 0.5 * 1e-8
    pair = off * torch.exp(0.1 * between[:, 1])  # entry (0, 1); windings are reversed, as the entry is positive
    own = (1e-8 - off) * torch.exp(0.1 * ground[:, :2])
    torch.testing.assert_close(circuit.capacitance[:, 0, 1], pair, rtol=1e-12, atol=0)
    torch.testing.assert_close(circuit.capacitance[:, [0, 1], [0, 1]], own + pair[:, None], rtol=1e-12, atol=0)


def test_velocities_start_with_the_last_numbers_of_the_initial_stream():
    mass = torch.tensor([0.5, 2.0])
    potential, state = tt.Potential(tt.DenseCouplings(2)), torch.zeros(3, 2)
    run = simulate_underdamped(
        potential, state, steps=0, dt=0.01, temperature=0.3, mass=mass, seed=SEED, sample_ids=IDS,
        clamp=torch.tensor([False, True]),
    )  # fmt: skip
    xi = normals(SEED, IDS, (1 << 56) - 1, 1, 2, Stream.INITIAL)[0]
    torch.testing.assert_close(run.velocity, (0.3 / mass).sqrt() * xi * torch.tensor([1.0, 0.0]))
