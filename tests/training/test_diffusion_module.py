from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger
from torchvision.io import decode_image

from tests.training.fitting import diffusion_module, ema, fit, same
from thermotorch.models.baselines.diffusion import DiffusionModel
from thermotorch.models.baselines.execution import EXECUTIONS
from thermotorch.training.callbacks import SampleGrid
from thermotorch.training.data import Digits8x8Data
from thermotorch.training.diffusion_module import DiffusionModule
from thermotorch.zoo import save_checkpoint

TRAINED = ("state_dict", "current_model_state", "averaging_state", "optimizer_states", "lr_schedulers", "global_step")


class InterruptAt(Callback):
    """Ctrl-C in the middle of an update."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer) -> None:
        if trainer.global_step == self.step:
            raise KeyboardInterrupt


def load(path) -> dict:
    return torch.load(path, weights_only=True)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """Twelve updates, two whole epochs and a part; a checkpoint after each."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    fit(diffusion_module(), folder, 12, ema())
    return folder


@pytest.mark.parametrize("step", [5, 7], ids=["at the end of an epoch", "within an epoch"])
def test_a_resumed_run_equals_an_uninterrupted_one(uninterrupted, tmp_path, step):
    fit(diffusion_module(), tmp_path, 12, ema(), ckpt_path=uninterrupted / f"{step}.ckpt")
    resumed, reference = load(tmp_path / "12.ckpt"), load(uninterrupted / "12.ckpt")
    assert all(same(resumed[key], reference[key]) for key in TRAINED)


def test_an_interrupted_run_leaves_a_checkpoint_and_continues_exactly(uninterrupted, tmp_path):
    with pytest.raises(SystemExit):
        fit(diffusion_module(), tmp_path, 12, ema(), InterruptAt(8), save_every=100)
    assert load(tmp_path / "last.ckpt")["global_step"] == 8
    fit(diffusion_module(), tmp_path / "on", 12, ema(), ckpt_path=tmp_path / "last.ckpt")
    resumed, reference = load(tmp_path / "on" / "12.ckpt"), load(uninterrupted / "12.ckpt")
    assert all(same(resumed[key], reference[key]) for key in TRAINED)


def test_averaged_weights_are_the_moving_average_and_what_a_checkpoint_gives(uninterrupted):
    steps = [load(uninterrupted / f"{step}.ckpt") for step in range(1, 13)]
    name = "model.unet.conv_in.weight"
    average = steps[0]["current_model_state"][name]
    for checkpoint in steps[1:]:
        average = 0.8 * average + 0.2 * checkpoint["current_model_state"][name]
    last = steps[-1]
    assert torch.allclose(last["state_dict"][name], average, atol=1e-6)
    assert (last["state_dict"][name] - last["current_model_state"][name]).abs().max() > 1e-4

    loaded = DiffusionModule.load_from_checkpoint(uninterrupted / "12.ckpt", weights_only=True)
    assert same(dict(loaded.state_dict()), dict(last["state_dict"]))
    assert loaded.model.config["block_out_channels"] == [8, 16]


def test_training_ends_with_the_averaged_weights(uninterrupted, tmp_path):
    module = diffusion_module()
    fit(module, tmp_path, 12, ema(), ckpt_path=uninterrupted / "11.ckpt")
    assert same(dict(module.state_dict()), dict(load(uninterrupted / "12.ckpt")["state_dict"]))


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path):
    # Not with Adam, which blows up the rounding of gradients that are zero, such as those of the biases of attention
    # keys.
    start, one, two = (diffusion_module({"name": "sgd", "lr": 0.1}) for _ in range(3))
    for module, name, processes in ((one, "one", {}), (two, "two", {"strategy": "ddp_spawn", "devices": 2})):
        grid = SampleGrid(tmp_path / name, every_n_steps=4, num_samples=5, generate={"steps": 3})
        logger = CSVLogger(tmp_path / name, name="csv", version=0)
        fit(module, tmp_path / name, 4, ema(), grid, logger=logger, log_every_n_steps=1, **processes)
    start, one, two = (module.state_dict() for module in (start, one, two))
    moved = max((one[key] - start[key]).abs().max() for key in one)
    assert moved > 1e-2
    assert max((one[key] - two[key]).abs().max() for key in one) < 1e-4 * moved
    pictures = [decode_image(str(tmp_path / name / "step-000004.png")).int() for name in ("one", "two")]
    assert (pictures[0] - pictures[1]).abs().max() <= 1
    tables = (tmp_path / name / "csv" / "version_0" / "metrics.csv" for name in ("one", "two"))
    losses = [np.genfromtxt(table, delimiter=",", names=True) for table in tables]
    assert len(losses[0]) == 4
    assert np.allclose(losses[0]["trainloss"], losses[1]["trainloss"], rtol=1e-5)


def test_noise_is_keyed_by_seed_step_and_slot():
    module = diffusion_module(seed=5)
    batch = {"image": torch.zeros(64, 1, 8, 8), "slot": torch.arange(64), "step": 3}
    noise, timesteps = module.noise(batch)
    part = {"image": batch["image"][40:], "slot": batch["slot"][40:], "step": 3}
    assert torch.equal(module.noise(part)[0], noise[40:])
    assert torch.equal(module.noise(part)[1], timesteps[40:])
    for other, changed in ((module, {**batch, "step": 4}), (diffusion_module(seed=6), batch)):
        assert (other.noise(changed)[0] - noise).abs().amax(dim=(1, 2, 3)).min() > 0.1
        assert not torch.equal(other.noise(changed)[1], timesteps)
    assert abs(noise.mean()) < 5 / 64
    assert abs(noise.std() - 1) < 5 / 90


def test_noise_levels_are_uniform_and_spread_within_a_batch():
    module = diffusion_module()
    levels = module.model.config["num_train_timesteps"]
    batch = {"image": torch.zeros(100, 1, 8, 8), "slot": torch.arange(100)}
    drawn = torch.stack([module.noise({**batch, "step": step})[1] for step in range(200)])
    assert drawn.min() == 0
    assert drawn.max() == levels - 1
    # Independent levels would scatter by 2 per cell and batch; a golden ratio sequence leaves at most one too many or
    # few.
    counts = torch.stack([row.bincount(minlength=levels) for row in drawn])
    assert (counts - 100 / levels).abs().max() <= 2
    firsts = drawn[:, 0].double()  # over steps, a single slot sees all levels
    assert abs(firsts.mean() / levels - 0.5) < 5 / (12 * 200) ** 0.5


def test_some_images_lose_their_class():
    module = diffusion_module(objective={"label_dropout": 0.25})
    torch.manual_seed(0)
    module.model = DiffusionModel(image_size=8, block_out_channels=[16], num_classes=10)
    batch = {"label": torch.arange(4000) % 10, "slot": torch.arange(4000), "step": 6}
    labels = module.labels(batch)
    lost = labels == 10
    assert torch.equal(labels[~lost], batch["label"][~lost])
    assert abs(lost.double().mean() - 0.25) < 5 * (0.25 * 0.75 / 4000) ** 0.5
    assert torch.equal(module.labels({"label": batch["label"][9:], "slot": batch["slot"][9:], "step": 6}), labels[9:])
    assert not torch.equal(module.labels({**batch, "step": 7}), labels)
    images, levels = torch.rand(8, 1, 8, 8), torch.arange(8)
    losses = [
        module.model.loss(images, torch.zeros_like(images), levels, labels[first : first + 8]) for first in (0, 1)
    ]
    assert abs(losses[0] - losses[1]) > 1e-4


def test_training_lowers_the_loss(tmp_path):
    module = diffusion_module()
    images = Digits8x8Data(digits=[0, 1], images_per_digit=20).train_images()[0]
    batch = {"image": images, "slot": torch.arange(len(images)), "step": 1000}
    before = module.model.loss(batch["image"], *module.noise(batch)).item()
    fit(module, tmp_path, 40, save_every=100)
    after = module.model.loss(batch["image"], *module.noise(batch)).item()
    assert after < 0.8 * before


def test_training_starts_from_the_weights_of_a_checkpoint(tmp_path):
    trained = diffusion_module(seed=1).model
    fields = {"data": {}, "metrics": [], "energy": [], "training": {}, "licence": "Apache-2.0", "notes": ""}
    path, _ = save_checkpoint(trained, "ddpm.small", tmp_path, fields)
    started = diffusion_module(objective={"start_from": str(path)}, seed=2).model
    assert same(dict(started.state_dict()), dict(trained.state_dict()))
    assert not same(dict(diffusion_module(seed=2).model.state_dict()), dict(trained.state_dict()))


def test_unknown_settings_are_refused():
    with pytest.raises(TypeError, match="objective"):
        diffusion_module(objective={"weighting": "uniform"})
    module = DiffusionModule(
        {"name": "ddpm", "config": {"image_size": 8, "block_out_channels": [8]}}, {"name": "adamm"}
    )
    with pytest.raises(ValueError, match=r"optimizer.name: expected one of \['adam"):
        module.configure_optimizers()


def test_noise_levels_of_one_graph_are_uniform_too(monkeypatch):
    """Spread evenly within a batch, from the least level to the largest over many; some images lose their class."""
    module = diffusion_module(objective={"label_dropout": 0.25})
    module.model = DiffusionModel(image_size=8, block_out_channels=[16], num_train_timesteps=50, num_classes=10)
    seen = []
    monkeypatch.setattr(module.model, "loss", lambda *arguments: seen.append(arguments))
    torch.manual_seed(0)
    images, labels = torch.zeros(100, 1, 8, 8), torch.arange(100) % 10
    for _ in range(100):
        module._loss_at_once(images, labels)
    levels = torch.stack([arguments[2] for arguments in seen])
    assert (levels.min(), levels.max(), levels.dtype) == (0, 49, torch.int64)
    assert (torch.stack([row.bincount(minlength=50) for row in levels]) - 2).abs().max() <= 2
    noise = torch.stack([arguments[1] for arguments in seen])
    assert abs(noise.mean()) < 5 / noise.numel() ** 0.5 and abs(noise.std() - 1) < 5 / noise.numel() ** 0.5
    told = torch.stack([arguments[3] for arguments in seen])
    assert abs((told == 10).double().mean() - 0.25) < 5 * (0.25 * 0.75 / told.numel()) ** 0.5
    assert torch.equal(torch.where(told == 10, labels, told), labels.expand_as(told))


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_an_execution_rounds_products_and_moves_weights_and_nothing_else(uninterrupted, tmp_path, execution):
    module = diffusion_module(objective={"execution": execution})
    fit(module, tmp_path, 3, ema())
    weight, rounded = module.model.unet.conv_out.weight, execution.startswith("bfloat16")
    assert weight.is_contiguous(memory_format=torch.channels_last) == execution.endswith("channels_last")
    name = "model.unet.conv_in.weight"
    found, expected = (load(folder / "3.ckpt")["current_model_state"][name] for folder in (tmp_path, uninterrupted))
    error = (found - expected).abs().max()
    assert found.dtype == torch.float32 and (1e-4 < error < 3e-2 if rounded else error < 1e-4)


def test_the_fastest_execution_is_measured_once_and_kept_by_a_resumed_run(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "thermotorch.training.diffusion_module.fastest_execution",
        lambda network, work: asked.append(work()) or "bfloat16",
    )
    automatic, chosen = {"objective": {"execution": "auto"}}, {"objective": {"execution": "bfloat16"}}
    fit(diffusion_module(**automatic), tmp_path / "auto", 4, ema())
    fit(diffusion_module(**chosen), tmp_path / "chosen", 4, ema())
    fit(diffusion_module(**automatic), tmp_path / "resumed", 4, ema(), ckpt_path=tmp_path / "auto" / "2.ckpt")
    assert len(asked) == 1
    expected = load(tmp_path / "chosen" / "4.ckpt")
    for name in ("auto", "resumed"):
        found = load(tmp_path / name / "4.ckpt")
        assert found["hyper_parameters"]["objective"]["execution"] == "bfloat16"
        assert all(same(found[key], expected[key]) for key in TRAINED)


def test_the_trainer_alone_decides_if_it_has_a_precision_of_its_own(uninterrupted, tmp_path, monkeypatch):
    monkeypatch.setattr("thermotorch.training.diffusion_module.fastest_execution", lambda *_: pytest.fail("measured"))
    module = diffusion_module(objective={"execution": "auto"})
    fit(module, tmp_path, 1, ema(), precision="bf16-mixed")
    assert module.settings["execution"] == "auto"


def test_an_unknown_execution_is_refused():
    with pytest.raises(ValueError, match="execution: expected one of float32, .*, auto, found 'float16'"):
        diffusion_module(objective={"execution": "float16"})


@pytest.mark.parametrize(("processes", "images"), [(1, 16), (4, 10)])
def test_an_execution_is_measured_with_the_images_of_a_process_and_sixteen_at_most(processes, images, monkeypatch):
    module, seen = diffusion_module(), []
    module._trainer = SimpleNamespace(datamodule=Digits8x8Data(batch_size=40), world_size=processes)
    loss = module.model.loss
    monkeypatch.setattr(module.model, "loss", lambda *given: seen.append([len(part) for part in given]) or loss(*given))
    monkeypatch.setattr(
        "thermotorch.training.diffusion_module.fastest_execution", lambda network, work: work() or "bfloat16"
    )
    assert module._fastest() == "bfloat16" and seen == [[images] * 4]
    assert all(parameter.grad is None for parameter in module.parameters()), "it changes nothing"
