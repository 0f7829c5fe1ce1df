import math
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torchvision.io import decode_image
from torchvision.utils import make_grid

from tests.training.fitting import diffusion_module, ema, fit
from thermotorch.models.baselines.diffusion import DiffusionModel
from thermotorch.models.protocol import Thermodynamic
from thermotorch.training.callbacks import (
    ExponentialAverage,
    HeldOutDistance,
    SampleGrid,
    TimeBudget,
    UpdateRate,
    averaged_weights,
)


def grid(images: torch.Tensor) -> torch.Tensor:
    """Return the content of a PNG of the images."""
    return make_grid(images, nrow=2).mul(255).add(0.5).clamp(0, 255).to(torch.uint8)


class Recorder(CSVLogger):
    """A logger that takes images, as that of wandb does."""

    def log_image(self, key: str, images: list, step: int) -> None:
        self.images = [*getattr(self, "images", []), (key, images, step)]


def test_grids_show_the_averaged_weights_and_change_nothing(tmp_path):
    module, plain = diffusion_module(), diffusion_module()
    logger = Recorder(tmp_path)
    shown = SampleGrid(tmp_path, every_n_steps=3, num_samples=4, columns=2, seed=7, generate={"steps": 3})
    fit(module, tmp_path / "with", 7, ema(), shown, logger=logger)
    fit(plain, tmp_path / "without", 7, ema())
    assert sorted(path.name for path in tmp_path.glob("*.png")) == [
        "step-000003.png",
        "step-000006.png",
        "step-000007.png",
    ]
    assert all(torch.equal(a, b) for a, b in zip(module.parameters(), plain.parameters(), strict=True))
    for step in (3, 7):
        weights = torch.load(tmp_path / "with" / f"{step}.ckpt", weights_only=True)["state_dict"]
        module.load_state_dict(weights)
        expected = grid(module.model.generate(4, seed=7, steps=3))
        picture = decode_image(str(tmp_path / f"step-{step:06d}.png"))
        assert (picture.int() - expected.int()).abs().max() <= 1  # the batch is the same, but threads may differ
    assert [(key, step) for key, _, step in logger.images] == [("samples", 3), ("samples", 6), ("samples", 7)]


def test_weights_are_swapped_back_even_after_an_error(tmp_path):
    class Look(Callback):
        def on_train_end(self, trainer, pl_module):
            pl_module.model.unet.conv_in.weight.data.fill_(5.0)
            with pytest.raises(RuntimeError), averaged_weights(trainer, pl_module):
                assert pl_module.model.unet.conv_in.weight.abs().max() < 5
                raise RuntimeError
            assert pl_module.model.unet.conv_in.weight.min() == 5

    fit(diffusion_module(), tmp_path, 2, ema(), Look())


def test_the_heat_of_a_machine_is_logged(tmp_path):
    class Machine(DiffusionModel, Thermodynamic):
        def readable_times(self, fractions):
            return []

        def sample(self, num_samples, *, seed, sample_ids):
            images = torch.zeros(num_samples, *self.image_shape)
            return SimpleNamespace(images=images, heat=sample_ids.double() + 100 * seed)

    module = diffusion_module()
    module.model = Machine(**module.model.config)
    fit(
        module,
        tmp_path,
        2,
        SampleGrid(tmp_path, every_n_steps=2, num_samples=5, seed=1),
        logger=CSVLogger(tmp_path, version=0),
    )
    header, *rows = (tmp_path / "lightning_logs" / "version_0" / "metrics.csv").read_text().splitlines()
    logged = [dict(zip(header.split(","), row.split(","), strict=True)) for row in rows]
    heat = [row for row in logged if row["val/heat_kT"]]
    assert [(float(row["val/heat_kT"]), row["step"]) for row in heat] == [(102.0, "2")]
    assert float(heat[0]["val/heat_kT_std"]) == pytest.approx(2.5**0.5)


def test_a_model_that_generates_nothing_is_refused(tmp_path):
    module = diffusion_module()
    module.model = torch.nn.Linear(1, 1)
    with pytest.raises(TypeError, match="expected a model with `generate`, found Linear"):
        fit(module, tmp_path, 1, SampleGrid(tmp_path))


def test_a_judge_that_is_no_feature_network_is_refused_by_name(monkeypatch):
    monkeypatch.setattr("thermotorch.training.callbacks.load_checkpoint", lambda name: torch.nn.Linear(1, 1))
    with pytest.raises(TypeError, match="^judge: expected a feature network, found 'some.network', a Linear"):
        HeldOutDistance(judge="some.network")


@pytest.mark.parametrize("name", ["every_n_steps", "num_samples", "columns"])
def test_bad_settings_are_refused(name):
    with pytest.raises(ValueError, match=f"{name}: expected at least 1, found 0"):
        SampleGrid(".", **{name: 0})


def test_exponential_average():
    average = ExponentialAverage(0.9)(torch.tensor([1.0]), torch.tensor([2.0]), 3)
    assert average.item() == pytest.approx(1.1)
    with pytest.raises(ValueError, match="decay: expected 0 <= decay < 1, found 1"):
        ExponentialAverage(1.0)


def test_processes_draw_the_samples_of_their_own_numbers(tmp_path, monkeypatch):
    """Three processes share four samples, two each; the last two are beyond the grid."""
    module, drawn = diffusion_module(), []
    monkeypatch.setattr(SampleGrid, "_gather", lambda self, trainer, module, values: drawn.append(values))
    for rank in range(3):
        trainer = SimpleNamespace(global_step=1, world_size=3, global_rank=rank, is_global_zero=False, callbacks=[])
        SampleGrid(tmp_path, every_n_steps=1, num_samples=4, seed=7, generate={"steps": 3})._draw(trainer, module)
    assert [len(images) for images in drawn] == [2, 2, 2]
    torch.testing.assert_close(torch.cat(drawn), module.model.generate(6, seed=7, steps=3), atol=1e-5, rtol=0)


def test_a_time_budget_warms_up_with_the_updates_and_falls_with_the_clock(monkeypatch):
    now, group = [100.0], {"initial_lr": 2.0}
    monkeypatch.setattr("thermotorch.training.callbacks.perf_counter", lambda: now[0])
    trainer = SimpleNamespace(global_step=0, optimizers=[SimpleNamespace(param_groups=[group])], should_stop=False)
    budget, found = TimeBudget(60.0), []
    for trainer.global_step, now[0] in ((0, 100.0), (99, 100.0), (400, 130.0), (401, 159.0), (402, 160.0)):
        budget.on_train_batch_start(trainer)
        found.append((group["lr"], trainer.should_stop))
    fall = 1.0 + math.cos(math.pi * 59 / 60)
    assert found == [(pytest.approx(rate), stop) for rate, stop in (
        (2.0 / 200, False), (1.0, False), (1.0, False), (fall, False), (0.0, True),
    )]  # fmt: skip


def test_the_rate_of_updates_is_that_since_the_last_report(monkeypatch):
    now, logged = [100.0], []
    monkeypatch.setattr("thermotorch.training.callbacks.perf_counter", lambda: now[0])
    logger = SimpleNamespace(log_metrics=lambda values, step: logged.append((*values.items(), step)))
    trainer = SimpleNamespace(global_step=0, is_global_zero=True, loggers=[logger])
    module, rate = SimpleNamespace(device=torch.device("cpu")), UpdateRate(every_n_steps=10)
    for trainer.global_step in range(1, 31):
        now[0] += 2.0 if trainer.global_step <= 10 else 0.5 if trainer.global_step <= 20 else 0.25
        rate.on_train_batch_end(trainer, module)
    name = "train/updates_per_second"
    assert logged == [((name, 2.0), 20), ((name, 4.0), 30)]  # none of the first updates, which compile
    trainer.is_global_zero, trainer.global_step = False, 40
    rate.on_train_batch_end(trainer, module)
    assert len(logged) == 2


def test_what_a_time_budget_ends_is_saved(tmp_path):
    fit(diffusion_module(), tmp_path, 100, TimeBudget(1e-9), save_every=1000)
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 1


def test_a_grid_holds_the_images_of_all_processes_in_the_order_of_their_numbers(tmp_path):
    """Gathered as [process, sample]; what is beyond the grid is left out, and one process gathers nothing."""
    grid = SampleGrid(tmp_path, num_samples=5)
    parts = torch.arange(6.0).view(2, 3, 1)
    module = SimpleNamespace(device=torch.device("cpu"), all_gather=lambda values: parts)
    gathered = grid._gather(SimpleNamespace(world_size=2), module, parts[0])
    assert gathered.flatten().tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert grid._gather(SimpleNamespace(world_size=1), None, torch.arange(6)).tolist() == [0, 1, 2, 3, 4]


def test_no_budget_changes_no_rate_and_saves_nothing():
    group = {"lr": 0.125, "initial_lr": 2.0}
    trainer = SimpleNamespace(
        optimizers=[SimpleNamespace(param_groups=[group])], should_stop=False, global_step=5,
        checkpoint_callback=ModelCheckpoint("somewhere"), save_checkpoint=lambda path: pytest.fail("saved"),
    )  # fmt: skip
    TimeBudget().on_train_batch_start(trainer)
    TimeBudget().on_train_end(trainer)
    assert group["lr"] == 0.125 and not trainer.should_stop
