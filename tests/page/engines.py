"""Runs JavaScript of the page where there is something to run it: in a headless browser, or in node."""

import json
import queue
import shutil
import subprocess
import threading
from html import unescape
from http.server import BaseHTTPRequestHandler, HTTPServer
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


def firefox() -> str:
    """The path of a Firefox; without one the test is skipped."""
    found = next((path for name in ("firefox", "firefox-esr") if (path := shutil.which(name))), None)
    return found or pytest.skip("firefox is not installed")


def dumped(address: str, folder: Path, *options: str) -> str:
    """The document at an address, as HTML, when its scripts have run."""
    command = [
        browser(), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'browser'}", *options,
        "--dump-dom", address,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=True)
    return done.stdout


def answer(engine: str, script: str, given: Any, folder: Path) -> Any:
    """Return the result of `answer(given)`, the function that a script of `javascript/` exports, through JSON."""
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


_REPORTER = """<script>
const errors = [];
addEventListener("error", (event) => errors.push(event.message));
addEventListener("unhandledrejection", (event) => errors.push(String(event.reason)));
const read = (id) => document.getElementById(id).textContent;
function report() {
  const texts = Object.fromEntries([...document.querySelectorAll("[id]")].map(({ id }) => [id, read(id)]));
  const canvases = [...document.querySelectorAll("#wall canvas")];
  const shown = canvases.map((canvas) => {
    const { width, height } = canvas, { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
    return Array.from({ length: width * height }, (_, pixel) => data[4 * pixel]);
  });
  delete texts.worker;
  delete texts.description;
  const body = JSON.stringify({ errors, texts, shown, run: document.body.dataset.run });
  fetch("ADDRESS", { method: "POST", mode: "no-cors", body });
}
function until(run) {
  return new Promise((resolve) => {
    new MutationObserver(() => document.body.dataset.run === run && resolve())
      .observe(document.body, { attributes: true });
  });
}
ACTIONS
</script>
"""


def visited(page: str, folder: Path, actions: str, fragment: str = "", *options: str, engine: str = "chromium") -> Any:
    """Return the text of a page, and of its wall, after `actions`, JavaScript that calls `report()`.

    `engine` is "chromium" or "firefox"; `options` are those of its command.
    `until("ready")`, "playing" or "finished" waits for the next time that the run becomes so.
    """
    found: queue.Queue[bytes] = queue.Queue()

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self):
            found.put(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format, *arguments):
            pass

    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        allowed = page.replace("default-src 'none';", f"default-src 'none'; connect-src {address};")
        before, mark, after = allowed.rpartition("<script>")
        reporter = _REPORTER.replace("ADDRESS", address).replace("ACTIONS", actions)
        path = folder / "page.html"
        path.write_text(before + reporter + mark + after, encoding="utf-8")
        profile = folder / "browser"
        profile.mkdir(exist_ok=True)
        program = {
            "chromium": lambda: [
                browser(), "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}", "--remote-debugging-port=0",
            ],
            "firefox": lambda: [firefox(), "--no-remote", "--profile", str(profile)],
        }[engine]()  # fmt: skip
        command = [*program, "--headless", *options, f"{path.as_uri()}#{fragment}"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            return json.loads(found.get(timeout=LIMIT))
        finally:
            process.terminate()
            process.wait(timeout=LIMIT)
            server.shutdown()
