"""The compiled half of the CPU backend: built once from `native/` by the system's C++ compiler, at its first use.

Nothing is compiled at install. The library lands in the folder `native` of `$THERMOTORCH_CACHE` (default: `thermotorch`
in the user's cache folder) under a name that holds a hash of the sources, the compiler and the processor, so that a new
version, another compiler or another machine in a shared home gets its own. Loading a library runs its code, so the
folder must be one that only its owner writes, this user or root, and the digest beside the library must fit; otherwise
it is built anew, if need be in a temporary folder of this process.
"""

import atexit
import ctypes
import hashlib
import os
import platform
import shutil
import stat
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from thermotorch.files import locked, replacing, write_file

SOURCES = Path(__file__).parent / "native"
FLAGS = (
    "-std=c++17",
    "-O3",
    "-fPIC",
    "-shared",
    "-pthread",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=off",  # fused multiply-adds are written out, so that every loop rounds alike
)


class CompilerUnavailable(RuntimeError):
    """Why the CPU backend cannot be built here."""


@cache
def compiler() -> str:
    """Path of the C++ compiler: `$CXX`, or the first of c++, g++, clang++ on the path."""
    asked = os.environ.get("CXX")
    for name in (asked,) if asked else ("c++", "g++", "clang++"):
        if path := shutil.which(name):
            return path
    raise CompilerUnavailable(
        f"no C++ compiler found ({f'CXX={asked}' if asked else 'looked for c++, g++, clang++'}); install one, set CXX, "
        "or use backend='reference'"
    )


@cache
def library() -> ctypes.CDLL:
    """The compiled library, built now if this machine has not built it yet.

    Raises:
        CompilerUnavailable: no compiler, or it failed; the message holds what it said.
    """
    folder = _private_folder()
    path = folder / f"{_fingerprint()}.so"
    try:
        with locked(folder):  # of processes that start together one builds
            if not _is_whole(path):
                _build(path)
    except OSError as error:
        raise CompilerUnavailable(f"the CPU backend cannot be built in {folder}: {error}") from error
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise CompilerUnavailable(f"the compiled CPU backend {path} does not load: {error}") from error


def cache_folder() -> Path:
    """Return `$THERMOTORCH_CACHE`, or `thermotorch` in the cache folder of the user, or else of the system.

    Raises:
        ValueError: `$THERMOTORCH_CACHE` begins with the home of a user who does not exist.
    """
    asked = os.environ.get("THERMOTORCH_CACHE")
    try:
        if asked:
            return Path(asked).expanduser()
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").expanduser() / "thermotorch"
    except RuntimeError:
        if asked:
            raise ValueError(f"THERMOTORCH_CACHE: expected a folder, found {asked!r}, of no known user") from None
        return Path(tempfile.gettempdir(), f"thermotorch-{os.getuid() if hasattr(os, 'getuid') else 'user'}")


def _private_folder() -> Path:
    """Return the folder `native` of the cache, if only this user (or root) can write it, or else a temporary one."""
    try:
        folder = cache_folder() / "native"
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        owned = not hasattr(os, "getuid") or found.st_uid in (os.getuid(), 0)
        if stat.S_ISDIR(found.st_mode) and owned and not found.st_mode & 0o022 and os.access(folder, os.W_OK | os.X_OK):
            return folder
    except (OSError, ValueError):
        pass
    folder = Path(tempfile.mkdtemp(prefix="thermotorch-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _is_whole(path: Path) -> bool:
    """Return whether a library is there and is the one whose digest was written beside it."""
    digest = path.with_suffix(".sha256")
    if not (path.is_file() and digest.is_file()):
        return False
    return hashlib.sha256(path.read_bytes()).hexdigest() == digest.read_text(encoding="ascii", errors="replace").strip()


def _fingerprint() -> str:
    digest = hashlib.sha256()
    for source in sorted(SOURCES.iterdir()):
        digest.update(source.name.encode() + source.read_bytes())
    version = subprocess.run([compiler(), "--version"], capture_output=True, check=False).stdout
    digest.update(repr((version, FLAGS, _target_flags(), _processor())).encode())
    return digest.hexdigest()[:16]


def _target_flags() -> tuple[str, ...]:
    return ("-mcpu=native",) if platform.machine() in ("arm64", "aarch64") else ("-march=native",)


def _processor() -> str:
    """What decides which instructions exist, as far as the system says."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return "\n".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))
    except OSError:
        return platform.processor() + platform.machine()


def _build(path: Path) -> None:
    print("thermotorch: compiling its CPU backend (once, a few seconds)", file=sys.stderr, flush=True)
    with replacing(path) as built:
        command = [compiler(), *FLAGS, *_target_flags(), str(SOURCES / "native.cpp"), "-o", str(built)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise CompilerUnavailable(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
        digest = hashlib.sha256(built.read_bytes()).hexdigest()
    write_file(path.with_suffix(".sha256"), digest + "\n")
