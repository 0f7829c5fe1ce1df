"""Ctrl-C during training: the current step finishes, and a checkpoint to continue from is written."""

import logging
import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

log = logging.getLogger(__name__)


@contextmanager
def interrupt_ends_the_step(trainer: Trainer) -> Iterator[None]:
    """Turn the first Ctrl-C into SIGTERM, at which Lightning ends after the step and writes last.ckpt.

    If the trainer only waits for processes that it spawned, they receive the signal instead (see `StopTogether`). A
    second Ctrl-C stops at once. In both cases the process exits with status 130.
    """
    interrupted = False

    def on_interrupt(*_: Any) -> None:
        nonlocal interrupted
        interrupted = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        log.warning("interrupted: finishing the step and writing last.ckpt (Ctrl-C again stops at once)")
        spawned = _spawned_by(trainer)
        for process in spawned:
            if process.pid is not None:  # None before it starts
                os.kill(process.pid, signal.SIGINT)  # a terminal sends it too, which does no harm
        if not spawned:
            signal.raise_signal(signal.SIGTERM)

    before = signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield
    except SystemExit:  # Lightning's SIGTERMException is one
        interrupted = True
    finally:
        signal.signal(signal.SIGINT, before)
        for process in _spawned_by(trainer):  # none are left, unless this is a second Ctrl-C
            process.kill()
    if interrupted:
        log.warning("interrupted; add ckpt_path=last to the command to continue")
        raise SystemExit(130)


def _spawned_by(trainer: Trainer) -> list[BaseProcess]:
    launched = getattr(trainer.strategy.launcher, "procs", ())
    return [process for process in launched if isinstance(process, BaseProcess) and process.is_alive()]


class StopTogether(Callback):
    """End training in all spawned processes after the same update, so that last.ckpt is written.

    Lightning's way of ending one process does not help here, because the first process to leave ends the others too.
    """

    def __init__(self) -> None:
        self._interrupted = False

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        parent = multiprocessing.parent_process()
        if parent is None or trainer.world_size == 1:
            return

        def on_interrupt(*_: Any) -> None:
            if os.getppid() != parent.pid:  # the parent is gone, of which torch informs with this signal
                os._exit(130)  # without waiting for the others, which may be gone too
            self._interrupted = True

        signal.signal(signal.SIGINT, on_interrupt)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: object) -> None:
        if trainer.world_size > 1 and multiprocessing.parent_process() is not None:
            interrupted = trainer.strategy.reduce_boolean_decision(self._interrupted, all=False)
            trainer.should_stop = trainer.should_stop or interrupted
