"""Ctrl-C during training: the step at hand is finished, and a checkpoint to continue from is written."""

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

log = logging.getLogger(__name__)


@contextmanager
def interrupt_ends_the_step() -> Iterator[None]:
    """Turns the first Ctrl-C into SIGTERM, at which Lightning ends after the step and writes last.ckpt.

    A second Ctrl-C stops at once. Either way the process exits with status 130.
    """

    def on_interrupt(*_: Any) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        log.warning("interrupted: finishing the step and writing last.ckpt (Ctrl-C again stops at once)")
        signal.raise_signal(signal.SIGTERM)

    before = signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield
    except SystemExit:  # Lightning's SIGTERMException is one
        log.warning("interrupted; add ckpt_path=last to the command to continue")
        raise SystemExit(130) from None
    finally:
        signal.signal(signal.SIGINT, before)
