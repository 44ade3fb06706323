"""Interpreters on which an interruption skips `finally` and `with`, and what is done there."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest

from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.errors import TimeLimitExceeded
from cloudq.running import loop_jumps, time_limits
from cloudq.running.alarm_time_limit import AlarmTimeLimit
from cloudq.running.loop_jumps import interruptions_skip_handlers
from cloudq.running.time_limits import ThreadTimeLimits

SOON = timedelta(milliseconds=20)
affected = pytest.mark.skipif(
    not interruptions_skip_handlers(), reason="needs an interpreter with CPython's fault 130279, such as 3.13.0"
)


def in_a_lock(lock: threading.Lock, more: Callable[[], bool], work: Callable[[], None]) -> None:
    with lock:
        while more():
            work()


def in_a_try(lock: threading.Lock, more: Callable[[], bool], work: Callable[[], None]) -> None:
    lock.acquire()
    try:
        while more():
            work()
    finally:
        lock.release()


def in_a_branch(lock: threading.Lock, items: Sequence[int], work: Callable[[], None]) -> None:
    with lock:
        for item in items:
            work()
            if item < 0:
                work()


def handler_in_the_loop(more: Callable[[], bool], work: Callable[[], None]) -> None:
    while more():
        try:
            work()
        except ValueError:
            work()


def loop_alone(more: Callable[[], bool], work: Callable[[], None]) -> None:
    while more():
        work()


def test_releases_before_3_13_are_not_affected() -> None:
    """They look for interruptions after the jump, where the table is right."""
    if sys.version_info < (3, 13):
        assert not interruptions_skip_handlers()


@affected
@pytest.mark.parametrize("function", [in_a_lock, in_a_try, in_a_branch])
def test_jumps_that_no_handler_covers_are_found(function: Callable[..., None]) -> None:
    """The loop's beginning is in the block's range and its jump back isn't."""
    assert 1 == len(loop_jumps._uncovered(function.__code__))


@pytest.mark.parametrize("function", [handler_in_the_loop, loop_alone])
def test_a_loop_round_a_handler_is_no_case_of_it(function: Callable[..., None]) -> None:
    """There nothing is skipped."""
    assert not loop_jumps._uncovered(function.__code__)


@affected
@pytest.mark.parametrize("function", [in_a_lock, in_a_try])
def test_an_alarm_waits_for_a_step_at_which_it_does_no_harm(
    function: Callable[[threading.Lock, Callable[[], bool], Callable[[], None]], None],
) -> None:
    """In child processes a time limit never leaves a lock taken, wherever in the loop it strikes. 20 times."""
    alarm = AlarmTimeLimit()
    lock = threading.Lock()
    for _ in range(20):
        until = time.monotonic() + 10
        with pytest.raises(TimeLimitExceeded), alarm(SOON):
            function(lock, lambda until=until: time.monotonic() < until, lambda: None)  # type: ignore[misc]
        assert not lock.locked()


@affected
def test_an_alarm_with_no_harmless_step_ends_the_task_all_the_same() -> None:
    """A loop that has no other step at which it can be interrupted isn't let go on for ever."""
    alarm = AlarmTimeLimit()
    began = time.monotonic()
    flag: list[int] = []

    def spin() -> None:
        try:
            while not flag:
                pass
        finally:
            flag.append(1)

    with pytest.raises(TimeLimitExceeded), alarm(SOON):
        spin()
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("skips", [True, False])
def test_threads_warn_once_where_they_cant_wait(
    skips: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception for another thread can't be held back: that is said at the first task with a time limit."""
    monkeypatch.setattr(time_limits, "interruptions_skip_handlers", lambda: skips)
    limits = ThreadTimeLimits(SYSTEM_CLOCK)
    for _ in range(2):
        with limits(timedelta(hours=1)):
            pass
    limits.close()
    said = [record for record in caplog.records if "130279" in record.getMessage()]
    assert (1 if skips else 0) == len(said)
    assert all(record.levelno == logging.WARNING for record in said)
