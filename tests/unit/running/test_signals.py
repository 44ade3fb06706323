"""Signals become wishes of the main loop, and the process's own handlers come back."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from queue import Empty, SimpleQueue

from cloudq.running.signals import Wish, stop_signals


def test_sigterm_and_sigint_are_wishes_within_the_block() -> None:
    """Within the block each signal is one STOP; afterwards the handlers are those of before."""
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    wishes: SimpleQueue[Wish] = SimpleQueue()
    with stop_signals(wishes):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        assert [Wish.STOP, Wish.STOP] == [wishes.get(timeout=60) for _ in range(2)]
    assert before == [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]


def test_python_decides_which_thread_is_the_main_one(monkeypatch) -> None:
    """In a program that eventlet has patched, another object stands for the main thread: signals are wishes there."""
    monkeypatch.setattr(threading, "main_thread", object)
    wishes: SimpleQueue[Wish] = SimpleQueue()
    seen: list[Wish] = []
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)  # or without the mend the tests would end here
    try:
        with stop_signals(wishes):
            os.kill(os.getpid(), signal.SIGTERM)
            with suppress(Empty):
                seen.append(wishes.get(timeout=60))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert [Wish.STOP] == seen


def test_outside_of_the_main_thread_nothing_is_installed(caplog) -> None:
    """In another thread signals stay what the program made of them, and the log says so."""
    before = signal.getsignal(signal.SIGTERM)
    within: list[object] = []

    def other() -> None:
        with stop_signals(SimpleQueue()):
            within.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=other)
    thread.start()
    thread.join(60)
    assert [before] == within
    assert "SIGTERM and SIGINT don't stop this worker" in caplog.text
