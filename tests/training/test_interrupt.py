import signal
from multiprocessing.process import BaseProcess
from types import SimpleNamespace

import pytest

from thermotorch.training import interrupt
from thermotorch.training.interrupt import StopTogether, interrupt_ends_the_step

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


class Worker(BaseProcess):
    """A process that never started, and that says it runs."""

    def __init__(self, pid: int | None, runs: bool) -> None:
        self.number, self.runs, self.killed = pid, runs, False

    pid = property(lambda self: self.number)

    def is_alive(self) -> bool:
        return self.runs

    def kill(self) -> None:
        self.killed = True


def test_an_interrupt_of_a_trainer_that_waits_goes_to_the_processes_that_train(monkeypatch):
    """Those that live and have begun; in the end all that are left are killed, and the status is that of Ctrl-C."""
    sent, living, beginning, gone = [], Worker(71, True), Worker(None, True), Worker(72, False)
    trainer = SimpleNamespace(
        strategy=SimpleNamespace(launcher=SimpleNamespace(procs=[living, beginning, gone, "no process"]))
    )
    monkeypatch.setattr(interrupt.os, "kill", lambda *arguments: sent.append(arguments))
    raised, raise_signal = [], signal.raise_signal
    with pytest.raises(SystemExit) as stop, interrupt_ends_the_step(trainer):
        monkeypatch.setattr(signal, "raise_signal", raised.append)
        raise_signal(signal.SIGINT)
    assert sent == [(71, signal.SIGINT)] and raised == []
    assert [each.killed for each in (living, beginning, gone)] == [True, True, False]
    assert stop.value.code == 130


def test_a_training_that_nobody_interrupts_ends_by_itself():
    before = signal.getsignal(signal.SIGINT)
    with interrupt_ends_the_step(ALONE):
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(("processes", "spawned"), [(2, True), (1, True), (2, False)])
def test_spawned_processes_stop_together_and_others_by_themselves(monkeypatch, processes, spawned):
    parent = SimpleNamespace(pid=interrupt.os.getppid()) if spawned else None
    monkeypatch.setattr(interrupt.multiprocessing, "parent_process", lambda: parent)
    together, asked, left = StopTogether(), [], []
    monkeypatch.setattr(interrupt.os, "_exit", left.append)

    def decision(stop: bool, all: bool) -> bool:
        asked.append((stop, all))
        return stop

    trainer = SimpleNamespace(
        world_size=processes, should_stop=False, strategy=SimpleNamespace(reduce_boolean_decision=decision)
    )
    before = signal.getsignal(signal.SIGINT)
    try:
        together.on_fit_start(trainer, None)
        if processes == 1 or not spawned:
            assert signal.getsignal(signal.SIGINT) is before
            together.on_train_batch_end(trainer, None)
            assert asked == [] and not trainer.should_stop
            return
        together.on_train_batch_end(trainer, None)
        assert asked == [(False, False)] and not trainer.should_stop
        signal.raise_signal(signal.SIGINT)
        together.on_train_batch_end(trainer, None)
        assert asked[1:] == [(True, False)], "one process that was interrupted ends all"
        assert trainer.should_stop and left == []
        together._interrupted = False
        together.on_train_batch_end(trainer, None)
        assert trainer.should_stop, "what asked for the end before is not forgotten"
        parent.pid += 1
        signal.raise_signal(signal.SIGINT)
        assert left == [130], "without a parent there is nobody to wait for"
    finally:
        signal.signal(signal.SIGINT, before)
