"""The site builds without a warning and asks no other server for anything."""

import importlib.util
import re
import subprocess
import sys

import pytest

from tests.docs.pages import DOCS, ROOT


@pytest.mark.slow
@pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("mkdocs", "material", "mkdocstrings")),
    reason="needs the extra `docs`: pip install -e '.[docs]'",
)
def test_it_builds_strictly_and_loads_nothing_from_elsewhere(tmp_path):
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for page in tmp_path.rglob("*.html"):
        loaded = re.findall(
            r"""(?:<script[^>]* src|<link rel="(?:stylesheet|preconnect)"[^>]* href|<img[^>]* src)="([^"]*)""",
            page.read_text(),
        )
        assert not [address for address in loaded if address.startswith(("http:", "https:", "//"))], page


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    missing = [page for path in DOCS.rglob("*.md") if (page := path.relative_to(DOCS).as_posix()) not in navigation]
    assert not missing, "name them under nav: in mkdocs.yml"
