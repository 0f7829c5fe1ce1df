import os

import pytest
import torch
from omegaconf import OmegaConf

from thermotorch.training.checkpoint_files import checkpoint_to_resume, last_checkpoint

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


def test_a_path_in_the_home_of_no_known_user_is_named(runs):
    with pytest.raises(
        ValueError, match="ckpt_path: expected a path, found '~no_such_user/last.ckpt', of no known user"
    ):
        checkpoint_to_resume("~no_such_user/last.ckpt", runs.folder, CONFIG)


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


def replace_by_folder(path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES = {
    "empty": lambda path: path.write_bytes(b""),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-200]),
    "random": lambda path: path.write_bytes(bytes(range(7, 256)) * 9),
    "folder": replace_by_folder,
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("wanted", ["last", "requeue"])
def test_a_damaged_last_checkpoint_is_passed_over_and_that_is_said(runs, caplog, wanted, damage):
    runs("run")
    run = runs.folder / "run"
    last, earlier = run / "checkpoints" / "last.ckpt", run / "checkpoints" / "step-3.ckpt"
    torch.save({"state_dict": {}}, earlier)
    DAMAGES[damage](last)
    assert checkpoint_to_resume(wanted, run, CONFIG) == earlier
    assert f"{last} is damaged" in caplog.text
    with pytest.raises(ValueError, match="ckpt_path: .*last.ckpt is damaged"):
        checkpoint_to_resume(str(last), run, CONFIG)
    earlier.unlink()
    with pytest.raises(ValueError, match="no other checkpoint beside it can be read"):
        checkpoint_to_resume(wanted, run, CONFIG)


def test_a_requeued_run_without_a_checkpoint_starts_anew(runs):
    assert checkpoint_to_resume("requeue", runs.folder / "new", CONFIG) is None
    assert checkpoint_to_resume(None, runs.folder / "new", CONFIG) is None
