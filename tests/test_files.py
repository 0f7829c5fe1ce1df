"""Whole files or none, whatever interrupts the writer."""

import errno
import os
import signal
import stat
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from thermotorch import files
from thermotorch.files import locked, replacing, write_file


def test_bytes_and_text_arrive_and_folders_are_made(tmp_path):
    path = tmp_path / "a" / "b" / "file.bin"
    assert write_file(path, b"\x00\xff") == path
    assert path.read_bytes() == b"\x00\xff"
    write_file(path, "ä\n")
    assert path.read_bytes() == "ä\n".encode()
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_writer_leaves_the_old_file_and_its_own_error(tmp_path):
    path = write_file(tmp_path / "file", "old")
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError, match="No space left") as raised, replacing(path) as partial:
        partial.write_text("half")
        raise full
    assert raised.value is full
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("exists", [True, False])
def test_a_full_disk_leaves_no_part(tmp_path, exists):
    """A limit on the size of files stands for the full disk."""
    path = tmp_path / "file"
    if exists:
        path.write_text("old")
    program = f"""
    import resource, signal, sys
    from thermotorch.files import write_file
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    try:
        write_file({str(path)!r}, b"x" * 5000)
    except OSError as error:
        sys.exit(error.errno)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=False)
    assert done.returncode == errno.EFBIG
    assert [p.name for p in tmp_path.iterdir()] == (["file"] if exists else [])
    assert not exists or path.read_text() == "old"


def test_ctrl_c_leaves_the_old_file(tmp_path):
    path = write_file(tmp_path / "file", "old")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may start us with it ignored
    try:
        with pytest.raises(KeyboardInterrupt), replacing(path) as partial:
            partial.write_text("half")
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444])
def test_permissions_stay(tmp_path, mode):
    path = write_file(tmp_path / "file", "old")
    path.chmod(mode)
    write_file(path, "new")
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert path.read_text() == "new"


def test_new_files_obey_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        path = write_file(tmp_path / "file", "new")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_the_partial_file_of_a_private_one_is_private(tmp_path):
    path = write_file(tmp_path / "file", "old")
    path.chmod(0o600)
    with replacing(path) as partial:
        assert stat.S_IMODE(partial.stat().st_mode) == 0o600


def test_names_as_long_as_the_file_system_takes(tmp_path):
    for name in ("x" * 255, "ü" * 127):
        assert write_file(tmp_path / name, "new").read_text() == "new"


def test_contents_are_on_the_disk_before_the_name(tmp_path, monkeypatch):
    order = []
    monkeypatch.setattr(files, "_to_disk", lambda path: order.append(path.suffix or "folder"))
    monkeypatch.setattr(Path, "replace", lambda self, _: order.append("rename"))
    write_file(tmp_path / "file", "new")
    assert order == [".partial", "rename", "folder"]


def test_many_threads_write_one_file_and_none_sees_a_part(tmp_path):
    path = write_file(tmp_path / "file", b"0" * 100_000)

    def write(number: int) -> None:
        for _ in range(20):
            write_file(path, str(number).encode() * 100_000)
            assert len(set(path.read_bytes())) == 1 and path.stat().st_size == 100_000

    with ThreadPoolExecutor(8) as pool:
        for job in [pool.submit(write, number) for number in range(8)]:
            job.result()
    assert list(tmp_path.iterdir()) == [path]


def test_threads_and_processes_write_three_hundred_times_and_tear_nothing(tmp_path):
    """Readers beside them see a whole file each time, whoever wrote it last."""
    path = write_file(tmp_path / "file", b"0" * 50_000)
    program = f"""
    from concurrent.futures import ThreadPoolExecutor
    from pathlib import Path
    from thermotorch.files import write_file
    path = Path({str(path)!r})
    def write(number):
        write_file(path, str(number % 10).encode() * 50_000)
        data = path.read_bytes()
        assert len(data) == 50_000 and len(set(data)) == 1, "torn"
    with ThreadPoolExecutor(5) as pool:
        list(pool.map(write, range(100)))
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    writers = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    said = [writer.communicate(timeout=120)[1] for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0, 0], said
    assert list(tmp_path.iterdir()) == [path]


def test_a_lock_lets_one_in_at_a_time(tmp_path):
    inside, most = 0, 0
    guard = threading.Lock()

    def enter(_: int) -> None:
        nonlocal inside, most
        for _ in range(50):
            with locked(tmp_path):
                with guard:
                    inside += 1
                    most = max(most, inside)
                with guard:
                    inside -= 1

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(enter, range(4)))
    assert most == 1
    assert list(tmp_path.iterdir()) == []
