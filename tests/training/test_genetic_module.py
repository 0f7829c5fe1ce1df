from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Trainer
from torch.nn import functional as F

from tests.training.fitting import fit, same
from thermotorch.objectives.genetic import first_generation, next_generation
from thermotorch.training.cosine_module import CosineModule
from thermotorch.training.data import Digits8x8Data, Updates
from thermotorch.training.genetic_module import GeneticClassifierModule, GeneticCosineModule

SGD = {"name": "sgd", "lr": 0.0}
QUIET = {
    "accelerator": "cpu", "devices": 1, "logger": False, "enable_checkpointing": False, "enable_progress_bar": False,
    "enable_model_summary": False, "use_distributed_sampler": False,
}  # fmt: skip


def cosine(kind: type, optimizer: dict = SGD, seed: int = 0, **objective) -> torch.nn.Module:
    model = {"name": "layered", "config": {"layers": [4, 4, 1], "temperature": 0.02}}
    settings = {"inputs": 9, "samples": 4, "dt": 0.05, "validate_every": 1000, **objective}
    return kind(model, optimizer, settings, seed)


def images_module(**objective) -> GeneticClassifierModule:
    config = {"image_shape": [1, 8, 8], "hidden": 6, "dt": 0.02}
    return GeneticClassifierModule(
        {"name": "classifier", "config": config}, SGD, {"population": 10, "keep": 2, **objective}, seed=3
    )


def test_the_error_of_a_member_is_that_of_the_model():
    """In the same noise; and a constant answer of zero scores the variance of the cosine."""
    module = cosine(GeneticCosineModule, population=4, keep=2, mirrored=False, seed=2)
    errors = module.task.errors(module.population, step=3)
    for member in range(4):
        for name, parameter in module.model.named_parameters():
            parameter.data.copy_(module.population[name][member])
        torch.testing.assert_close(module.task.error(step=3).detach(), errors[member])
    module.model.output.data.zero_()
    z, target = module.task.points(module.model.input)
    assert len(z) == 9
    torch.testing.assert_close(module.task.error(0).detach(), target.square().mean())


@pytest.mark.parametrize("mirrored", [False, True])
def test_common_noise_ranks_members_exactly(mirrored):
    """Members whose answers lie further and further from the best constant, by less than the noise of the four runs at
    each point, in each of ten generations.
    """
    module = cosine(GeneticCosineModule, population=6, keep=2, mirrored=mirrored)
    population = {name: values[:1].expand_as(values).clone() for name, values in module.population.items()}
    population["output"][:] = 1.0
    population["potential.bias"][:, -1] = 0.4 + torch.tensor([0.003, 0.0, 0.005, 0.001, 0.004, 0.002])
    errors = torch.stack([module.task.errors(population, step) for step in range(10)])
    assert errors.std(0).min() > errors[0].max() - errors[0].min()
    assert (errors.argsort(1) == torch.tensor([1, 3, 5, 0, 4, 2])).all()


def test_mirrored_runs_halve_the_noise_of_the_error_and_more():
    """Of the average answer: to first order a machine turns opposite noise into opposite errors."""
    spread = {}
    for mirrored in (False, True):
        module = cosine(GeneticCosineModule, population=4, keep=2, mirrored=mirrored)
        population = {name: values * 4 for name, values in module.population.items()}
        spread[mirrored] = torch.stack([module.task.errors(population, step) for step in range(40)]).std(0)
    assert (spread[True] < spread[False] / 2).all(), spread
    with pytest.raises(ValueError, match="samples: expected an even number of mirrored runs, found 3"):
        cosine(GeneticCosineModule, samples=3)


def test_mutations_halve_in_a_half_life():
    module = cosine(GeneticCosineModule, strength=0.4, half_life=10)
    assert [module.strength(generation) for generation in (0, 10, 20)] == pytest.approx([0.4, 0.2, 0.1])
    assert cosine(GeneticCosineModule, strength=0.4).strength(1000) == 0.4


def test_generations_lower_the_error_and_gradients_lower_it_faster():
    genetic = cosine(GeneticCosineModule, population=20, keep=4)
    trainer = Trainer(max_steps=25, max_epochs=-1, **QUIET)
    trainer.fit(genetic, Updates())
    assert trainer.callback_metrics["train/loss"] < 0.56  # 5/9, the best constant on these points
    gradient = cosine(CosineModule, {"name": "adam", "lr": 5e-2})
    trainer = Trainer(max_steps=500, max_epochs=-1, **QUIET)
    trainer.fit(gradient, Updates())
    assert trainer.callback_metrics["train/loss"] < 0.2


def test_runs_are_counted_for_every_member_mirrored_or_not():
    """9 inputs x 4 samples for a member and generation: what a machine would have to run."""
    for mirrored in (True, False):
        genetic = cosine(GeneticCosineModule, population=6, keep=2, mirrored=mirrored)
        trainer = Trainer(max_steps=3, max_epochs=-1, **QUIET)
        trainer.fit(genetic, Updates())
        assert trainer.callback_metrics["train/runs"] == 3 * 6 * 9 * 4
    gradient = cosine(CosineModule)
    trainer = Trainer(max_steps=2, max_epochs=-1, **QUIET)
    trainer.fit(gradient, Updates())
    assert trainer.callback_metrics["train/runs"] == 2 * 9 * 4


def test_the_model_is_the_best_member(tmp_path):
    module = images_module()
    before = {name: values.clone() for name, values in module.population.items()}
    data = Digits8x8Data(batch_size=30)
    trainer = Trainer(max_steps=1, **QUIET)
    trainer.fit(module, data)
    images, labels = data.train_dataloader().batch(0)["image"], data.train_dataloader().batch(0)["label"]
    winner = [i for i in range(10) if torch.equal(before["layer.input.weight"][i], module.model.layer.input.weight)]
    assert len(winner) == 1
    losses = module.losses(before, {"image": images, "label": labels, "step": 0, "slot": torch.arange(30)})
    assert losses.argmin() == winner[0]
    assert all(not torch.equal(values, before[name]) for name, values in module.population.items())


def test_losses_of_classifiers_are_their_cross_entropies_in_the_noise_of_their_generation():
    module = images_module(dt=0.01, integrator="splitting")
    images, labels = torch.rand(7, 1, 8, 8), torch.arange(7)
    population = {name: 3 * values for name, values in module.population.items()}
    losses = module.losses(population, {"image": images, "label": labels, "step": 3, "slot": torch.arange(7)})
    for member in range(3):
        for name, parameter in module.model.named_parameters():
            parameter.data.copy_(population[name][member])
        run = module.model.run(images, 3, 3 * 7 + torch.arange(7), dt=0.01, integrator="splitting")
        logits = 4.0 * module.model.read(run)
        torch.testing.assert_close(F.cross_entropy(logits, labels).detach(), losses[member], rtol=1e-4, atol=1e-5)


def test_a_generation_mutates_the_best_of_the_last_by_the_strength_of_its_time():
    settings = {"population": 10, "keep": 2, "strength": 0.3, "half_life": 2}
    config = {"image_shape": [1, 8, 8], "hidden": 6, "dt": 0.02}
    module = GeneticClassifierModule({"name": "classifier", "config": config}, SGD, settings, seed=5)
    module._trainer = SimpleNamespace(world_size=1)
    module.log = lambda *arguments, **options: None
    module.count_update = lambda: None
    old = {name: values.clone() for name, values in module.population.items()}
    first = first_generation(dict(module.model.named_parameters()), 10, std=0.1, seed=5)
    assert same(old, {name: values.detach() for name, values in first.items()})
    batch = {"image": torch.rand(4, 1, 8, 8), "label": torch.arange(4), "step": 4, "slot": torch.arange(4)}
    losses = module.losses(old, batch)
    module.training_step(batch, 0)
    assert same(
        module.population, next_generation(old, losses, module.fan_in(), keep=2, strength=0.3 / 4, seed=5, generation=5)
    )


def test_every_parameter_of_a_classifier_has_a_fan_in():
    module = images_module()
    fan_in = module.fan_in()
    assert fan_in.keys() == dict(module.model.named_parameters()).keys()
    assert fan_in["layer.input.weight"].flatten().tolist() == [64.0] * 6 + [70.0] * 10
    blocks = {name.rpartition(".")[2]: count for name, count in fan_in.items() if ".blocks." in name}
    assert blocks == {"hidden-hidden": 64.0, "hidden-output": 67.0, "output-output": 70.0}
    assert images_module(bias_fan_in=9).fan_in()["layer.potential.bias"] == 9.0


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path):
    fit_arguments = {"gradient_clip_val": None}
    fit(images_module(), tmp_path / "whole", 6, **fit_arguments)
    fit(images_module(), tmp_path / "resumed", 6, ckpt_path=tmp_path / "whole" / "4.ckpt", **fit_arguments)
    whole, resumed = (torch.load(tmp_path / run / "6.ckpt", weights_only=True) for run in ("whole", "resumed"))
    assert same(whole["state_dict"], resumed["state_dict"])
    assert any(name.startswith("population_") for name in whole["state_dict"])


@pytest.mark.parametrize("kind", [GeneticCosineModule, CosineModule])
def test_an_unknown_setting_is_refused(kind):
    with pytest.raises(TypeError, match=r"objective: unknown \['sample'\]"):
        cosine(kind, sample=3)
