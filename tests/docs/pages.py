"""The pages of the documentation, and the code in them."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
# Written by programs, or notebooks of numbers: nothing in them is a lesson.
RECORDS = {"log.md", "frontier.md", "zoo.md", "performance.md", "circuit.md", "page.md"}
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md")))
    if path.name not in RECORDS and path.parent.name != "comparison"
}


def code(text: str, *languages: str) -> list[tuple[str, str]]:
    """Return (language, code) of each fenced block in one of the languages, in the order of the page."""
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [(language, block) for language, block in blocks if language in languages]
