"""Deadlines of a thread's calls, and calls that take none."""

from __future__ import annotations

import gc
import threading
from datetime import timedelta

import pytest

from cloudq.aws_wire.bounded import SharedCall, Within, left
from cloudq.core.threads import Threads


def test_a_deadline_inside_another_is_not_later() -> None:
    """The outer one's end is the inner one's too, and afterwards it is the outer one's again."""
    assert left() is None
    with Within(timedelta(seconds=60)):
        with Within(timedelta(seconds=600)):
            inner = left()
        with Within(timedelta(0)):
            none = left()
        outer = left()
    assert inner is not None
    assert outer is not None
    assert none is not None
    assert none <= 0 < outer <= inner <= 60
    assert left() is None


def test_an_interruption_leaves_no_deadline() -> None:
    """A signal may strike where a block ends, which then doesn't: later calls of the thread are not bounded."""

    def interrupted() -> None:
        Within(timedelta(0)).__enter__()  # and its `__exit__` never runs

    interrupted()
    gc.collect()
    assert left() is None
    with Within(timedelta(seconds=60)):
        again = left()
    assert again is not None
    assert again > 0
    assert left() is None


def test_a_deadline_is_of_one_thread() -> None:
    """What another thread calls is not bounded by it."""
    seen: list[float | None] = []
    with Within(timedelta(seconds=1)):
        thread = threading.Thread(target=lambda: seen.append(left()))
        thread.start()
        thread.join()
    assert [None] == seen


def test_a_call_that_is_under_way_is_shared() -> None:
    """Who asks meanwhile gets the same result, or gives up on his own; afterwards the call is made again."""
    over = threading.Event()
    made: list[int] = []

    def slow() -> int:
        made.append(len(made))
        over.wait(30)
        return made[-1]

    shared = SharedCall(slow)
    for _ in range(3):
        with pytest.raises(TimeoutError):
            shared.result(0.05)
    waiting = threading.Thread(target=lambda: made.append(10 + shared.result(30)))
    waiting.start()
    over.set()
    waiting.join()
    assert made in ([0, 10], [0, 1, 11])  # the second, where the first had ended before the thread asked


def test_an_interruption_leaves_no_call_that_nobody_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a signal's handler raises before a thread has the call, the next one who asks makes it."""

    def interrupt(*_: object) -> bool:
        raise KeyboardInterrupt

    shared = SharedCall(lambda: 1)
    with monkeypatch.context() as patch:
        patch.setattr(Threads, "submit", interrupt)
        with pytest.raises(KeyboardInterrupt):
            shared.result(0)
    assert 1 == shared.result(30)


def test_what_a_call_raises_is_raised() -> None:
    """To each who asks."""

    def fails() -> None:
        raise ValueError("no")

    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            SharedCall(fails).result(30)


def test_without_a_thread_the_call_is_made_by_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Late is better than never."""

    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("cloudq.aws_wire.bounded._threads", Threads("test", 1))
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    assert 1 == SharedCall(lambda: 1).result(0.1)
