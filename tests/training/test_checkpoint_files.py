"""Checkpoints of training: never torn, and a damaged one is passed over for the newest that can be read."""

import json
import os
import re
import subprocess
import sys
import textwrap
from typing import BinaryIO

import pytest
import torch

from thermotorch.training.checkpoint_files import (
    LAST,
    WholeCheckpoints,
    checkpoint_to_resume,
    fault_of,
    keep_finished,
    last_checkpoint,
    local_checkpoint,
    readable_checkpoint,
)


def save(path, step: int) -> None:
    WholeCheckpoints().save_checkpoint({"state_dict": {"weight": torch.full((1000,), float(step))}}, path)


def test_a_write_that_fails_leaves_the_earlier_checkpoint_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "run" / "last.ckpt"
    save(path, 1)

    def torn(checkpoint: object, file: BinaryIO) -> None:
        file.write(b"half a checkpoint")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space left"):
        patched.setattr(torch, "save", torn)
        save(path, 2)
    assert torch.load(path, weights_only=True)["state_dict"]["weight"][0] == 1.0
    assert [file.name for file in path.parent.iterdir()] == ["last.ckpt"]


@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files")
def test_a_full_disk_is_named_with_the_checkpoint_and_its_space_is_free_again(tmp_path):
    """A limit on the size of files stands for the full disk; torch alone reports a position in its archive."""
    program = f"""
    import os, resource, signal
    from pathlib import Path
    import torch
    from thermotorch.training.checkpoint_files import WholeCheckpoints
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    try:
        WholeCheckpoints().save_checkpoint({{"weight": torch.ones(100_000)}}, {str(tmp_path / "last.ckpt")!r})
    except OSError as error:
        held = [os.readlink(f"/proc/self/fd/{{entry}}") for entry in os.listdir("/proc/self/fd") if entry.isdigit()
                and Path(f"/proc/self/fd/{{entry}}").is_symlink()]
        assert not any("partial" in file for file in held), held
        print(error)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True)
    assert "File too large" in done.stdout and "last.ckpt" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("length", [0, 1, 100, 1000, -1])
def test_a_truncated_checkpoint_is_passed_over_for_the_newest_whole_one(tmp_path, length):
    for order, name in enumerate(["step-1.ckpt", "step-3.ckpt", "step-2.ckpt", "last.ckpt"]):
        save(tmp_path / name, order)
        os.utime(tmp_path / name, (order, order))
    last = tmp_path / "last.ckpt"
    assert readable_checkpoint(last) == (last, None)
    last.write_bytes(last.read_bytes()[:length])
    found, fault = readable_checkpoint(last)
    assert found.name == "step-2.ckpt" and fault
    (tmp_path / "step-2.ckpt").write_bytes(b"")
    assert readable_checkpoint(last)[0].name == "step-3.ckpt"


def test_where_none_can_be_read_one_sentence_names_the_file(tmp_path):
    path = tmp_path / "last.ckpt"
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=f"{re.escape(str(path))} is damaged .* no other checkpoint"):
        readable_checkpoint(path)


def test_a_file_of_another_kind_is_no_checkpoint(tmp_path):
    torch.save([1, 2], tmp_path / "list.ckpt")
    assert fault_of(tmp_path / "list.ckpt") == "no checkpoint of Lightning"


CONFIG = {"model": "rbm", "data": "digits", "objective": "score", "optimizer": "adam", "seed": 3, "trainer": "cpu"}


def earlier_run(folder, age: int, **changed) -> None:
    save(folder / LAST, age)
    os.utime(folder / LAST, (age, age))
    (folder / ".hydra").mkdir()
    (folder / ".hydra" / "config.yaml").write_text(json.dumps(CONFIG | changed))


def test_last_is_the_newest_of_the_runs_beside_it_that_agree_unless_the_run_has_one_itself(tmp_path):
    for age, name in enumerate(("b", "c", "a"), 1):
        earlier_run(tmp_path / name, age, trainer=name)
    earlier_run(tmp_path / "other", 9, seed=4)
    assert last_checkpoint(tmp_path / "new", CONFIG) == tmp_path / "a" / LAST
    earlier_run(tmp_path / "new", 0)
    assert last_checkpoint(tmp_path / "new", CONFIG) == tmp_path / "new" / LAST


@pytest.mark.parametrize("key", ["model", "data", "objective", "optimizer", "seed"])
def test_a_run_of_another_kind_is_not_continued(tmp_path, key):
    earlier_run(tmp_path / "one", 1, **{key: "another"})
    with pytest.raises(FileNotFoundError, match=rf"\(one has another {key}\)"):
        last_checkpoint(tmp_path / "new", CONFIG)


def test_a_run_that_was_over_is_copied_to_the_run_that_finds_nothing_to_do(tmp_path):
    resumed, run = tmp_path / "resumed.ckpt", tmp_path / "run"
    WholeCheckpoints().save_checkpoint({"global_step": 5}, resumed)
    keep_finished(resumed, run, 6)
    keep_finished(tmp_path, run, 5)  # a folder
    assert not run.exists()
    keep_finished(resumed, run, 5)
    assert (run / LAST).read_bytes() == resumed.read_bytes()
    (run / LAST).write_bytes(b"its own")
    keep_finished(resumed, run, 5)
    assert (run / LAST).read_bytes() == b"its own"


def test_a_requeued_run_starts_anew_or_goes_on_with_its_own_checkpoint(tmp_path):
    earlier_run(tmp_path / "beside", 1)
    for wanted in (None, "requeue"):
        assert checkpoint_to_resume(wanted, tmp_path / "run", CONFIG) is None
    assert checkpoint_to_resume("last", tmp_path / "run", CONFIG) == tmp_path / "beside" / LAST
    save(tmp_path / "run" / LAST, 1)
    assert checkpoint_to_resume("requeue", tmp_path / "run", CONFIG) == tmp_path / "run" / LAST
    assert checkpoint_to_resume(str(tmp_path / "beside" / LAST), tmp_path / "run", CONFIG) == tmp_path / "beside" / LAST


def test_a_checkpoint_that_was_named_is_not_replaced_by_another(tmp_path):
    save(tmp_path / "whole.ckpt", 1)
    (tmp_path / "named.ckpt").write_bytes(b"")
    with pytest.raises(ValueError, match="ckpt_path: .*named.ckpt is damaged"):
        checkpoint_to_resume(str(tmp_path / "named.ckpt"), tmp_path / "run", CONFIG)
    (tmp_path / "a::b").write_bytes(b"")  # as fsspec writes an address in an archive
    with pytest.raises(FileNotFoundError, match="expected `last` or a path on this machine"):
        local_checkpoint(tmp_path / "a::b")


def test_the_folder_of_a_strategy_is_not_opened(tmp_path):
    assert fault_of(tmp_path) == "an empty folder"
    (tmp_path / "shard").write_bytes(b"")
    assert fault_of(tmp_path) is None
