"""The compiled half of the CPU backend: built once from `native/` by the system's C++ compiler, at its first use.

Nothing is compiled at install. The library lands in `$THERMOTORCH_CACHE` (default: `thermotorch` in the user's cache
folder) under a name that holds a hash of the sources, the compiler and the processor, so that a new version, another
compiler or another machine in a shared home gets its own. Processes that build at the same time each write a file of
their own and rename it: the last one wins, all are the same.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

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
    path = cache_folder() / f"native-{_fingerprint()}.so"
    if not path.exists():
        _build(path)
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise CompilerUnavailable(f"the compiled CPU backend {path} does not load: {error}") from error


def cache_folder() -> Path:
    """`$THERMOTORCH_CACHE`, or `thermotorch` in the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "thermotorch"
    return Path(os.environ.get("THERMOTORCH_CACHE") or default).expanduser()


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
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            built = Path(folder) / path.name
            command = [compiler(), *FLAGS, *_target_flags(), str(SOURCES / "native.cpp"), "-o", str(built)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise CompilerUnavailable(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
            built.replace(path)
    except OSError as error:
        raise CompilerUnavailable(f"the CPU backend cannot be built in {path.parent}: {error}") from error
