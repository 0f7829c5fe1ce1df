"""Programs in processes of their own that can be killed: forked, so that each starts at once, with all imports made."""

import importlib
import os
import pkgutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import sklearn.datasets  # noqa: F401
import torch._dynamo  # noqa: F401
import torchvision  # noqa: F401
from hydra.core.hydra_config import HydraConfig

import thermotorch.training

for _module in pkgutil.iter_modules(thermotorch.training.__path__, "thermotorch.training."):
    importlib.import_module(_module.name)  # else each process would spend its time with imports


class Child:
    """A process that runs a function in a folder; its output is in `output`, a file beside the folder."""

    def __init__(self, function: Callable[[], object], folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.output, self.status = folder.with_name(folder.name + ".output"), None
        self.pid = os.fork()
        if self.pid == 0:
            os._exit(self._run(function, folder))

    def _run(self, function: Callable[[], object], folder: Path) -> int:
        descriptor = os.open(self.output, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o666)
        for stream in (1, 2):
            os.dup2(descriptor, stream)
        sys.stdout = sys.stderr = open(descriptor, "w", buffering=1, closefd=False)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        os.chdir(folder)
        try:
            function()
        except SystemExit as stop:
            if isinstance(stop.code, str):
                print(stop.code)
            return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        except BaseException:
            traceback.print_exc()
            return 1
        return 0

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def poll(self) -> int | None:
        """Return the status, negative for a signal, or None while the process runs."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = os.waitstatus_to_exitcode(status) if pid else None
        return self.status

    def wait(self, seconds: float = 300.0) -> int:
        """Return the status of the process, which is killed when its time is over."""
        end = time.monotonic() + seconds
        while self.poll() is None:
            if time.monotonic() > end:
                os.kill(self.pid, signal.SIGKILL)
                raise TimeoutError(f"no end after {seconds} s: {self.output.read_text()[-2000:]}")
            time.sleep(0.005)
        return self.status


def program(main: Callable[[], object], *arguments: str) -> Callable[[], None]:
    """Return a function that runs a program of the command line with its arguments, for a process of its own."""

    def run() -> None:
        sys.argv = ["thermotorch", *arguments]
        HydraConfig.instance().cfg = None
        main()

    return run
