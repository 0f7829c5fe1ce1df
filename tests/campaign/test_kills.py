"""Training runs that are killed or interrupted at any moment, and resumed, end bit for bit as the undisturbed run."""

import signal
import time
from pathlib import Path

import pytest
import torch

from tests.campaign.processes import Child, program
from tests.training.fitting import same
from thermotorch import cli

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(torch.cuda.is_available(), reason="autograd's threads of a GPU do not survive a fork"),
]

KILLED = 3  # runs of each training
EVERY = 3  # updates between checkpoints: divides all max_steps, or last.ckpt would not be that of the last update
TRAININGS = {
    "feature_net": ["experiment=feature_net", "data.batch_size=64", "trainer.max_steps=45"],
    "ddpm": [
        "experiment=ddpm_mnist", "+model.config.block_out_channels=[8,8]", "data.batch_size=8", "trainer.max_steps=24",
        "objective.execution=float32",  # which two runs on a busy machine would measure, and not choose alike
    ],
    "contrast": [
        "experiment=digits8x8_generator", "model.config.hidden=8", "data.batch_size=128", "trainer.max_steps=42",
        "model.config.t_final=0.5",
    ],
    "trajectories": [
        "experiment=three_digits", "model.config.hidden=8", "model.config.t_final=0.05", "trainer.max_steps=42",
    ],
}  # fmt: skip
COMMON = [
    "data=digits8x8", "callbacks=ema", "~callbacks.sample_grid", "trainer=cpu", "trainer.enable_progress_bar=false",
    "trainer.enable_model_summary=false", f"+callbacks.checkpoint.every_n_train_steps={EVERY}", "hydra.run.dir=run",
]  # fmt: skip


def start(name: str, folder: Path, *more: str) -> Child:
    return Child(program(cli.train_main, *TRAININGS[name], *COMMON, *more), folder)


def resume(name: str, folder: Path) -> Child:
    """The run that continues what is in a folder, if anything is."""
    begun = (folder / "run" / "checkpoints" / "last.ckpt").exists()
    return start(name, folder, *(["ckpt_path=last"] if begun else []))


def result(folder: Path) -> dict:
    """Return the state that a training run leaves to the next one, without paths and times."""
    found = torch.load(folder / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    return {key: found[key] for key in ("state_dict", "optimizer_states", "lr_schedulers", "global_step")} | {
        key: found[key] for key in found if "averag" in key
    }


@pytest.mark.parametrize("name", TRAININGS)
def test_killed_and_resumed_runs_end_as_the_undisturbed_one(tmp_path, chance, name):
    began = time.monotonic()
    undisturbed = start(name, tmp_path / "undisturbed")
    assert undisturbed.wait() == 0, undisturbed.output.read_text()
    seconds, expected = time.monotonic() - began, result(tmp_path / "undisturbed")
    died = 0
    for number in range(KILLED):
        folder = tmp_path / f"killed-{number}"
        for _ in range(chance.choice((1, 1, 2, 3))):
            child = resume(name, folder)
            time.sleep(chance.uniform(0.1, 0.95) * seconds)
            child.send(chance.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGINT, signal.SIGTERM)))
            died += child.wait() != 0
        last = resume(name, folder)
        assert last.wait() == 0, last.output.read_text()
        assert same(result(folder), expected), last.output.read_text()
    assert died, "every run was over before its signal"
