"""Time as the emulator sees it: the machine's own, or one that a test moves by hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Protocol, runtime_checkable


class Clock(Protocol):
    """Where the emulator gets its time from. `cloudq.testing.FakeClock` is one, too."""

    def now(self) -> datetime:
        """The present moment, aware, in UTC."""
        ...


@runtime_checkable
class MovedClock(Protocol):
    """A clock that says when it was moved, so that what became due is dispatched without being asked for."""

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Has `listener` called, in whatever thread moves the clock, after each move."""
        ...

    def unsubscribe(self, listener: Callable[[], None]) -> None:
        """Undoes `subscribe`."""
        ...


@runtime_checkable
class AdvancingClock(Protocol):
    """A clock that is moved by hand."""

    def advance(self, delta: timedelta, /) -> None:
        """Moves the clock on."""
        ...


class SystemClock:
    """The machine's clock."""

    __slots__ = ()

    def now(self) -> datetime:
        """The wall-clock time."""
        return datetime.now(UTC)


class ManualClock:
    """A clock that stands still until `advance` moves it. Thread-safe.

    Example:
        >>> clock = ManualClock()
        >>> clock.advance(timedelta(days=1))
        >>> clock.now().isoformat()
        '2026-01-02T00:00:00+00:00'

    Args:
        start: The first moment, aware.
    """

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        if start.tzinfo is None:
            raise ValueError(f"start is {start}: it has no UTC offset")
        self._start = self._now = start.astimezone(UTC)
        self._lock = Lock()
        self._listeners: list[Callable[[], None]] = []

    def now(self) -> datetime:
        """The moment that the clock stands at."""
        with self._lock:
            return self._now

    def elapsed(self) -> timedelta:
        """How far it was moved: for a driver that works by the same clock."""
        with self._lock:
            return self._now - self._start

    def advance(self, by: timedelta) -> None:
        """Moves the clock on.

        Raises:
            ValueError: `by` is negative.
        """
        if by < timedelta(0):
            raise ValueError(f"by is {by}: time doesn't run backwards")
        with self._lock:
            self._now += by
            listeners = list(self._listeners)
        for listener in listeners:
            listener()

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Has `listener` called after each `advance`."""
        with self._lock:
            self._listeners.append(listener)

    def unsubscribe(self, listener: Callable[[], None]) -> None:
        """Undoes `subscribe`; one that isn't subscribed is no error."""
        with self._lock:
            if listener in self._listeners:
                self._listeners.remove(listener)


SYSTEM_CLOCK = SystemClock()
