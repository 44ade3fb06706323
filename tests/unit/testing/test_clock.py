"""The fake clock: stands still, moves when told, and can't hang a test."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from cloudq.core.clock import Clock
from cloudq.core.shield import interrupter
from cloudq.errors import TimeLimitExceeded
from cloudq.running.time_limits import ThreadTimeLimits
from cloudq.testing.clock import START, FakeClock

MINUTE = timedelta(minutes=1)


def wait(clock: FakeClock, condition: threading.Condition, timeout: timedelta | None) -> bool:
    with condition:
        return clock.wait(condition, timeout)


@pytest.fixture
def pool():
    with ThreadPoolExecutor(4) as pool:
        yield pool


def test_it_is_a_clock() -> None:
    """It serves wherever a Clock is asked for, starts at a fixed aware time in UTC and stands still."""
    clock: Clock = FakeClock()
    assert (clock.now(), clock.now(), clock.now().tzinfo) == (START, START, UTC)


def test_a_start_elsewhere_is_shown_in_utc() -> None:
    """A start with another offset is the same moment, in UTC."""
    start = datetime(2026, 6, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    assert datetime(2026, 6, 1, 10, tzinfo=UTC) == FakeClock(start).now()


def test_a_naive_start_is_refused() -> None:
    """A start without an offset could mean any moment, so it is refused."""
    with pytest.raises(ValueError, match="no UTC offset"):
        FakeClock(datetime(2026, 1, 1))  # noqa: DTZ001 - the naive time is what is tested


def test_advance_moves_the_time() -> None:
    """The time is the start plus all that it was advanced by."""
    clock = FakeClock()
    clock.advance(MINUTE)
    clock.advance(timedelta(microseconds=1))
    assert START + MINUTE + timedelta(microseconds=1) == clock.now()


def test_time_does_not_run_backwards() -> None:
    """A negative advance is refused and changes nothing."""
    clock = FakeClock()
    with pytest.raises(ValueError, match="backwards"):
        clock.advance(-MINUTE)
    assert clock.now() == START


def test_advance_moves_both_clocks() -> None:
    """Spans are measured from the clock's making; what passes shows on the wall clock too."""
    clock = FakeClock()
    assert timedelta(0) == clock.elapsed()
    clock.advance(MINUTE)
    assert (MINUTE, START + MINUTE) == (clock.elapsed(), clock.now())


@pytest.mark.parametrize("step", [MINUTE, -60 * MINUTE])
def test_a_step_sets_the_wall_clock_only(step: timedelta) -> None:
    """Forwards or backwards; no time passes."""
    clock = FakeClock()
    clock.advance(MINUTE)
    clock.step(step)
    assert (MINUTE, START + MINUTE + step) == (clock.elapsed(), clock.now())


def test_a_step_wakes_nobody(pool: ThreadPoolExecutor) -> None:
    """However far it goes, what waits waits on until its time has passed."""
    clock = FakeClock()
    waiting = pool.submit(wait, clock, threading.Condition(), MINUTE)
    clock.until_waiting()
    clock.step(60 * MINUTE)
    assert 1 == clock.waiting
    clock.advance(MINUTE)
    assert waiting.result(60) is False


def test_asleep_time_passes_and_nobody_notices(pool: ThreadPoolExecutor) -> None:
    """Both clocks go on while the machine sleeps; a wait goes on for as long as it would have without that."""
    clock = FakeClock()
    waiting = pool.submit(wait, clock, threading.Condition(), MINUTE)
    clock.until_waiting()
    clock.suspend(60 * MINUTE)
    assert (60 * MINUTE, START + 60 * MINUTE) == (clock.elapsed(), clock.now())
    assert 1 == clock.waiting
    clock.advance(MINUTE / 2)
    assert waiting.result(60) is True  # woken to look, and not yet over
    waiting = pool.submit(wait, clock, threading.Condition(), MINUTE)
    clock.until_waiting()
    clock.suspend(MINUTE)
    clock.advance(MINUTE)
    assert waiting.result(60) is False


def test_nobody_sleeps_backwards() -> None:
    """A negative sleep is refused and changes nothing."""
    clock = FakeClock()
    with pytest.raises(ValueError, match="backwards"):
        clock.suspend(-MINUTE)
    assert (timedelta(0), START) == (clock.elapsed(), clock.now())


def test_a_wait_ends_when_its_time_has_passed(pool: ThreadPoolExecutor) -> None:
    """A wait whose fake time has passed returns False."""
    clock = FakeClock()
    waiting = pool.submit(wait, clock, threading.Condition(), MINUTE)
    clock.until_waiting()
    clock.advance(MINUTE)
    assert waiting.result(60) is False


def test_a_wait_wakes_at_a_notification(pool: ThreadPoolExecutor) -> None:
    """A notified wait returns True with no time passed."""
    clock, condition = FakeClock(), threading.Condition()
    waiting = pool.submit(wait, clock, condition, MINUTE)
    clock.until_waiting()
    with condition:
        condition.notify_all()
    assert waiting.result(60) is True


def test_a_wait_without_end_wakes_at_a_notification(pool: ThreadPoolExecutor) -> None:
    """A wait without a time-out isn't ended by time, only by a notification (or woken to look again)."""
    clock, condition = FakeClock(), threading.Condition()
    waiting = pool.submit(wait, clock, condition, None)
    clock.until_waiting()
    with condition:
        condition.notify_all()
    assert waiting.result(60) is True


def test_an_advance_that_is_too_short_only_wakes(pool: ThreadPoolExecutor) -> None:
    """A wake-up before the time is reported as True, never as a time-out."""
    clock = FakeClock()
    waiting = pool.submit(wait, clock, threading.Condition(), MINUTE)
    clock.until_waiting()
    clock.advance(MINUTE / 2)
    assert waiting.result(60) is True


def test_who_looked_before_an_advance_and_waits_after_it_looks_again(pool: ThreadPoolExecutor) -> None:
    """A machine may hold a thread up in between, and nobody moves the clock a second time for it."""
    clock, changed = FakeClock(), threading.Condition()
    looked, moved = threading.Event(), threading.Event()

    def pause() -> timedelta:
        until = clock.elapsed() + 5 * MINUTE
        with changed:
            while (left := until - clock.elapsed()) > timedelta(0):
                looked.set()
                assert moved.wait(60)
                clock.wait(changed, left)
        return clock.elapsed()

    pausing = pool.submit(pause)
    assert looked.wait(60)
    clock.advance(5 * MINUTE)
    moved.set()
    assert pausing.result(20) == 5 * MINUTE  # before the clock's patience ends


def test_who_moves_it_knows_of_it() -> None:
    """No wait of the thread that moved the clock ends before its time."""
    clock = FakeClock(patience=timedelta(milliseconds=1))
    clock.elapsed()
    clock.advance(MINUTE)
    condition = threading.Condition()
    with condition, pytest.raises(TimeoutError):
        clock.wait(condition, MINUTE)


def test_every_waiter_is_woken(pool: ThreadPoolExecutor) -> None:
    """One advance ends the waits on several conditions, two threads on one of them included."""
    clock, shared = FakeClock(), threading.Condition()
    waits = [pool.submit(wait, clock, condition, MINUTE) for condition in (shared, shared, threading.Condition())]
    clock.until_waiting(3)
    assert clock.waiting == 3
    clock.advance(MINUTE)
    assert [waiting.result(60) for waiting in waits] == [False, False, False]
    assert clock.waiting == 0


def test_a_time_limit_that_strikes_as_its_task_moves_the_time_lets_it_wake_all(pool: ThreadPoolExecutor) -> None:
    """The error comes once all are woken. In between, some would not be, or would wait for a lock that nobody frees."""
    clock, told, waiters = FakeClock(), threading.Event(), []
    limits = ThreadTimeLimits(clock)

    class StruckWhileItTells(threading.Condition):
        def notify_all(self) -> None:
            guard: Any = interrupter()
            with limits.lock:
                guard.fire()
            for _ in range(1_000):  # it would arrive in one of these steps
                pass
            super().notify_all()
            told.set()

    def task() -> None:
        waiters.append(pool.submit(wait, clock, StruckWhileItTells(), MINUTE))
        clock.until_waiting(2)  # one of them is the thread that looks after time limits
        clock.advance(MINUTE)

    try:
        with pytest.raises(TimeLimitExceeded), limits(60 * MINUTE):
            task()
    finally:
        limits.close()
    assert told.is_set()
    assert [waiter.result(60) for waiter in waiters] == [False]


def test_no_condition_s_own_code_runs_as_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A time limit could strike in that, with the lock taken: the lock is taken by itself, in a single step."""
    clock, me, enter = FakeClock(), threading.get_ident(), threading.Condition.__enter__

    def fail_here(condition: threading.Condition) -> bool:
        if threading.get_ident() == me:
            pytest.fail("a Condition was entered")
        return enter(condition)

    monkeypatch.setattr(threading.Condition, "__enter__", fail_here)
    clock.step(MINUTE)
    clock.suspend(MINUTE)
    clock.advance(MINUTE)
    assert (START + 3 * MINUTE, 2 * MINUTE, 0) == (clock.now(), clock.elapsed(), clock.waiting)


@pytest.mark.parametrize("timeout", [timedelta(0), -MINUTE])
def test_a_wait_of_no_time_returns_at_once(timeout: timedelta) -> None:
    """Nothing to wait for: False, without anybody advancing the clock."""
    assert wait(FakeClock(), threading.Condition(), timeout) is False


def test_a_wait_that_nobody_ends_raises() -> None:
    """A broken test ends with an error that says why, instead of hanging."""
    clock = FakeClock(patience=timedelta(milliseconds=20))
    with pytest.raises(TimeoutError, match="neither notified nor ended by advance"):
        wait(clock, threading.Condition(), MINUTE)
    assert clock.waiting == 0


def test_waiting_for_a_waiter_that_never_comes_raises() -> None:
    """until_waiting gives up after the clock's patience."""
    clock = FakeClock(patience=timedelta(milliseconds=20))
    with pytest.raises(TimeoutError, match="0 threads wait for the clock, not 1"):
        clock.until_waiting()
