import signal
from types import SimpleNamespace

import pytest

from thermotorch.training.interrupt import interrupt_ends_the_step

ALONE = SimpleNamespace(strategy=SimpleNamespace(launcher=None))  # a trainer that runs in this process


def test_the_first_interrupt_asks_for_an_orderly_end_and_the_second_insists():
    received = []
    before = signal.getsignal(signal.SIGINT)
    terminate = signal.signal(signal.SIGTERM, lambda *_: received.append("SIGTERM"))
    try:
        with pytest.raises(KeyboardInterrupt), interrupt_ends_the_step(ALONE):
            signal.raise_signal(signal.SIGINT)
            assert received == ["SIGTERM"]
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGTERM, terminate)
    assert signal.getsignal(signal.SIGINT) is before


def test_lightnings_exit_becomes_the_status_of_an_interrupted_program():
    with pytest.raises(SystemExit) as stop, interrupt_ends_the_step(ALONE):
        raise SystemExit
    assert stop.value.code == 130
