"""The compiled half of the CPU backend, built from `native/` by the system's C++ compiler at its first use.

Nothing is compiled at install. The library lies in the folder `native` of `$THERMOTORCH_CACHE` (default: `thermotorch`
in the user's cache folder). Its name contains a hash of the sources, the compiler and the processor, so that a new
version, another compiler or another machine with the same home has its own library. Loading a library runs its code:
only this user or root may be able to write the folder, and the digest beside the library must match. Otherwise it is
built again, if need be in a temporary folder of this process.
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

from thermotorch.files import locked, replacing, user_path, write_file

SOURCES = Path(__file__).parent / "native"
FLAGS = (
    "-std=c++17",
    "-O3",
    "-fPIC",
    "-shared",
    "-pthread",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=off",  # fused multiply-adds are explicit, so that every loop rounds alike
)


class CompilerUnavailable(RuntimeError):
    """The CPU backend cannot be built on this machine."""


@cache
def compiler() -> str:
    """Return the path of the C++ compiler: `$CXX`, or the first of c++, g++, clang++ on the path."""
    chosen = os.environ.get("CXX")
    for name in (chosen,) if chosen else ("c++", "g++", "clang++"):
        if path := shutil.which(name):
            return path
    raise CompilerUnavailable(
        f"no C++ compiler found ({f'CXX={chosen}' if chosen else 'looked for c++, g++, clang++'}); install one, "
        "set CXX, or use backend='reference'"
    )


@cache
def library() -> ctypes.CDLL:
    """Return the compiled library, after building it if this machine has none; CompilerUnavailable if that fails."""
    folder = _private_folder()
    path = folder / f"{_fingerprint()}.so"
    try:
        with locked(folder):  # only one of several processes builds
            if not _is_whole(path):
                _build(path)
    except OSError as error:
        raise CompilerUnavailable(f"the CPU backend cannot be built in {folder}: {error}") from error
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise CompilerUnavailable(f"the compiled CPU backend {path} does not load: {error}") from error


def cache_folder() -> Path:
    """Return `$THERMOTORCH_CACHE`, or `thermotorch` in the cache folder of the user, or else of the system."""
    if chosen := os.environ.get("THERMOTORCH_CACHE"):
        return user_path("THERMOTORCH_CACHE", chosen)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").expanduser() / "thermotorch"
    except RuntimeError:
        return Path(tempfile.gettempdir(), f"thermotorch-{os.getuid() if hasattr(os, 'getuid') else 'user'}")


def _private_folder() -> Path:
    """Return the folder `native` of the cache if only this user (or root) can write it, else a temporary one."""
    try:
        folder = cache_folder() / "native"
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
        owned = not hasattr(os, "getuid") or status.st_uid in (os.getuid(), 0)
        private = stat.S_ISDIR(status.st_mode) and owned and not status.st_mode & 0o022
        if private and os.access(folder, os.W_OK | os.X_OK):
            return folder
    except (OSError, ValueError):
        pass
    folder = Path(tempfile.mkdtemp(prefix="thermotorch-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _is_whole(path: Path) -> bool:
    """Return True if the library exists and matches the digest beside it."""
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
    """Return the model and the instruction sets of the processor, as far as the system lists them."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return "\n".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))
    except OSError:
        return platform.processor() + platform.machine()


def _build(path: Path) -> None:
    print("thermotorch: compiling its CPU backend (once, a few seconds)", file=sys.stderr, flush=True)
    with replacing(path) as built:
        command = [compiler(), *FLAGS, *_target_flags(), str(SOURCES / "native.cpp"), "-o", str(built)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            raise CompilerUnavailable(f"{' '.join(command)} failed:\n{result.stderr[-2000:]}")
        digest = hashlib.sha256(built.read_bytes()).hexdigest()
    write_file(path.with_suffix(".sha256"), digest + "\n")
