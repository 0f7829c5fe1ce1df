import pytest
import torch
from lightning.pytorch import Trainer

from tests.training.fitting import same
from thermotorch.models.baselines.gaussians import Gaussians
from thermotorch.training.data import Digits8x8Data
from thermotorch.training.reference_module import BoltzmannModule, GaussiansModule

RBM = {"name": "rbm", "config": {"image_shape": [1, 8, 8], "hidden": 20, "sampling_steps": 30}}
SGD = {"name": "sgd", "lr": 0.05}


def trainer(folder, steps: int) -> Trainer:
    return Trainer(
        accelerator="cpu", devices=1, max_steps=steps, max_epochs=-1, default_root_dir=folder, logger=False,
        enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False,
        enable_checkpointing=False,
    )  # fmt: skip


def boltzmann(**objective) -> BoltzmannModule:
    return BoltzmannModule(RBM, SGD, {"chains": 20, **objective}, seed=3)


def test_the_gaussians_are_fitted_to_the_images_that_are_not_held_out(tmp_path):
    module = GaussiansModule(
        {"name": "gaussians", "config": {"image_shape": [1, 8, 8], "components": 5}}, {"name": "sgd", "lr": 0.0}
    )
    data = Digits8x8Data(batch_size=4, val_size=300)
    fitting = trainer(tmp_path, 5)
    fitting.fit(module, data)
    assert fitting.global_step == 1
    fitted = Gaussians([1, 8, 8], components=5).fit(*data.fitted_images())
    assert len(data.fitted_images()[0]) == 1200
    assert same(dict(module.model.state_dict()), dict(fitted.state_dict()))


def test_the_first_biases_are_those_of_independent_pixels(tmp_path):
    module, data = boltzmann(), Digits8x8Data(batch_size=20, val_size=700)
    torch.nn.init.zeros_(module.model.weight)
    module.optimizer_step = lambda *args, **kwargs: args[3]()  # counts, and moves nothing
    trainer(tmp_path, 1).fit(module, data)
    images = data.fitted_images()[0].flatten(1)
    alone = module.model.visible_probability(torch.zeros(20))
    torch.testing.assert_close(alone, (images.sum(0) + 1) / (800 + 2))  # Laplace's rule of succession
    assert alone.min() > 0  # although some pixels are never on


def test_an_update_follows_the_likelihood_gradient_of_its_batch_and_chains(tmp_path):
    module, data = boltzmann(), Digits8x8Data(batch_size=20)
    data.setup()
    before = {name: value.clone() for name, value in module.model.state_dict().items()}
    module.on_fit_start = lambda: None
    batch = data.train_dataloader().batch(0)
    visible = module.binary(batch)
    start = module.chains.clone()
    trainer(tmp_path, 1).fit(module, data)
    moved = {name: value - before[name] for name, value in module.model.state_dict().items()}
    module.model.load_state_dict(before)
    module.chains = start
    chains = module.advance(0, first_chain=20)
    hidden, model_hidden = (module.model.hidden_probability(each) for each in (visible, chains))
    expected = (visible.T @ hidden - chains.T @ model_hidden) / 20
    torch.testing.assert_close(moved["weight"], 0.05 * expected.detach(), atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(moved["visible_bias"], 0.05 * (visible.mean(0) - chains.mean(0)))
    torch.testing.assert_close(
        moved["hidden_bias"], 0.05 * (hidden - model_hidden).mean(0).detach(), atol=1e-6, rtol=1e-4
    )


def test_binary_images_have_the_pixels_as_means():
    module = boltzmann()
    image = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    batch = {"image": image.expand(4000, -1, -1, -1), "slot": torch.arange(4000), "step": 7}
    drawn = module.binary(batch)
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    p = image.flatten()
    assert ((drawn.mean(0) - p).abs() < 4.5 * (p * (1 - p) / 4000).sqrt()).all()
    part = {"image": batch["image"][50:60], "slot": torch.arange(50, 60), "step": 7}
    assert torch.equal(module.binary(part), drawn[50:60])


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path):
    """The chains persist, also through a checkpoint."""
    data = Digits8x8Data(batch_size=20)
    whole, resumed = boltzmann(sweeps=2), boltzmann(sweeps=2)
    trainer(tmp_path, 6).fit(whole, data)
    half = trainer(tmp_path, 4)
    half.fit(boltzmann(sweeps=2), data)
    half.save_checkpoint(tmp_path / "half.ckpt")
    trainer(tmp_path, 6).fit(resumed, data, ckpt_path=tmp_path / "half.ckpt")
    assert same(dict(resumed.state_dict()), dict(whole.state_dict()))


def test_training_brings_the_moments_of_the_machine_to_those_of_the_data(tmp_path):
    data = Digits8x8Data(digits=[0, 1], batch_size=50)
    module = BoltzmannModule(RBM, {"name": "sgd", "lr": 0.5, "decay_steps": 200}, {"chains": 50})
    images = data.fitted_images()[0].flatten(1)

    trainer(tmp_path, 200).fit(module, data)
    drawn, covariance = module.model.generate(500).flatten(1), images.T.cov()
    assert (drawn.T.cov() - covariance).norm() < 0.5 * covariance.norm()  # independent pixels have none


def test_unknown_settings_are_refused():
    with pytest.raises(TypeError, match="objective: unknown .*'chain'"):
        boltzmann(chain=3)
    with pytest.raises(TypeError, match="objective: unknown"):
        GaussiansModule({"name": "gaussians"}, SGD, {"ridge": 1.0})
