"""Plants faults in a copy of the repository, one at a time, and says which of them the tests see.

    python scripts/planted_faults.py tests/campaign/faults/kernels.toml --start 3

A file of faults is a list of tables `[[fault]]` with `file`, `old` (text that stands in the file once), `new`, and
`tests` (arguments of pytest: the tests that should see it). The tests must pass before anything is planted. Ends with
status 1 if a fault survives, or is stale because its code has changed.
"""

import argparse
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning.pytorch  # noqa: F401  (what takes long to import is imported once, before the forks)
import pytest
import torchmetrics  # noqa: F401
import torchvision  # noqa: F401

ROOT = Path(__file__).resolve().parent.parent


def read_faults(path: Path) -> list[dict[str, Any]]:
    """Return the faults of a file.

    Raises:
        ValueError: a fault without one of its entries.
    """
    faults = tomllib.loads(path.read_text())["fault"]
    for number, fault in enumerate(faults):
        if set(fault) != {"file", "old", "new", "tests"}:
            raise ValueError(f"{path}: fault {number}: expected file, old, new and tests, found {sorted(fault)}")
    return faults


def can_be_planted(fault: Mapping[str, Any]) -> bool:
    """Return True if the old text of a fault stands in its file once; code moves on."""
    path = ROOT / fault["file"]
    return path.is_file() and path.read_text().count(fault["old"]) == 1


def copy_of_repository(folder: Path) -> Path:
    """Copy the files that git knows or would add, as they are now, into a new folder."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


@contextmanager
def planted(copy: Path, fault: Mapping[str, Any]) -> Iterator[None]:
    """Keep one fault in a copy as long as the block runs."""
    path = copy / fault["file"]
    text = path.read_text()
    path.write_text(text.replace(fault["old"], fault["new"]))
    try:
        yield
    finally:
        path.write_text(text)


def tests_pass(copy: Path, tests: list[str]) -> tuple[bool, str]:
    """Run tests on a copy, in a process that is forked from this one, and return if they pass and the first failure.

    Raises:
        ValueError: pytest found no such tests.
    """
    said = copy / "pytest.output"
    process = multiprocessing.get_context("fork").Process(target=_run_tests, args=(copy, tests, said))
    process.start()
    process.join()
    text = said.read_text(errors="replace")
    if process.exitcode in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.NO_TESTS_COLLECTED):
        raise ValueError(f"{' '.join(tests)}: {text[-2000:]}")
    failures = [line for line in text.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return process.exitcode == 0, failures[0][:150] if failures else f"pytest ended with {process.exitcode}"


def _run_tests(copy: Path, tests: list[str], said: Path) -> None:
    with said.open("w") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    os.environ.update(PYTHONPATH=str(copy), PYTHONDONTWRITEBYTECODE="1")
    os.chdir(copy)
    sys.path.insert(0, str(copy))
    sys.dont_write_bytecode = True
    code = pytest.main(["-x", "-q", "--no-header", "-p", "no:cacheprovider", *tests])
    tested = sys.modules.get("thermotorch")
    of_copy = tested is not None and Path(tested.__file__ or "").is_relative_to(copy)
    os._exit(code if of_copy else pytest.ExitCode.USAGE_ERROR)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faults", type=Path, nargs="+", help="files of faults")
    parser.add_argument("--start", type=int, default=0, help="number of the first fault to plant")
    parser.add_argument("--unchecked", action="store_true", help="do not run the tests without a fault first")
    given = parser.parse_args()
    assert "thermotorch" not in sys.modules, "the copies would not be the ones tested"
    faults = [fault for path in given.faults for fault in read_faults(path)][given.start :]
    with tempfile.TemporaryDirectory(prefix="planted-") as folder:
        copy = copy_of_repository(Path(folder))
        if not given.unchecked:
            for tests in {tuple(fault["tests"]) for fault in faults}:
                if not (result := tests_pass(copy, list(tests)))[0]:
                    sys.exit(f"{' '.join(tests)}: {result[1]} without a fault")
        survived = stale = 0
        for number, fault in enumerate(faults, given.start):
            if not can_be_planted(fault):
                stale += 1
                print(f"{number:3d} is stale: {fault['file']} has not once {fault['old']!r:.80}", flush=True)
                continue
            started = time.monotonic()
            with planted(copy, fault):
                passed, first = tests_pass(copy, fault["tests"])
            survived += passed
            print(f"{number:3d} {'SURVIVED' if passed else 'caught  '} {time.monotonic() - started:5.0f} s", end="  ")
            print(fault["file"], repr(fault["new"])[:80] if passed else first, flush=True)
    print(f"{len(faults) - stale - survived} of {len(faults) - stale} faults were caught, {stale} are stale")
    sys.exit(survived + stale > 0)


if __name__ == "__main__":
    main()
