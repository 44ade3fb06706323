"""The system's clock, and times as databases of cloudq store them."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudq.core import clock
from cloudq.core.clock import EPOCH, SYSTEM_CLOCK, from_micros, later, micros_now, monotonic, span_micros, to_micros
from cloudq.testing.clock import FakeClock

offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(timezones=offsets))
def test_micros_keep_every_moment_exactly(moment: datetime) -> None:
    """From year 1 to 9999, before 1970 too, at any offset, to the microsecond."""
    try:
        in_utc = moment.astimezone(UTC)
    except OverflowError:
        return  # a local time whose moment has no year in UTC
    assert in_utc == from_micros(to_micros(moment))


@given(st.integers(to_micros(datetime.min.replace(tzinfo=UTC)), to_micros(datetime.max.replace(tzinfo=UTC))))
def test_moments_keep_all_micros(micros: int) -> None:
    """The other way round; the moment is in UTC."""
    moment = from_micros(micros)
    assert (micros, UTC) == (to_micros(moment), moment.tzinfo)


def test_the_order_of_micros_is_the_order_of_time() -> None:
    """A moment a microsecond before 1970 is -1, not 0."""
    assert [-1, 0, 1] == [to_micros(EPOCH + timedelta(microseconds=step)) for step in (-1, 0, 1)]


def test_now_is_aware_and_in_utc() -> None:
    """And never before the time it was when we asked."""
    before = datetime.now(UTC)
    now = SYSTEM_CLOCK.now()
    assert now.tzinfo is UTC
    assert now >= before


def test_spans_never_run_backwards() -> None:
    """One reading after the other."""
    readings = [SYSTEM_CLOCK.elapsed() for _ in range(100)]
    assert sorted(readings) == readings


def test_spans_are_as_long_as_the_machines_own() -> None:
    """In the unit that they say, to the microsecond that they are rounded to."""
    reference = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    before = time.clock_gettime(reference)
    elapsed = SYSTEM_CLOCK.elapsed().total_seconds()
    assert before - 1e-5 <= elapsed <= time.clock_gettime(reference)


def test_spans_do_not_change_when_the_wall_clock_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """What asks for the time of day, in whatever way Python does it, isn't asked."""

    def not_asked(*_: object) -> float:
        raise AssertionError("a span was read from a clock that can be set")

    before = SYSTEM_CLOCK.elapsed()
    for name in ("time", "time_ns"):
        monkeypatch.setattr(time, name, not_asked)
    assert SYSTEM_CLOCK.elapsed() >= before


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="only Linux has a clock of its own for this")
def test_spans_count_the_time_asleep() -> None:
    """They are CLOCK_BOOTTIME's; CLOCK_MONOTONIC stands still while the machine is suspended."""
    assert clock._SPANS == time.CLOCK_BOOTTIME


def test_spans_of_two_processes_are_comparable() -> None:
    """They count from the same moment everywhere on one machine, so that a database may keep them."""
    show = "from cloudq.core.clock import SYSTEM_CLOCK; print(SYSTEM_CLOCK.elapsed().total_seconds())"
    before = SYSTEM_CLOCK.elapsed().total_seconds()
    theirs = float(subprocess.run([sys.executable, "-c", show], capture_output=True, check=True, text=True).stdout)
    assert before <= theirs <= SYSTEM_CLOCK.elapsed().total_seconds()


@pytest.mark.parametrize("timeout", [timedelta(0), timedelta(seconds=-5), timedelta(milliseconds=1)])
def test_a_wait_ends_when_its_time_is_over(timeout: timedelta) -> None:
    """It says so; a negative time is over at once."""
    condition = threading.Condition()
    with condition:
        assert SYSTEM_CLOCK.wait(condition, timeout) is False


@pytest.mark.parametrize("timeout", [None, timedelta(seconds=30), timedelta.max])
def test_a_wait_ends_when_it_is_notified(timeout: timedelta | None) -> None:
    """Also one without end, and one that is longer than the platform's longest."""
    condition = threading.Condition()
    woken: list[bool] = []
    entered = threading.Event()

    def wait() -> None:
        with condition:
            entered.set()
            woken.append(SYSTEM_CLOCK.wait(condition, timeout))

    waiter = threading.Thread(target=wait, daemon=True)
    waiter.start()
    assert entered.wait(60)
    with condition:  # had only once the waiter waits
        condition.notify_all()
    waiter.join(60)
    assert [True] == woken


def test_the_monotonic_clock_does_not_run_backwards() -> None:
    """It measures durations, in seconds."""
    first = monotonic()
    assert monotonic() >= first


def test_no_moment_is_later_than_the_last_one():
    """What would end after the year 9999 ends with it."""
    last = datetime.max.replace(tzinfo=UTC)
    assert last == later(datetime(2026, 1, 1, tzinfo=UTC), timedelta.max)
    assert last == later(last, timedelta(microseconds=1))
    assert datetime(2026, 1, 2, tzinfo=UTC) == later(datetime(2026, 1, 1, tzinfo=UTC), timedelta(days=1))
    assert datetime(2025, 12, 31, tzinfo=UTC) == later(datetime(2026, 1, 1, tzinfo=UTC), timedelta(days=-1))


def test_a_clock_put_in_the_place_of_the_systems_is_gone_by(monkeypatch: pytest.MonkeyPatch) -> None:
    """As tests that freeze the time do; the shorter way to the time knows nothing of it."""
    assert abs(SYSTEM_CLOCK.now() - datetime.now(UTC)) < timedelta(minutes=1)
    monkeypatch.setattr(time, "time", lambda: 86_400.5)
    assert datetime(1970, 1, 2, 0, 0, 0, 500_000, tzinfo=UTC) == SYSTEM_CLOCK.now()
    assert micros_now(SYSTEM_CLOCK) == 86_400_500_000


def test_micros_of_the_systems_clock_are_those_of_its_moments() -> None:
    """The shorter way to them leads to the same time."""
    before = to_micros(SYSTEM_CLOCK.now())
    now = micros_now(SYSTEM_CLOCK)
    assert before <= now <= to_micros(SYSTEM_CLOCK.now())


def test_micros_of_another_clock_are_that_clocks() -> None:
    """One that a test moves, for example."""
    assert micros_now(FakeClock(datetime(1970, 1, 2, tzinfo=UTC))) == 86_400_000_000


@given(st.timedeltas())
def test_micros_of_a_span_are_all_of_it(span: timedelta) -> None:
    """Backwards too."""
    assert span_micros(span) == span // timedelta(microseconds=1)
