"""The README is executed: its commands exist, its Python runs, its tables are those of the cards."""

import importlib.util
import re
import shlex
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from thermotorch import cli
from thermotorch.zoo import list_models

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
COMMANDS = sorted({match for match in re.findall(r"`(thermotorch-\w+[^`]*)`", README)})
ENTRIES = dict(re.findall(r'^(thermotorch-\w+) = "thermotorch.cli:(\w+)"$', (ROOT / "pyproject.toml").read_text(), re.M))


def test_the_two_commands_stand_at_the_top():
    first, second = re.findall(r"^python3 -m venv .*$", README, re.MULTILINE)
    assert README.index(first) < 1000
    assert first == "python3 -m venv .venv && .venv/bin/pip install -e . && .venv/bin/thermotorch-compare"
    assert second == "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && .venv/bin/pytest"
    assert "thermotorch-compare" in ENTRIES
    assert "README" in (ROOT / ".ci" / "run").read_text()


@pytest.mark.parametrize("block", PYTHON, ids=range(len(PYTHON)))
def test_python_blocks_run(block):
    if "pretrained=True" in block and not list_models("generator.three_digits", pretrained=True):
        pytest.fail("the README loads generator.three_digits, which is not in checkpoints/")
    exec(compile(block, "README.md", "exec"), {})


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_compose(command):
    program, *overrides = shlex.split(command)
    name = program.removeprefix("thermotorch-")
    assert ENTRIES[program] == f"{name}_main"
    with initialize_config_dir(str(cli.CONFIG_DIR if name == "train" else cli.CONFIG_DIR / "zoo"), version_base="1.3"):
        compose(name, overrides)


def test_files_that_are_named_exist():
    for path in re.findall(r"\]\(([^)#:]+)\)|`((?:thermotorch|configs|scripts|docs|tests)/[\w./]*)`", README):
        assert (ROOT / (path[0] or path[1])).exists(), path


def test_the_tables_are_those_of_the_cards():
    path = ROOT / "scripts" / "update_readme.py"
    spec = importlib.util.spec_from_file_location("update_readme", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.updated(README) == README, "run: python scripts/update_readme.py"
