"""A turn goes to whoever has waited longest, and who waits too long gets none."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from cloudq.drivers.service_bus.turns import Turn
from tests.integration.processes import wait_until

SHORT = timedelta(milliseconds=50)


def start(turn: Turn, name: str, log: list[str], waiting: int) -> threading.Thread:
    """A thread that waits for its turn, with so many waiting then."""

    def work() -> None:
        with turn.hold():
            log.append(name)

    thread = threading.Thread(target=work)
    thread.start()
    wait_until(lambda: len(turn._queue) == waiting, within=60, what=f"{name} waits")
    return thread


def test_the_turns_are_in_the_order_of_the_waiting() -> None:
    """Whoever comes later waits longer."""
    turn, log = Turn(), list[str]()
    turn.take()
    threads = [start(turn, name, log, number) for number, name in enumerate("abc", 1)]
    turn.give()
    for thread in threads:
        thread.join(60)
    assert ["a", "b", "c"] == log


def test_whoever_lets_others_has_it_again_after_them() -> None:
    """A receive that waits for messages keeps nobody from settling: each who waits goes before it."""
    turn, log = Turn(), list[str]()
    turn.take()
    threads = [start(turn, name, log, number) for number, name in enumerate("ab", 1)]
    turn.let_others()
    assert ["a", "b"] == log
    turn.let_others()  # nobody waits: it is kept
    turn.give()
    for thread in threads:
        thread.join(60)
    assert not turn._taken


def test_a_turn_that_does_not_come_in_time() -> None:
    """The waiting ends, and the next in the queue isn't held up by it."""
    turn, log = Turn(), list[str]()
    turn.take()
    with pytest.raises(TimeoutError):
        turn.take(SHORT)
    thread = start(turn, "a", log, 1)
    turn.give()
    thread.join(60)
    assert ["a"] == log
    turn.take(SHORT)


def test_a_turn_that_is_interrupted_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a signal's handler raises while the turn is handed over loses it for nobody."""
    turn = Turn()
    turn.take()

    def interrupted(event: threading.Event, timeout: float | None = None) -> bool:
        turn.give()  # the moment in which it is handed over
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Event, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        turn.take()
    monkeypatch.undo()
    turn.take(SHORT)
