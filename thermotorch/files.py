"""Files written whole: an interruption, a full disk or a second writer leaves the old file or the new one."""

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None  # type: ignore[assignment]


def user_path(name: str, path: str | os.PathLike) -> Path:
    """Return a path with `~` and `~user` at its start replaced by that user's home; ValueError for no such user."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ValueError(f"{name}: expected a path, found {str(path)!r:.300}, of no known user") from None


def write_file(path: str | os.PathLike, data: bytes | str) -> Path:
    """Write a file whole, text as UTF-8, make its folder if needed, and return its path; see `replacing`."""
    with replacing(path) as partial:
        partial.write_bytes(data.encode() if isinstance(data, str) else data)
    return Path(path)


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Give the path of an empty file beside `path` that takes its place, once the block has written it and ends well.

    The partial file has a name of its own, so any number of processes and threads may write the same file: the last
    one to finish wins. Contents and name are on the disk when the block returns. An earlier file's permissions stay.

    The folder is made if needed. Whatever ends the block early, the partial file is removed and an earlier file is
    untouched, as with an OSError of the folder, the writer or the disk.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name[:40]}.{secrets.token_hex(8)}.partial")
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else None
    os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666 if mode is None else mode | stat.S_IWUSR))
    try:
        yield partial
        if mode is not None:
            partial.chmod(mode)
        _to_disk(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # the file is in its place; some file systems cannot flush a folder
        _to_disk(path.parent)


@contextmanager
def locked(folder: str | os.PathLike) -> Iterator[None]:
    """Keep other processes and threads that ask for the same lock out of a folder, as long as the block runs.

    For files that belong together. Advisory, and without effect where the file system has no locks. The folder is made
    if needed, and no lock file is left in it.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)  # which releases the lock


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
