"""The three ways to train the generative computer, on the 8x8 digits: they reach one loss, resume, and share out."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from thermotorch.models.generator.noising import Noising
from thermotorch.training import generator_module
from thermotorch.training.data import Digits8x8Data
from thermotorch.training.generator_module import ClosedFormModule, OnlineModule, TrajectoryModule

MODEL = {"name": "generator", "config": {"image_shape": [1, 8, 8], "hidden": 16, "t_final": 0.5, "dt": 5e-3}}
SGD = {"name": "sgd", "lr": 1.0}
FLOOR = 80 / 2  # what the noise alone scores


def data(batch_size: int = 1) -> Digits8x8Data:
    return Digits8x8Data(batch_size=batch_size, digits=[0, 1, 2], images_per_digit=1, normalisation="per_image")


def train(module, folder: Path, steps: int, batch_size: int = 1, ckpt: str | None = None, **options):
    trainer = Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        devices=options.pop("devices", 1),
        max_steps=steps,
        max_epochs=-1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        callbacks=[ModelCheckpoint(folder, save_last=True, every_n_train_steps=1)],
        **options,
    )
    trainer.fit(module, datamodule=data(batch_size), ckpt_path=ckpt)
    return module, trainer


@pytest.mark.slow
def test_all_three_ways_reach_the_same_loss(tmp_path):
    """The solve gives the optimum that the rules approach, on coarse paths too; they go most of the way to it."""
    at_zero = None
    actions = {}
    ways = {
        "closed form": (ClosedFormModule, {"batches": 8, "held_out_every": 4, "validate_every": 8}, 8, 12),
        "trajectory": (TrajectoryModule, {"validate_every": 120}, 120, 2),
        "coarse": (TrajectoryModule, {"validate_every": 120, "coarse": 10}, 120, 2),
        "online": (OnlineModule, {"validate_every": 120}, 120, 2),
    }
    for name, (cls, objective, steps, batch_size) in ways.items():
        module = cls(MODEL, SGD, {"validation_paths": 48, **objective})
        module, trainer = train(module, tmp_path / name, steps, batch_size)
        actions[name] = trainer.callback_metrics["val/action"].item()
        if at_zero is None:
            torch.nn.utils.vector_to_parameters(
                torch.zeros(sum(p.numel() for p in module.parameters())), module.parameters()
            )
            at_zero = module.validation_action().item()
    gain = at_zero - actions["closed form"]
    assert gain > 0.1
    for name in ("trajectory", "coarse", "online"):
        assert 0.75 * gain < at_zero - actions[name] < 1.05 * gain, actions


@pytest.mark.parametrize("cls", [TrajectoryModule, OnlineModule, ClosedFormModule])
def test_resumed_training_equals_uninterrupted_training(cls, tmp_path):
    objective = {"batches": 5, "held_out_every": 3} if cls is ClosedFormModule else {}
    whole, _ = train(cls(MODEL, SGD, objective), tmp_path / "whole", 5, batch_size=2)
    train(cls(MODEL, SGD, objective), tmp_path / "half", 2, batch_size=2)
    resumed, _ = train(
        cls(MODEL, SGD, objective), tmp_path / "rest", 5, batch_size=2, ckpt=str(tmp_path / "half" / "last.ckpt")
    )
    assert any(p.any() for p in whole.parameters())
    for (name, expected), found in zip(whole.named_parameters(), resumed.parameters(), strict=True):
        assert torch.equal(expected, found), name


@pytest.mark.slow
@pytest.mark.parametrize("cls", [TrajectoryModule, ClosedFormModule])
def test_two_processes_train_the_machine_of_one(cls, tmp_path):
    objective = {"batches": 2, "held_out_every": 2} if cls is ClosedFormModule else {}
    alone, _ = train(cls(MODEL, SGD, objective), tmp_path / "alone", 2, batch_size=4)
    shared, _ = train(cls(MODEL, SGD, objective), tmp_path / "shared", 2, batch_size=4, devices=2, strategy="ddp_spawn")
    for (name, expected), found in zip(alone.named_parameters(), shared.parameters(), strict=True):
        # Sums in float32 have another order, so single small entries may differ by more than the whole does.
        assert (found - expected).norm() <= 1e-5 * expected.norm(), name


def test_a_checkpoint_opens_without_its_configuration(tmp_path):
    module, _ = train(TrajectoryModule(MODEL, SGD), tmp_path, 1)
    opened = TrajectoryModule.load_from_checkpoint(tmp_path / "last.ckpt", weights_only=True)
    assert torch.equal(opened.model.generate(1, seed=0), module.model.generate(1, seed=0))


def test_a_misspelt_setting_is_refused():
    with pytest.raises(TypeError, match=r"objective: unknown \['rampp'\]"):
        TrajectoryModule(MODEL, SGD, {"rampp": 0.5})


def test_every_third_batch_of_the_fit_is_held_out(monkeypatch, tmp_path):
    """Five batches of two paths: one of them, the third, chooses the ridge, and none counts twice."""
    module = ClosedFormModule(MODEL, SGD, {"batches": 5, "held_out_every": 3})
    steps, paths, run = module.noising.steps, [], Noising.run
    monkeypatch.setattr(
        Noising, "run", lambda self, *a, **given: paths.append(given["sample_ids"]) or run(self, *a, **given)
    )
    _, trainer = train(module, tmp_path, 50, batch_size=2)
    assert trainer.global_step == 5  # it stops where the fit is
    assert (module.fitted_steps.item(), module.held_out_steps.item()) == (4 * 2 * steps, 2 * steps)
    assert torch.cat(paths[:5]).tolist() == list(range(10))


def test_held_out_paths_are_not_those_of_training():
    module = TrajectoryModule(MODEL, SGD, {"validation_paths": 3}, seed=4)
    module._trainer, seen = SimpleNamespace(datamodule=data()), []
    paths = module.paths
    module.paths = lambda images, seed, *rest: seen.append((len(images), seed)) or paths(images, seed, *rest)
    module.validation_action()
    module.training_paths({"image": torch.zeros(2, 1, 8, 8), "step": 3, "slot": torch.arange(2)})
    (held_out, other), (_, seed) = seen
    assert (held_out, seed, other) == (3, 4, 4 + (1 << 32))


def test_the_action_is_validated_every_so_many_batches(tmp_path):
    module, at = TrajectoryModule(MODEL, SGD, {"validate_every": 2}), []
    module.validation_action = lambda: at.append(module.trainer.global_step) or torch.tensor(1.0)
    train(module, tmp_path, 5)
    assert at == [2, 4]


def test_the_online_rate_is_shared_by_the_steps_of_a_path(monkeypatch, tmp_path):
    """As a path of ten times the steps would move the parameters as far."""
    rates = []
    update = generator_module.online_update
    monkeypatch.setattr(
        generator_module,
        "online_update",
        lambda *a, rate, **given: rates.append(rate) or update(*a, rate=rate, **given),
    )
    module, _ = train(OnlineModule(MODEL, {"name": "sgd", "lr": 0.5}), tmp_path, 1, batch_size=2)
    assert rates == [pytest.approx(0.5 / module.noising.steps)] * 2


def test_held_out_paths_are_taken_in_pieces_of_which_each_step_is_in_one(monkeypatch):
    """And of more paths than images, each image is in turn."""
    module, seen = TrajectoryModule(MODEL, SGD, {"validation_paths": 5}, seed=4), []
    module._trainer = SimpleNamespace(datamodule=data())
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=0.3)
    whole, paths = module.validation_action(), module.paths
    module.paths = lambda images, *rest: seen.append(images) or paths(images, *rest)
    monkeypatch.setattr(generator_module, "_CHUNK", 7)  # of 100 steps
    torch.testing.assert_close(module.validation_action(), whole)
    pictures = data().train_images()[0]
    expected = (pictures - pictures.mean((1, 2, 3), keepdim=True)) / pictures.std((1, 2, 3), correction=0, keepdim=True)
    torch.testing.assert_close(seen[0], expected[[0, 1, 2, 0, 1]])
