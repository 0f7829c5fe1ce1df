import pytest
import torch
from lightning.pytorch import Trainer
from torch.nn import functional as F

from tests.training.fitting import fit, same
from thermotorch.training.augmentation import jitter
from thermotorch.training.classifier_module import ClassifierModule
from thermotorch.training.data import Digits8x8Data


def classifier(**objective) -> ClassifierModule:
    model = {"name": "feature_net", "config": {"image_size": 8}}
    return ClassifierModule(model, {"name": "adamw", "lr": 3e-3, "weight_decay": 1e-2, "warmup_steps": 10}, objective)


def test_it_learns_the_real_8x8_digits():
    """A small convolutional network reads about 97 % of the held-out UCI digits, written by other people."""
    module = classifier(rotation=10.0, scale=0.1, shift=0.5)
    data = Digits8x8Data(batch_size=50, val_size=200)
    trainer = Trainer(
        accelerator="cpu", devices=1, max_epochs=4, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, use_distributed_sampler=False,
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
    parts = [{**{key: batch[key][half] for key in ("image", "label", "slot")}, "step": 2} for half in (slice(3), slice(3, 6))]
    assert torch.allclose(sum(moving.training_step(part, 0) for part in parts) / 2, moving.training_step(batch, 0), atol=1e-6)


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
