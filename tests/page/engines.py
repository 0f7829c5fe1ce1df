"""Runs JavaScript of the page where there is something to run it: in a headless browser, or in node."""

import json
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from thermotorch.page.bundle import bundle

SCRIPTS = Path(__file__).parent / "javascript"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ENGINES = ("browser", "node")
LIMIT = 120  # seconds


def browser() -> str:
    """The path of a Chromium; without one the test is skipped."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    return found or pytest.skip(f"none of {', '.join(BROWSERS)} is installed")


def dumped(address: str, folder: Path, *options: str) -> str:
    """The document at an address, as HTML, when its scripts have run."""
    command = [
        browser(), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'browser'}", *options,
        "--dump-dom", address,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=True)
    return done.stdout


def answer(engine: str, script: str, given: Any, folder: Path) -> Any:
    """What `answer(given)`, the function that a script of `javascript/` exports, returns, by way of JSON."""
    code = f"{bundle(SCRIPTS / script)}\nconst text = JSON.stringify({Path(script).stem}_js.answer(given));"
    code = f"const given = {json.dumps(given)};\n{code}"
    if engine == "node":
        node = shutil.which("node") or pytest.skip("node is not installed")
        path = folder / "script.js"
        path.write_text(f"{code}\nconsole.log(text);", encoding="utf-8")
        done = subprocess.run([node, path], capture_output=True, text=True, timeout=LIMIT, check=True)
        return json.loads(done.stdout)
    path = folder / "script.html"
    path.write_text(
        f'<!doctype html><meta charset="utf-8"><pre id="answer"></pre><script>{code}\n'
        f'document.getElementById("answer").textContent = text;</script>',
        encoding="utf-8",
    )
    document = dumped(path.as_uri(), folder)
    return json.loads(unescape(document.split('<pre id="answer">')[1].split("</pre>")[0]))
