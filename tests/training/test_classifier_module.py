import pytest
import torch
from lightning.pytorch import Trainer
from torch.nn import functional as F

from tests.training.fitting import fit, same
from thermotorch.data.augmentation import NODES, jitter
from thermotorch.models.imperfections import realise
from thermotorch.training.classifier_module import ClassifierModule, EndToEndModule
from thermotorch.training.data import Digits8x8Data


def classifier(**objective) -> ClassifierModule:
    model = {"name": "feature_net", "config": {"image_size": 8}}
    return ClassifierModule(model, {"name": "adamw", "lr": 3e-3, "weight_decay": 1e-2, "warmup_steps": 10}, objective)


def test_it_learns_the_real_8x8_digits():
    """A small convolutional network reads about 97 % of the held-out UCI digits, written by other people."""
    module = classifier(rotation=10.0, scale=0.1, shift=0.5)
    data = Digits8x8Data(batch_size=50, val_size=200)
    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=4,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    trainer.fit(module, data)
    assert trainer.callback_metrics["val/accuracy"] > 0.9
    (scores,) = trainer.test(module, data, verbose=False)
    images, labels = data.test_images()
    logits = module(images)
    assert scores["test/accuracy"] == pytest.approx((logits.argmax(1) == labels).float().mean().item(), abs=1e-6)
    assert scores["test/loss"] == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-4)
    assert scores["test/accuracy"] > 0.88


def test_the_loss_is_that_of_the_jittered_images():
    still, moving = classifier(), classifier(rotation=20.0)
    images = torch.rand(6, 1, 8, 8)
    batch = {"image": images, "label": torch.arange(6), "slot": torch.arange(6), "step": 2}
    loss = still.training_step(batch, 0)
    assert torch.allclose(loss, F.cross_entropy(still.model(images), batch["label"]), atol=1e-5)
    assert not torch.allclose(loss, moving.training_step(batch, 0))
    assert not torch.equal(moving.training_step(batch, 0), moving.training_step({**batch, "step": 3}, 0))
    parts = [
        {**{key: batch[key][half] for key in ("image", "label", "slot")}, "step": 2} for half in (slice(3), slice(3, 6))
    ]
    assert torch.allclose(
        sum(moving.training_step(part, 0) for part in parts) / 2, moving.training_step(batch, 0), atol=1e-6
    )


def test_a_resumed_run_equals_an_uninterrupted_one_and_opens_without_its_config(tmp_path):
    fit(classifier(rotation=10.0), tmp_path / "whole", 9)
    fit(classifier(rotation=10.0), tmp_path / "resumed", 9, ckpt_path=tmp_path / "whole" / "7.ckpt")
    whole, resumed = (torch.load(tmp_path / run / "9.ckpt", weights_only=True) for run in ("whole", "resumed"))
    assert same(whole["state_dict"], resumed["state_dict"])
    assert same(whole["optimizer_states"], resumed["optimizer_states"])
    loaded = ClassifierModule.load_from_checkpoint(tmp_path / "whole" / "9.ckpt", weights_only=True)
    assert loaded.hparams.objective == {"rotation": 10.0}
    assert same(dict(loaded.state_dict()), dict(whole["state_dict"]))


def test_an_unknown_augmentation_is_refused():
    with pytest.raises(TypeError, match="rotate"):
        classifier(rotate=10.0)


def test_jitter_stays_within_its_bounds():
    """A single bright pixel right of the centre moves as far as shift and rotation allow, never further."""
    image = torch.zeros(1, 1, 41, 41)
    image[0, 0, 20, 30] = 1.0
    generator = torch.Generator().manual_seed(0)
    moved = jitter(image.expand(500, -1, -1, -1), torch.rand(500, 4, generator=generator), rotation=90.0, shift=3.0)
    place = torch.arange(41.0) - 20
    mass = moved.sum(dim=(1, 2, 3))
    x = (moved.sum(dim=(1, 2)) * place).sum(-1) / mass
    y = (moved.sum(dim=(1, 3)) * place).sum(-1) / mass
    assert (x**2 + y**2).sqrt().max() < 10 + 3 * 2**0.5 + 0.5
    assert y.min() < -9
    assert y.max() > 9
    assert x.min() > -3.5


def test_elastic_distortions_move_pixels_by_their_strength_and_smoothly():
    """An image whose values are its places shows where each pixel came from; zero strength moves nothing."""
    place = torch.arange(29.0)
    image = torch.stack([place.expand(29, 29), place[:, None].expand(29, 29)])[None]
    bends = torch.randn(400, 2, NODES, NODES, generator=torch.Generator().manual_seed(0))
    still = torch.full((400, 4), 0.5)
    moved = jitter(image.expand(400, -1, -1, -1), still, bends, elastic=0.7) - image
    inner = moved[:, :, 4:-4, 4:-4]  # nothing comes from outside
    node = moved[:, :, 14, 14]  # in the middle, where the field is that of the node
    assert torch.allclose(node, 0.7 * bends[:, :, 2, 2], atol=1e-4)  # places up to 28 in float32, twice rescaled
    assert node.std().item() == pytest.approx(0.7, rel=0.1)  # 800 numbers: three standard errors
    assert inner.diff(dim=-1).abs().max() < inner.abs().max() / 2
    assert torch.equal(
        jitter(image.expand(400, -1, -1, -1), still, bends), jitter(image.expand(400, -1, -1, -1), still)
    )
    with pytest.raises(ValueError, match=r"bends: elastic = 0.7"):
        jitter(image, still[:1], elastic=0.7)


def test_the_distortions_of_an_image_do_not_depend_on_its_batch():
    bent, images = classifier(elastic=1.0), torch.rand(6, 1, 8, 8)
    batch = {"image": images, "slot": torch.arange(6), "step": 2}
    whole = bent.augmented(batch)
    assert torch.equal(bent.augmented({"image": images[3:], "slot": torch.arange(3, 6), "step": 2}), whole[3:])
    assert not torch.allclose(whole, images, atol=0.1)
    assert not torch.equal(bent.augmented({**batch, "step": 3}), whole)


def end_to_end(objective: dict | None = None, optimizer: str = "adam", seed: int = 4, **config) -> EndToEndModule:
    config = {"image_shape": [1, 8, 8], "hidden": 24, "dt": 0.02, "pixel_mean": 0.305, "pixel_std": 0.376, **config}
    spec = {"name": optimizer, "lr": 4e-2, "warmup_steps": 20, "decay_steps": 300}
    return EndToEndModule({"name": "classifier", "config": config}, spec, objective, seed)


def test_a_thermodynamic_classifier_learns_the_real_8x8_digits_from_scratch():
    """34 units at kT = 1, read at t = 0.2 by runs of 40 steps after a training in runs of 10."""
    module = end_to_end({"shift": 0.5}, seed=0, dt=5e-3)
    module.settings["dt"] = 0.02
    data = Digits8x8Data(batch_size=50)
    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        max_steps=300,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    trainer.fit(module, data)
    images, labels = data.test_images()
    found = module.model.infer(images, runs=8)
    accuracy = (found.outputs.argmax(-1) == labels[:, None]).float().mean(0)
    assert accuracy.mean() > 0.84
    assert 0 < found.heat.mean() < 1e5


def test_its_loss_is_the_cross_entropy_of_a_run_plus_the_heat():
    class Data:
        batch_size = 6

    def loss(objective: dict, **changed) -> torch.Tensor:
        module = end_to_end(objective)
        module._trainer = type("Trainer", (), {"datamodule": Data})()
        module.log_dict = lambda *arguments, **settings: None
        return module, module.training_step({**batch, **changed}, 0)

    images = torch.rand(6, 1, 8, 8)
    batch = {"image": images, "label": torch.arange(6), "slot": torch.arange(6), "step": 2}
    module, plain = loss({})
    run = module.model.run(images, seed=4, sample_ids=torch.arange(12, 18))
    torch.testing.assert_close(plain, F.cross_entropy(4.0 * module.model.read(run), batch["label"]))
    torch.testing.assert_close(loss({"heat": 0.01})[1], plain + 0.01 * run.heat.mean())
    blunt = F.cross_entropy(0.5 * module.model.read(run), batch["label"])
    torch.testing.assert_close(loss({"sharpness": 0.5})[1], blunt)
    assert not torch.equal(loss({}, step=3)[1], plain)
    assert not torch.equal(loss({"dt": 0.01})[1], plain)
    faulty = loss({"bits": 3, "mismatch": 0.1})[0]
    assert not torch.equal(loss({"mismatch": 0.1})[1], plain)
    device = realise(end_to_end().model, bits=3, mismatch=0.1, seed=4, device_id=2)
    expected = device.run(images, seed=0, sample_ids=torch.arange(12, 18)).state
    torch.testing.assert_close(faulty.run_of_a_device(2, images, 0, torch.arange(12, 18)).state, expected)


def test_devices_belong_to_the_seed_of_the_training():
    module, images = end_to_end({"mismatch": 0.1}), torch.rand(6, 1, 8, 8)
    module.seed = 5
    found = module.run_of_a_device(2, images, 1)
    expected = realise(module.model, mismatch=0.1, seed=5, device_id=2).run(images, seed=1)
    torch.testing.assert_close(found.state, expected.state)


def test_gradients_reach_the_nominal_parameters_of_an_imperfect_device():
    module = end_to_end({"bits": 4, "mismatch": 0.05})
    module.run_of_a_device(1, torch.rand(3, 1, 8, 8), 0, torch.arange(3)).state.sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in module.model.parameters())


def test_an_unknown_setting_of_the_dynamics_is_refused():
    with pytest.raises(TypeError, match="bit"):
        end_to_end({"bit": 4})


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_a_resumed_end_to_end_run_equals_an_uninterrupted_one(tmp_path, optimizer):
    objective = {"shift": 0.5, "mismatch": 0.05}
    fit(end_to_end(objective, optimizer), tmp_path / "whole", 7)
    fit(end_to_end(objective, optimizer), tmp_path / "resumed", 7, ckpt_path=tmp_path / "whole" / "5.ckpt")
    whole, resumed = (torch.load(tmp_path / run / "7.ckpt", weights_only=True) for run in ("whole", "resumed"))
    assert same(whole["state_dict"], resumed["state_dict"])
