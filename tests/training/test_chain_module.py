"""Training of a chain: its two ways to run have one law, stages take turns, and a score that is trained on falls."""

import pytest
import torch
from lightning.pytorch import Callback, Trainer

from thermotorch.objectives import energy_score
from thermotorch.training.callbacks import TimeBudget
from thermotorch.training.chain_module import ChainModule
from thermotorch.training.data import MNISTData

MODEL = {"name": "chain", "config": {"hidden": 24, "angles": [50.0, 25.0], "first": {"t_final": 1.0}}}
ADAM = {"name": "adam", "lr": 2e-3, "betas": [0.9, 0.99]}


def module(**objective) -> ChainModule:
    return ChainModule(MODEL, ADAM, {"first": "generator.mnist_conditional", **objective})


def data(data_dir, batch_size=32) -> MNISTData:
    return MNISTData(data_dir, batch_size=batch_size, images_per_digit=40, download=False)


def fit(trained: ChainModule, images: MNISTData, steps: int, callbacks=()) -> Trainer:
    trainer = Trainer(
        max_steps=steps, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=list(callbacks),
    )  # fmt: skip
    trainer.fit(trained, images)
    return trainer


@torch.no_grad()
def test_both_ways_to_run_have_one_law(mnist_dir):
    trained, images = module(label_dropout=0.5), data(mnist_dir)
    stage, pictures = trained.model.stages[0], images.train_images()[0]
    told = torch.nn.functional.one_hot(images.train_images()[1], 10).float()
    truth = stage.amplitude * (2 * pictures.flatten(1) - 1)
    torch.manual_seed(0)
    scores = []
    for run in (trained._run, trained._run_at_once):
        one, other = run(stage, pictures, told, torch.arange(400), 0.06).chunk(2)
        scores.append(energy_score(one, other, truth).item())
    assert scores[0] == pytest.approx(scores[1], rel=0.01)  # its standard error is 0.3 %


@pytest.mark.parametrize("at_once", [False, True])
def test_stages_take_turns(mnist_dir, at_once):
    trained = module(at_once=at_once)
    before = [{key: value.clone() for key, value in stage.state_dict().items()} for stage in trained.model.stages]
    fit(trained, data(mnist_dir), 1)
    changed = [
        any(not torch.equal(value, old[key]) for key, value in stage.state_dict().items())
        for stage, old in zip(trained.model.stages, before, strict=True)
    ]
    assert changed == [True, False]


def test_the_score_falls(mnist_dir):
    trained, seen = module(stages=[1], at_once=True), []
    step = trained.training_step
    trained.training_step = lambda *arguments: seen.append(step(*arguments)) or seen[-1]
    fit(trained, data(mnist_dir, 16), 32)
    assert sum(seen[-8:]) < 0.9 * sum(seen[:8])


def test_time_ends_training_with_a_rate_of_nothing(mnist_dir):
    class Rates(Callback):  # as an update finds them, after the budget has set them
        seen: list[float] = []

        def on_train_batch_start(self, trainer: Trainer, *_: object) -> None:
            self.seen.append(trainer.optimizers[0].param_groups[0]["lr"])

    trainer = fit(module(at_once=True), data(mnist_dir), 10_000, [TimeBudget(1.0), rates := Rates()])
    assert 1 <= trainer.global_step < 10_000
    assert rates.seen[-1] == pytest.approx(0.0, abs=1e-9)
    assert max(rates.seen) > 0


def test_the_judge_and_unknown_stages_are_refused():
    with pytest.raises(ValueError, match="judges"):
        module(features="feature_net.mnist")
    with pytest.raises(ValueError, match="stages"):
        module(stages=[2])
    with pytest.raises(TypeError, match="unknown"):
        module(steps=3)
