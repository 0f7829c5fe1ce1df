"""Rules that keep the code readable: docstrings in plain English, short files, small folders."""

import ast
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("thermotorch", "scripts", "tests")
PYTHON = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
SOURCES = sorted(
    path for folder in FOLDERS for path in (ROOT / folder).rglob("*")
    if path.suffix in (".py", ".h", ".cpp", ".js", ".css", ".sh")
)  # fmt: skip
QUESTIONS = {"What", "Whether", "How", "Where", "Which", "Who", "Whose", "Why", "When"}


def openings(source: str) -> list[tuple[int, str]]:
    """Return line and first line of the docstrings that open like a question."""
    opened = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node) or ""
            if text.replace("'", " ").partition(" ")[0].rstrip(",.:;") in QUESTIONS:
                opened.append((getattr(node, "lineno", 1), text.splitlines()[0]))
    return opened


@pytest.mark.parametrize(
    ("docstring", "count"),
    [
        ("What the page holds.", 1),
        ("Whether it is so.", 1),
        ("What's left.", 1),
        ("Return the contents of the page.", 0),
        ("Whatever it is.", 0),
    ],
)
def test_questions_are_recognised(docstring, count):
    assert len(openings(f'def f():\n    """{docstring}"""')) == len(openings(f'"""{docstring}"""')) == count


def test_docstrings_open_with_an_imperative_or_a_noun():
    opened = [
        f"{path.relative_to(ROOT)}:{line}: {text}"
        for path in PYTHON for line, text in openings(path.read_text(encoding="utf-8"))
    ]  # fmt: skip
    assert not opened, 'write "Return the ..." for a function, a noun phrase for anything else'


def test_files_are_short():
    lines = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert not {file: count for file, count in lines.items() if count > 400}, "one concept per file"


def test_folders_are_small():
    counts = Counter(str(path.parent.relative_to(ROOT)) for path in PYTHON)
    assert not {folder: count for folder, count in counts.items() if count > 25}, "one room per subject"
