"""A page in headless Chromium, steered as a visitor would: sizes, colours, keys, mouse and touch, and what it tells.

Chromium's DevTools protocol by way of two pipes: messages of JSON, each ended by a zero byte.
"""

import base64
import contextlib
import fcntl
import itertools
import json
import os
import select
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.page.engines import LIMIT, browser

KEYS = {"Tab": 9, "Enter": 13, " ": 32, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
TEXTS = {"Enter": "\r", " ": " "}


class Tab:
    """A tab of a browser."""

    def __init__(self, to: int, back: int):
        self.to, self.back, self.numbers, self.read = to, back, itertools.count(1), b""
        self.errors: list[str] = []
        target = self.browser("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.browser("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "DOM", "Accessibility"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **given: Any) -> dict[str, Any]:
        """Give an order to the tab, and return its answer."""
        return self._ordered({"sessionId": self.session}, method, given)

    def browser(self, method: str, **given: Any) -> dict[str, Any]:
        """The same to the browser as a whole."""
        return self._ordered({}, method, given)

    def _ordered(self, session: dict[str, Any], method: str, given: dict[str, Any]) -> dict[str, Any]:
        number = next(self.numbers)
        message = memoryview(json.dumps({"id": number, "method": method, "params": given} | session).encode() + b"\0")
        while message:
            message = message[os.write(self.to, message) :]
        while (answer := self._message()).get("id") != number:
            if answer.get("method") == "Runtime.exceptionThrown":
                self.errors.append(answer["params"]["exceptionDetails"]["exception"]["description"])
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def _message(self) -> dict[str, Any]:
        while b"\0" not in self.read:
            if not select.select([self.back], [], [], LIMIT)[0]:
                raise TimeoutError(f"no answer from the browser in {LIMIT} s")
            part = os.read(self.back, 1 << 20)
            if not part:
                raise EOFError("the browser has ended")
            self.read += part
        message, _, self.read = self.read.partition(b"\0")
        return json.loads(message)

    def run(self, script: str) -> Any:
        """Return the value of an expression of JavaScript, or of what it promises."""
        answer = self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{script}: {answer['exceptionDetails']['exception']['description']}")
        return answer["result"].get("value")

    def until(self, condition: str, limit: float = LIMIT) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + limit
        while not self.run(f"Boolean({condition})"):
            if time.monotonic() > end:
                raise TimeoutError(f"not within {limit} s: {condition}; status: {self.text('status')}")
            time.sleep(0.02)

    def text(self, identity: str) -> str:
        """Return what an element says."""
        return self.run(f"document.getElementById({json.dumps(identity)}).textContent")

    def screen(self, width: int, height: int = 800, *, dark: bool = False, still: bool = False, touch: bool = False):
        """Set the size of the window, and what the reader prefers."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=touch)
        self.send("Emulation.setTouchEmulationEnabled", enabled=touch)
        preferences = {"prefers-color-scheme": "dark" if dark else "light"}
        preferences["prefers-reduced-motion"] = "reduce" if still else "no-preference"
        features = [{"name": name, "value": value} for name, value in preferences.items()]
        self.send("Emulation.setEmulatedMedia", features=features)

    def open(self, path: Path, fragment: str = "", until: str = "document.body?.dataset.run") -> None:
        """Open a file, and wait: until there is something to play, if not told otherwise."""
        self.send("Page.navigate", url="about:blank")
        self.send("Page.navigate", url=f"{path.resolve().as_uri()}#{fragment}")
        self.until(until)

    def key(self, name: str, *, shift: bool = False) -> None:
        """Press a key and let it go."""
        common = {"key": name, "code": "Space" if name == " " else name, "windowsVirtualKeyCode": KEYS[name]}
        common["modifiers"] = 8 if shift else 0
        text = {"text": TEXTS[name]} if name in TEXTS else {}
        self.send("Input.dispatchKeyEvent", type="keyDown", **common, **text)
        self.send("Input.dispatchKeyEvent", type="keyUp", **common)

    def touch(self, *points: tuple[float, float]) -> None:
        """Draw a finger along points of the window, and lift it."""
        for k, (x, y) in enumerate(points):
            self.send(
                "Input.dispatchTouchEvent", type="touchMove" if k else "touchStart", touchPoints=[{"x": x, "y": y}]
            )
        self.send("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def picture(self, path: Path, *, whole: bool = True) -> None:
        """Write a picture of the page."""
        data = self.send("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))


@contextlib.contextmanager
def tab(folder: Path, *options: str) -> Iterator[Tab]:
    """A tab of a new browser, whose profile lies in a folder; without a Chromium the test is skipped."""
    program = browser()
    ends = [*os.pipe(), *os.pipe()]
    # Chromium reads from 3 and writes to 4, which must not be taken before bash has put the pipes there.
    theirs, to, back, ours = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends)
    for end in ends:
        os.close(end)
    command = [
        "bash", "-c", f'exec "$@" 3<&{theirs} 4>&{ours} {theirs}<&- {ours}>&-', "bash", program, "--headless",
        "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'browser'}", "--remote-debugging-pipe", *options,
        "about:blank",
    ]  # fmt: skip
    process = subprocess.Popen(command, pass_fds=(theirs, ours), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(theirs)
    os.close(ours)
    try:
        yield Tab(to, back)
    finally:
        process.terminate()
        process.wait(timeout=LIMIT)
        os.close(to)
        os.close(back)
