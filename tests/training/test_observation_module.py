"""Training a machine to be right when it is read, on the 8x8 digits: it learns, resumes, and keeps off the judge."""

import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, WeightAveraging

from thermotorch.evaluation.quality.distances import frechet_distance
from thermotorch.models.judge import FeatureNet
from thermotorch.training.callbacks import HeldOutDistance
from thermotorch.training.data import Digits8x8Data
from thermotorch.training.features import net_blocks
from thermotorch.training.observation_module import ObservationTimeModule
from thermotorch.zoo import save_checkpoint

ADAM = {"name": "adam", "lr": 3e-3, "betas": [0.5, 0.99]}


def machine(**config) -> dict:
    config = {
        "image_shape": [1, 8, 8], "hidden": 32, "hidden_hidden": False, "visible_bias": True, "temperature": 0.03,
        "t_final": 2.0, "dt": 0.1, "integrator": "alternating", "j2": {"visible": 0.5, "hidden": -0.5},
        "display_range": [-0.75, 0.75], "readout_time": 0.2, **config,
    }  # fmt: skip
    return {"name": "generator", "config": config}


@pytest.fixture(scope="module")
def features(tmp_path_factory) -> str:
    """An untrained feature network for 8x8 images; random features tell laws apart too."""
    torch.manual_seed(0)
    net = FeatureNet(image_size=8, widths=[8, 8], num_features=16)
    fields = {"data": {}, "metrics": [], "energy": [], "training": {}, "licence": "Apache-2.0", "notes": ""}
    weights, _ = save_checkpoint(net, "feature_net.random8x8", tmp_path_factory.mktemp("zoo"), fields)
    return str(weights)


def train(module: ObservationTimeModule, folder: Path, steps: int, *callbacks, ckpt: Path | None = None, **data):
    trainer = Trainer(
        default_root_dir=folder, accelerator="cpu", devices=1, max_steps=steps, max_epochs=-1, logger=False,
        enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False,
        callbacks=[ModelCheckpoint(folder, save_last=True, every_n_train_steps=1), *callbacks],
    )  # fmt: skip
    trainer.fit(module, datamodule=Digits8x8Data(**{"batch_size": 32, "digits": [0, 1], **data}), ckpt_path=ckpt)
    return trainer


def pixel_error(module: ObservationTimeModule) -> float:
    """Return the distance of the mean and the spread of the pixels of samples from those of the digits."""
    images, _ = Digits8x8Data(digits=[0, 1]).train_images()
    drawn = module.model.generate(200, seed=11)
    return ((drawn.mean(0) - images.mean(0)).square().mean() + (drawn.std(0) - images.std(0)).square().mean()).item()


@pytest.mark.parametrize("config", [{}, {"hidden": [24, 12]}, {"num_classes": 2}])
def test_contrast_brings_the_samples_to_the_data(config, tmp_path):
    module = ObservationTimeModule(machine(**config), ADAM)
    before = pixel_error(module)
    train(module, tmp_path, 120)
    assert pixel_error(module) < 0.3 * before


def test_end_to_end_updates_shrink_the_distance_that_they_follow(features, tmp_path):
    module = ObservationTimeModule(machine(), ADAM, {"contrastive_steps": 40, "features": features})
    train(module, tmp_path / "contrast", 40)
    before, batch = pixel_error(module), {"step": 10**6, "slot": torch.arange(200), "label": torch.zeros(200).long()}
    batch["image"] = Digits8x8Data(digits=[0, 1]).train_images()[0][:200]
    first = module.distance(batch).item()
    more = ObservationTimeModule(machine(), ADAM, {"contrastive_steps": 40, "features": features})
    train(more, tmp_path / "distance", 80, ckpt=tmp_path / "contrast" / "last.ckpt")
    assert more.distance(batch).item() < 0.8 * first
    assert pixel_error(more) < before


@pytest.mark.parametrize("persistent", [False, True])
def test_resumed_training_equals_uninterrupted_training(features, persistent, tmp_path):
    objective = {"contrastive_steps": 3, "persistent": persistent, "features": features}
    whole = ObservationTimeModule(machine(), ADAM, objective)
    train(whole, tmp_path / "whole", 4)
    train(ObservationTimeModule(machine(), ADAM, objective), tmp_path / "half", 1)
    resumed = ObservationTimeModule(machine(), ADAM, objective)
    train(resumed, tmp_path / "rest", 4, ckpt=tmp_path / "half" / "last.ckpt")
    for (name, expected), found in zip(whole.named_parameters(), resumed.parameters(), strict=True):
        assert torch.equal(expected, found), name


def test_persistent_runs_go_on_where_they_were(tmp_path):
    module = ObservationTimeModule(machine(), ADAM, {"persistent": True, "contrastive_time": 0.5})
    train(module, tmp_path, 1)
    before = module.chains.clone()
    assert before.shape == (32, 64 + 32)
    batch = {"step": 1, "slot": torch.arange(32), "label": torch.zeros(32).long(), "image": torch.zeros(32, 1, 8, 8)}
    module.contrast(batch)
    with torch.no_grad():
        wanted = module.model.denoise(before, steps=5, **module._noise(batch)).state
    assert torch.equal(module.chains, wanted)


def test_a_machine_with_labels_starts_from_one_without(tmp_path):
    plain = ObservationTimeModule(machine(), ADAM, seed=1).model
    torch.nn.init.normal_(plain.potential.bias)
    fields = {"data": {}, "metrics": [], "energy": [], "training": {}, "licence": "Apache-2.0", "notes": ""}
    path, _ = save_checkpoint(plain, "generator.plain", tmp_path, fields)
    told = ObservationTimeModule(machine(num_classes=3), ADAM, {"start_from": str(path)}, seed=2).model.potential
    expected = plain.potential
    assert torch.equal(told.couplings.block("visible", "hidden"), expected.couplings.block("visible", "hidden"))
    assert torch.equal(told.bias[:-3], expected.bias) and not told.bias[-3:].any()
    assert told.couplings.block("hidden", "label").any()
    with pytest.raises(ValueError, match="start_from"):
        ObservationTimeModule(machine(hidden=16), ADAM, {"start_from": str(path)})


def test_labels_are_strengthened_about_what_they_share():
    module = ObservationTimeModule(machine(num_classes=3), ADAM, {"label_gain": 2.5})
    bonds = module.model.potential.couplings.blocks["hidden-label"]
    before, image = bonds.detach().clone(), module.model.potential.couplings.blocks["visible-hidden"].detach().clone()
    module._strengthen_labels(2.5)
    torch.testing.assert_close(bonds.mean(1), before.mean(1))
    torch.testing.assert_close(bonds[:, 1] - bonds[:, 0], 2.5 * (before[:, 1] - before[:, 0]))
    assert torch.equal(module.model.potential.couplings.blocks["visible-hidden"], image)


def test_the_judge_is_refused_as_a_teacher():
    with pytest.raises(ValueError, match="judges"):
        ObservationTimeModule(machine(), ADAM, {"contrastive_steps": 0, "features": "feature_net.mnist"})
    with pytest.raises(ValueError, match="need a feature network"):
        ObservationTimeModule(machine(), ADAM, {"contrastive_steps": 0})
    with pytest.raises(TypeError, match="contrastve"):
        ObservationTimeModule(machine(), ADAM, {"contrastve": 1})


def test_blocks_are_the_pixels_the_layers_and_the_features():
    net, images = FeatureNet(widths=[4, 6], num_features=5), torch.rand(3, 1, 28, 28)
    blocks = net_blocks(net)(images)
    assert [block.shape[1] for block in blocks] == [784, 4 * 7 * 7, 6 * 7 * 7, 6 * 7 * 7, 5, 10, 10]
    assert torch.equal(blocks[0], images.flatten(1))
    torch.testing.assert_close(blocks[4], net.features(images))
    torch.testing.assert_close(blocks[6], net(images).softmax(1))


def test_held_out_distance_is_that_of_validation_images(features, tmp_path):
    module = ObservationTimeModule(machine(), ADAM)
    trainer = train(
        module, tmp_path, 2, HeldOutDistance(every_n_steps=2, num_samples=50, seed=3, judge=features), val_size=60
    )
    assert trainer.callback_metrics["val/frechet"] > 0
    assert 0 <= trainer.callback_metrics["val/recognised"] <= 1
    with pytest.raises(ValueError, match="val_size"):
        train(module, tmp_path, 3, HeldOutDistance(judge=features))


def test_contrasted_runs_take_the_time_steps_in_turn(monkeypatch, tmp_path):
    module, seen = ObservationTimeModule(machine(), ADAM, {"time_steps": [0.1, 0.05]}), []
    run = type(module.model).denoise
    monkeypatch.setattr(type(module.model), "denoise", lambda self, *a, **k: seen.append(self.dt) or run(self, *a, **k))
    before = module.model.potential.bias.detach().clone()
    train(module, tmp_path, 4)
    assert seen == [0.1, 0.05, 0.1, 0.05]
    assert not torch.equal(module.model.potential.bias, before)  # what is contrasted is the machine that is trained
    assert module.model.dt == 0.1


def test_runs_whose_distance_is_taken_take_the_time_steps_in_turn(monkeypatch, tmp_path, features):
    objective = {"contrastive_steps": 0, "features": features, "time_steps": [0.1, 0.05], "at_once": False}
    module, seen = ObservationTimeModule(machine(), ADAM, objective), []
    read = type(module.model).read
    monkeypatch.setattr(type(module.model), "read", lambda self, *a, **k: seen.append(self.dt) or read(self, *a, **k))
    before = module.model.potential.bias.detach().clone()
    train(module, tmp_path, 3)
    assert seen == [0.1, 0.05, 0.1]
    assert not torch.equal(module.model.potential.bias, before)


def test_each_phase_has_its_own_fall_of_the_learning_rate(features):
    """Half a cosine over the 4 updates of contrast, and another, from a third of the rate, over the 6 that follow."""
    objective = {"contrastive_steps": 4, "distance_rate": 1 / 3, "features": features}
    made = ObservationTimeModule(machine(), {"name": "sgd", "lr": 0.9, "decay_steps": 10}, objective)
    made = made.configure_optimizers()
    rates = []
    for _ in range(10):
        rates += (made["optimizer"].param_groups[0]["lr"],)
        made["optimizer"].step()
        made["lr_scheduler"]["scheduler"].step()
    falls = [0.9 * (1 + math.cos(math.pi * k / 4)) / 2 for k in range(4)]
    assert rates == pytest.approx(falls + [0.3 * (1 + math.cos(math.pi * k / 6)) / 2 for k in range(6)])


class Fitted:
    """Stands in for the trainer, of which a loss asks for the data alone."""

    def __init__(self, **options) -> None:
        self.datamodule = Digits8x8Data(batch_size=8, digits=[0, 1], **options)


def a_batch(step: int = 3) -> dict:
    images, labels = Digits8x8Data(digits=[0, 1]).train_images()
    return {"step": step, "slot": torch.arange(8), "label": labels[:8], "image": images[:8]}


def module_at_hand(objective: dict, **config) -> ObservationTimeModule:
    module = ObservationTimeModule(machine(**config), ADAM, objective, seed=5)
    module._trainer = Fitted()
    return module


def test_where_the_gradient_begins_does_not_change_the_run(features):
    """The first part without a gradient and the last with one have the noise of one run."""
    values, slopes = [], []
    for time in (None, 0.5, 5.0, 0.1):  # the last is shorter than the read-out
        module = module_at_hand({"contrastive_steps": 0, "features": features, "gradient_time": time})
        loss = module.distance(a_batch())
        loss.backward()
        values.append(loss.item())
        slopes.append(module.model.potential.bias.grad.clone())
    assert values == pytest.approx([values[0]] * 4, rel=1e-5)
    torch.testing.assert_close(slopes[2], slopes[0])
    assert (slopes[1] - slopes[0]).norm() > 0.1 * slopes[0].norm()


def test_training_runs_have_a_noise_of_their_own(monkeypatch):
    """Not that of samples of the same seed, and not one noise for the images and for the samples beside them."""
    module, seen = module_at_hand({}, hidden=[6, 4]), []
    run = type(module.model).denoise
    monkeypatch.setattr(
        type(module.model), "denoise", lambda self, *a, **given: seen.append(given) or run(self, *a, **given)
    )
    module.contrast(a_batch())
    samples, images = seen
    assert samples["seed"] == images["seed"] == 5 + (1 << 33)
    assert samples.get("stream") != images["stream"]
    assert torch.equal(samples["sample_ids"], 3 * 8 + torch.arange(8))  # of no other update


def test_a_run_may_be_contrasted_before_the_observation_time(monkeypatch):
    module, seen = module_at_hand({"contrastive_time": 0.5}, hidden=[6, 4]), []
    run = type(module.model).denoise
    monkeypatch.setattr(
        type(module.model), "denoise", lambda self, *a, **given: seen.append(given["steps"]) or run(self, *a, **given)
    )
    module.contrast(a_batch())
    assert seen == [5, 5]  # of 20


def test_products_are_rounded_in_training_alone(features, monkeypatch):
    module, seen = module_at_hand({"precision": "tf32"}), []
    monkeypatch.setattr(module, "log", lambda *arguments, **options: None)
    monkeypatch.setattr(module, "contrast", lambda batch: seen.append(module.model.precision))
    module.training_step(a_batch(), 0)
    assert (seen, module.model.precision) == (["tf32"], "ieee")


def test_held_out_distance_is_between_as_many_samples_and_validation_images(features):
    """Of the averaged weights, if there are any."""
    module = module_at_hand({})
    module._trainer = Fitted(val_size=60)
    trainer, logged = module._trainer, {}
    trainer.datamodule.setup()
    trainer.global_step, trainer.is_global_zero, trainer.callbacks = 4, True, []
    module.log_dict = lambda values, *, rank_zero_only, **options: logged.update(values) if rank_zero_only else None
    callback = HeldOutDistance(every_n_steps=4, num_samples=50, seed=3, judge=features)
    callback.on_fit_start(trainer, module)
    held_out = torch.cat([batch["image"] for loader in trainer.datamodule.val_dataloader() for batch in loader])[:50]
    average = WeightAveraging(use_buffers=False)
    average.on_validation_epoch_start = lambda *_: module.model.potential.bias.data.add_(0.3)
    average.on_validation_epoch_end = lambda *_: module.model.potential.bias.data.sub_(0.3)
    for trainer.callbacks, shift in (([], 0.0), ([average], 0.3)):
        callback.on_train_batch_end(trainer, module)
        with torch.no_grad():
            module.model.potential.bias += shift
            drawn, net = module.model.generate(50, seed=3), callback.net
            expected = frechet_distance(net.features(drawn), net.features(held_out))[0]
            module.model.potential.bias -= shift
        assert logged.pop("val/frechet") == pytest.approx(expected, rel=1e-3)
        assert logged.pop("val/recognised") == (net(drawn).softmax(-1).amax(-1) >= 0.9).double().mean()
    trainer.global_step = 5
    callback.on_train_batch_end(trainer, module)
    assert logged == {}


def test_without_classes_the_labels_of_the_images_do_not_count(features):
    objective = {"contrastive_steps": 0, "features": features, "time_steps": [0.1, 0.05], "at_once": True}
    batch, losses = a_batch(), []
    for label, classes in ((0, 0), (1, 0), (0, 2), (1, 2)):
        module = module_at_hand(objective, num_classes=classes)
        torch.manual_seed(0)
        losses.append(module._distance_at_once({**batch, "label": torch.full((8,), label)}).item())
    assert losses[0] == losses[1]
    assert losses[2] != losses[3]


@pytest.mark.parametrize("classes", [0, 3])
def test_an_update_at_once_is_that_of_the_run_where_noise_is_negligible(features, classes):
    """At kT = 1e-14 both have one path: it starts at rest, and its read-out, field of the labels and step agree."""
    objective = {"contrastive_steps": 0, "features": features, "time_steps": [0.1, 0.05], "at_once": True}
    values, slopes = [], []
    for name in ("distance", "_distance_at_once"):
        module = module_at_hand({**objective, "initial_std": 0.3}, temperature=1e-14, num_classes=classes, t_final=1.0)
        bias = module.model.potential.bias
        with torch.no_grad():
            bias[: module.model.hidden.stop] = 0.1 * torch.randn(96, generator=torch.Generator().manual_seed(1))
        loss = getattr(module, name)(a_batch())
        if name == "distance":
            loss.backward()
        values.append(loss.item())
        slopes.append({name: value.grad.clone() for name, value in module.named_parameters() if value.numel()})
    assert values[1] == pytest.approx(values[0], rel=1e-4)
    torch.testing.assert_close(slopes[1], slopes[0], rtol=1e-2, atol=1e-5)
    assert all(slope.any() for slope in slopes[0].values())


def test_couplings_begin_as_normals_of_the_spread_and_the_seed_asked_for_and_scales_are_those_of_a_thousand_images():
    made = [ObservationTimeModule(machine(), ADAM, {"initial_std": 0.3}, seed=seed) for seed in (1, 1, 2)]
    one, same, other = (module.model.potential.couplings.block("visible", "hidden").detach() for module in made)
    assert abs(one.std() / 0.3 - 1) < 5 / (2 * one.numel()) ** 0.5
    assert torch.equal(one, same) and not torch.allclose(one, other)
    made[0]._trainer = SimpleNamespace(datamodule=Digits8x8Data())
    pixels = Digits8x8Data().train_images()[0][:1000].flatten(1)
    expected = (pixels - pixels.mean(0)).norm(dim=1).mean().item()
    assert made[0].measures()[1] == pytest.approx([expected], rel=1e-5)
    made[0]._trainer = None  # measured once
    assert made[0].measures()[1] == pytest.approx([expected], rel=1e-5)
