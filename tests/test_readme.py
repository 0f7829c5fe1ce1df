"""README and docs are executed: every command runs, every block of Python too,
and the tables are those of the records.
"""

import re
import shlex
from pathlib import Path

import pytest

from scripts.pages.update_docs import updated
from tests.test_cli import run, small  # noqa: F401  `run` is a fixture
from thermotorch import cli

ROOT = Path(__file__).resolve().parent.parent
PAGES = {page: (ROOT / page).read_text(encoding="utf-8") for page in ("README.md", "docs/systems.md", "docs/energy.md")}
README = PAGES["README.md"]
PYTHON = [
    pytest.param(block, id=f"{page}-{number}")
    for page, text in PAGES.items()
    for number, block in enumerate(re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
]
COMMANDS = sorted(  # NAME and the like stand for anything, and a program's name alone is only a mention
    {"thermotorch-compare"}
    | {match for text in PAGES.values() for match in re.findall(r"`(thermotorch-\w+ (?![^`]*[A-Z]{3})[^`]*)`", text)}
)
ENTRIES = dict(
    re.findall(r'^(thermotorch-\w+) = "thermotorch.cli:(\w+)"$', (ROOT / "pyproject.toml").read_text(), re.M)
)


def test_the_two_commands_stand_at_the_top():
    first, second = re.findall(r"^python3 -m venv .*$", README, re.MULTILINE)
    assert README.index(first) < 1000
    assert first == "python3 -m venv .venv && .venv/bin/pip install -e . && .venv/bin/thermotorch-compare"
    assert second == "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && .venv/bin/pytest"
    assert "thermotorch-compare" in ENTRIES
    assert "README" in (ROOT / ".ci" / "run").read_text()


@pytest.mark.parametrize("block", PYTHON)
def test_python_blocks_run(block):
    exec(compile(block, "README.md", "exec"), {})


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
def test_commands_run(command, run, request, monkeypatch):  # noqa: F811
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
        for link, code in re.findall(r"\]\(([^)#:]+)\)|`((?:thermotorch|configs|scripts|docs|tests)/[\w./]*)`", text):
            assert (ROOT / code if code else (ROOT / page).parent / link).exists(), (page, link or code)


@pytest.mark.parametrize("page", ["README.md", "docs/zoo.md"])
def test_the_tables_are_those_of_the_records(page):
    assert updated(page) == (ROOT / page).read_text(encoding="utf-8"), "run: python -m scripts.pages.update_docs"
