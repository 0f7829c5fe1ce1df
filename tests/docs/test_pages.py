"""Each page runs as it is written: its Python blocks one after the other, and every command that it names."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.experiments import small
from tests.docs.pages import PAGES, ROOT, code
from thermotorch import cli
from thermotorch.dynamics import INTEGRATORS
from thermotorch.evaluation.metrics import METRICS
from thermotorch.zoo import registry

TUTORIAL = "docs/tutorial.md"
WITH_PYTHON = [page for page, text in PAGES.items() if code(text, "python") and page != TUTORIAL]
COMMANDS = sorted(  # NAME and the like stand for anything, and a program's name alone is only a mention
    {"thermotorch-compare"}
    | {
        match
        for page, text in PAGES.items()
        if page != TUTORIAL
        for match in re.findall(r"`(thermotorch-\w+ (?![^`]*[A-Z]{3})[^`]*)`", text)
    }
)
ENTRIES = dict(
    re.findall(r'^(thermotorch-\w+) = "thermotorch.cli:(\w+)"$', (ROOT / "pyproject.toml").read_text(), re.M)
)


@pytest.mark.parametrize("page", WITH_PYTHON)
def test_python_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for table in (INTEGRATORS, registry._architectures):  # what a page registers ends with it
        for name, value in list(table.items()):
            monkeypatch.setitem(table, name, value)
    integrators, architectures, metrics = set(INTEGRATORS), set(registry._architectures), len(METRICS)
    names: dict = {}
    try:
        for _, block in code(PAGES[page], "python"):
            exec(compile(block, page, "exec"), names)
    finally:
        for table, known in ((INTEGRATORS, integrators), (registry._architectures, architectures)):
            for name in set(table) - known:
                del table[name]
        del METRICS[metrics:]


@pytest.mark.slow
def test_the_tutorial_runs_in_one_sitting(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    names: dict = {}
    for language, block in code(PAGES[TUTORIAL], "bash", "python"):
        if language == "python":
            exec(compile(block, TUTORIAL, "exec"), names)
            continue
        for line in block.splitlines():
            program, *arguments = shlex.split(line)
            start = ["-c", f"from thermotorch.cli import {ENTRIES[program]}; {ENTRIES[program]}()"] if (
                program in ENTRIES
            ) else []  # fmt: skip
            done = subprocess.run([sys.executable, *start, *arguments], capture_output=True, text=True, check=False)
            assert done.returncode == 0, (line, done.stderr[-2000:])
    assert names["samples"].images.shape == (16, 1, 8, 8)
    assert (tmp_path / "report" / "report.html").is_file()
    distances = {
        name: next(row.value for row in result.rows if row.metric.startswith("Frechet"))
        for name, result in names["comparison"].results.items()
    }
    assert 0 < distances["gaussians"] < distances["machine"]  # as the page says


# What makes each program short: few samples, runs, boards or steps. It comes after the command's own settings and wins.
FEW = ["protocol.neighbours=2", "protocol.kernel_subset_size=4", "protocol.kernel_subsets=2", "protocol.batch_size=8"]
SHORT = {
    "compare": [*FEW, "num_samples=8", "cache=false"],
    "sample": ["num_samples=2"],
    "evaluate": [
        *FEW, "protocol.num_samples=8", "protocol.steps=2", "classification.runs=4", "classification.averaged=2",
        "classification.devices=2", "invert.boards=2", "invert.reads=1000", "mitigation.matrices=2",
        "mitigation.boards=2", "mitigation.reads=[1000]", "scaling.sizes=[8]", "scaling.repeats=1",
    ],
    "benchmark": ["cases=[simulate]", "batch_sizes=[1]", "steps=20", "repeats=1"],
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_commands_run(command, run, request, monkeypatch):
    if "classifier" in command and "evaluate" in command:  # its test images
        monkeypatch.setenv("THERMOTORCH_DATA", str(request.getfixturevalue("mnist_dir").resolve()))
    program, *arguments = shlex.split(command)
    name = program.removeprefix("thermotorch-")
    assert ENTRIES[program] == f"{name}_main"
    if name == "train":
        (experiment,) = [each.partition("=")[2] for each in arguments if each.startswith("experiment=")]
        arguments = [each for each in arguments if not each.startswith("experiment=")] + small(experiment)
    folder = run(getattr(cli, f"{name}_main"), *arguments, *SHORT.get(name, []))
    assert [path for path in folder.rglob("*") if path.is_file() and ".hydra" not in path.parts]


def test_files_that_are_named_exist():
    for page, text in PAGES.items():
        for link, name in re.findall(
            r"\]\(([^)#:]+)(?:#[^)]*)?\)|`((?:thermotorch|configs|scripts|docs|tests)/[\w./]*)`", text
        ):
            if link.startswith("live/"):  # written while the site is built
                assert f'"{Path(link).stem}"' in (ROOT / "scripts/pages/live.py").read_text(), (page, link)
                continue
            assert (ROOT / name if name else (ROOT / page).parent / link).exists(), (page, link or name)
