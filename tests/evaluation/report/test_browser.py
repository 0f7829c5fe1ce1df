"""The page in a headless Chromium: it fits a phone and a desk, moves, rests when asked to,
and has nothing to complain of.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.evaluation.report.comparisons import comparison
from thermotorch.evaluation import write_report

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium to look at the page")]
POLICY = re.compile(r"<meta http-equiv[^>]+>")
MEASURE = """<script>
const wide = document.documentElement.scrollWidth, seen = window.innerWidth;
const out = [...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll') && !e.closest('thead')
  && e.getBoundingClientRect().right > seen + 0.5).map(e => e.tagName + '.' + e.className);
const shown = s => getComputedStyle(document.querySelector(s)).display != 'none';
const playing = document.querySelector('.playing');
parent.postMessage(JSON.stringify({wide, seen, out,
  rest: shown('.at-rest'), moves: shown('.playing') && playing.getAnimations().length,
  frame: getComputedStyle(playing).backgroundSize,
  broken: [...document.images].filter(i => !i.complete || !i.naturalWidth).length}), '*');
</script></body>"""
FRAME = """<!doctype html><script>
addEventListener('message', event => document.documentElement.setAttribute('data-found', event.data));
</script><iframe src="measured.html" style="width: {width}px; height: 800px; border: 0"></iframe>"""


@pytest.fixture(scope="module", params=[1, 2, 8], ids="{} models".format)
def page(request, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    return write_report(comparison(request.param), folder)[0]


def chromium(profile: Path, *options: str) -> subprocess.CompletedProcess:
    quiet = ("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync", "--enable-logging=stderr")  # fmt: skip
    command = [CHROMIUM, "--headless", "--no-sandbox", *quiet, f"--user-data-dir={profile}", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


def measured(page: Path, folder: Path, width: int, *options: str) -> dict:
    """Return the findings of a script on a copy of the page without the policy that forbids scripts.

    The page is in a frame, because windows are wider.
    """
    text = page.read_text(encoding="utf-8")
    assert len(POLICY.findall(text)) == 1
    folder.joinpath("measured.html").write_text(POLICY.sub("", text).replace("</body>", MEASURE), encoding="utf-8")
    frame = folder / "frame.html"
    frame.write_text(FRAME.replace("{width}", str(width)), encoding="utf-8")
    options = (*options, "--hide-scrollbars", "--virtual-time-budget=5000")
    done = chromium(folder / "profile", *options, "--dump-dom", frame.as_uri())
    found = re.search(r'data-found="([^"]+)"', done.stdout)
    return json.loads(found[1].replace("&quot;", '"'))


@pytest.mark.parametrize("width", [360, 1200])
def test_nothing_sticks_out(page, tmp_path, width):
    found = measured(page, tmp_path, width)
    assert found["seen"] == width
    assert (found["wide"], found["out"]) == (width, [])
    assert found["broken"] == 0
    assert found["moves"] and not found["rest"]


def test_it_rests_for_readers_who_want_no_motion(page, tmp_path):
    found = measured(page, tmp_path, 360, "--force-prefers-reduced-motion")
    assert found["rest"] and not found["moves"]


def test_the_browser_has_nothing_to_complain_of(page, tmp_path):
    done = chromium(tmp_path / "profile", "--dump-dom", page.as_uri())
    assert "<h1>" in done.stdout
    assert "CONSOLE" not in done.stderr


def test_a_fetch_would_be_refused_and_seen(page, tmp_path):
    """So that the test above can fail: the page with one picture from elsewhere."""
    copy = tmp_path / "fetches.html"
    text = page.read_text(encoding="utf-8")
    copy.write_text(text.replace("</main>", '<img alt="" src="http://127.0.0.1:9/x.png"></main>'), encoding="utf-8")
    done = chromium(tmp_path / "profile", "--dump-dom", copy.as_uri())
    assert "CONSOLE" in done.stderr and "Content Security Policy" in done.stderr


def test_it_prints(page, tmp_path):
    printed = tmp_path / "report.pdf"
    chromium(tmp_path / "profile", f"--print-to-pdf={printed}", page.as_uri())
    assert printed.read_bytes().startswith(b"%PDF")
