"""Time as a dependency, so that leases, delays and back-offs are tested without waiting."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from threading import TIMEOUT_MAX, Condition
from types import BuiltinFunctionType
from typing import Final, Protocol

from cloudq.core.moments import Moments


class Clock(Protocol):
    """Where every part of cloudq gets its time from."""

    def now(self) -> datetime:
        """The wall-clock time, aware, in UTC: for what is stored or shown. It may be set, backwards too."""
        ...

    def elapsed(self) -> timedelta:
        """The time since a moment that stays the same while this machine runs: for all that measures a span.

        It can't be set, and it counts the time for which the machine was suspended. One reading alone says nothing; the
        difference of two is a span, also where they were taken in two processes of one machine.
        """
        ...

    def wait(self, condition: Condition, timeout: timedelta | None) -> bool:
        """Waits on `condition`, whose lock the caller holds, for at most `timeout` (`None`: without end).

        Time for which the machine was suspended doesn't count here. So a wait under a lease must be cut into slices of
        a second, with a look at `elapsed` after each.

        Returns:
            `False` if the time ran out. A wake-up without cause is possible: check the predicate in a loop.
        """
        ...


class SystemClock:
    """The machine's own clock."""

    __slots__ = ()

    def now(self) -> datetime:
        """The wall-clock time, aware, in UTC. Under freezegun a plain datetime, too: its own class can't be stored."""
        if isinstance(time.time, BuiltinFunctionType):
            return Moments.datetime.now(UTC)  # the same time, in a third of the time
        return Moments.datetime.fromtimestamp(time.time(), UTC)  # a test has put another clock in its place

    def elapsed(self) -> timedelta:
        """Linux's CLOCK_BOOTTIME; on macOS CLOCK_MONOTONIC, which counts suspended time there."""
        return _MICROSECOND * (time.clock_gettime_ns(_SPANS) // 1000)

    def wait(self, condition: Condition, timeout: timedelta | None) -> bool:
        """Waits on `condition` in real time."""
        return condition.wait(None if timeout is None else min(max(0.0, timeout.total_seconds()), TIMEOUT_MAX))


# time.monotonic() stands still while the machine is suspended (clock_gettime(2); CPython's pytime.c for macOS).
_SPANS: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

SYSTEM_CLOCK = SystemClock()
EPOCH = Moments.datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def later(moment: datetime, span: timedelta) -> datetime:
    """`span` after an aware moment, or the last one that there is: nothing ends because it would end after 9999."""
    return moment + min(span, Moments.datetime.max.replace(tzinfo=UTC) - moment)


def to_micros(moment: datetime) -> int:
    """Whole microseconds since 1970 (the unit that databases of cloudq store)."""
    return span_micros(moment - EPOCH)


def micros_now(clock: Clock) -> int:
    """`to_micros(clock.now())`; of the machine's own clock in a fifth of the time."""
    if clock is SYSTEM_CLOCK and isinstance(time.time, BuiltinFunctionType):
        return time.time_ns() // 1000
    return to_micros(clock.now())  # also where a test has put another clock in the system's place


def span_micros(span: timedelta) -> int:
    """Whole microseconds of a span."""
    # As `span // _MICROSECOND`, which takes four times as long: it makes long numbers of both.
    return (span.days * 86_400 + span.seconds) * 1_000_000 + span.microseconds


def from_micros(micros: int) -> datetime:
    """The moment, in UTC, that `to_micros` gave."""
    return EPOCH + timedelta(microseconds=micros)


def monotonic() -> float:
    """Seconds on a clock that is never set: for durations that are measured, not waited for."""
    return time.monotonic()
