"""Checkpoints of training: never torn, and a damaged one is passed over for the newest that can be read."""

import os
import re
import subprocess
import sys
import textwrap
from typing import BinaryIO

import pytest
import torch

from thermotorch.training.checkpoint_files import WholeCheckpoints, fault_of, readable_checkpoint


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
