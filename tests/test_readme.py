"""The README: its two commands, its length, and tables that are those of the records. `tests/docs` runs its code."""

import re
from pathlib import Path

import pytest

from scripts.pages.update_docs import PAGES, updated
from tests.docs.pages import code

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_two_commands_stand_at_the_top():
    first, second = re.findall(r"^python3 -m venv .*$", README, re.MULTILINE)
    assert README.index(first) < 1000
    assert first == "python3 -m venv .venv && .venv/bin/pip install -e . && .venv/bin/thermotorch-compare"
    assert second == "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && .venv/bin/pytest"
    assert 'thermotorch-compare = "thermotorch.cli:compare_main"' in (ROOT / "pyproject.toml").read_text()
    assert "README" in (ROOT / ".ci" / "run").read_text()


def test_it_is_read_in_a_few_minutes():
    prose = re.sub(r"<!-- begin.*?<!-- end -->|^```.*?^```$", "", README, flags=re.DOTALL | re.MULTILINE)
    assert len(prose.split()) <= 700, "long tables and details belong into docs/"
    ((_, block),) = code(README, "python")
    assert len([line for line in block.splitlines() if line.strip()]) <= 12


@pytest.mark.parametrize("page", PAGES)
def test_the_tables_are_those_of_the_records(page):
    assert updated(page) == (ROOT / page).read_text(encoding="utf-8"), "run: python -m scripts.pages.update_docs"
