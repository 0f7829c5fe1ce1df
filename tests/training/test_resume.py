import os

import pytest
import torch
from omegaconf import OmegaConf

from thermotorch.training.resume import last_checkpoint

CONFIG = {
    "model": {"name": "ddpm"},
    "data": {},
    "objective": {},
    "optimizer": {"lr": 1e-05},
    "seed": 0,
    "ckpt_path": None,
}


@pytest.fixture
def runs(tmp_path):
    """Makes runs beside each other, each newer than the one before."""
    made = []

    def make(name: str, **changes) -> None:
        folder = tmp_path / name
        (folder / "checkpoints").mkdir(parents=True)
        (folder / ".hydra").mkdir()
        OmegaConf.save(OmegaConf.create({**CONFIG, **changes}), folder / ".hydra" / "config.yaml")
        checkpoint = folder / "checkpoints" / "last.ckpt"
        torch.save({"state_dict": {}}, checkpoint)
        made.append(name)
        os.utime(checkpoint, (len(made), len(made)))

    make.folder = tmp_path
    return make


def name_of_last(runs, config=CONFIG) -> str:
    return last_checkpoint(runs.folder / "new", config).parent.parent.name


def test_the_newest_run_of_the_same_thing_is_continued(runs):
    runs("b")
    runs("a")
    assert name_of_last(runs) == "a"
    runs("another_seed", seed=1)
    runs("another_rate", optimizer={"lr": 1e-4})
    runs("same_but_resumed", ckpt_path="last")
    assert name_of_last(runs) == "same_but_resumed"
    assert name_of_last(runs, {**CONFIG, "seed": 1}) == "another_seed"


def test_a_run_continued_in_place_comes_first(runs):
    runs("new")
    runs("newer")
    assert name_of_last(runs) == "new"


def test_without_one_the_error_says_why_each_was_passed_over(runs):
    with pytest.raises(FileNotFoundError, match="no run there has one"):
        name_of_last(runs)
    runs("old", seed=1, model={"name": "generator"})
    with pytest.raises(FileNotFoundError, match="old has another model, seed"):
        name_of_last(runs)
