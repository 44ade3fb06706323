"""`FakeClock`: time that passes only when a test says so."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from threading import Condition, RLock, local
from uuid import uuid4

from cloudq.core.clock import later
from cloudq.core.shield import shielded

START = datetime(2026, 1, 1, tzinfo=UTC)
# A wait that nobody ends would hang the test-suite: after this much real time it is an error instead.
PATIENCE = timedelta(seconds=30)


class FakeClock:
    """A `cloudq.core.clock.Clock` that stands still until `advance` moves it. Thread-safe.

    It can do what real clocks do: be set (`step`: only the wall clock moves) and be suspended with its machine
    (`suspend`: time passes, and nobody who waits notices).

    A task may move it: a time limit that strikes just then is raised once all who wait are woken.

    A thread that looks at `elapsed`, is held up by a busy machine while time is moved on, and waits only then would
    wait for a moment that has passed: a wait ends at once if time was moved on since its thread's last look.

    Example:
        >>> clock = FakeClock()
        >>> clock.advance(timedelta(hours=1))
        >>> clock.now().isoformat()
        '2026-01-01T01:00:00+00:00'

    Args:
        start: The first moment, aware.
        patience: How much real time a wait may take before it raises.
    """

    def __init__(self, start: datetime = START, *, patience: timedelta = PATIENCE) -> None:
        if start.tzinfo is None:
            raise ValueError(f"start is {start}: it has no UTC offset")
        self._patience = patience
        self.boot = uuid4().hex
        """What `elapsed` counts from: drivers that store it compare it with that of the same clock only."""
        # Taken by itself, in a single step: a Condition's `__enter__` is Python code, and a task's time limit could
        # strike in it, with the lock taken.
        self._lock = RLock()
        self._changed = Condition(self._lock)
        # All below is guarded by that lock.
        self._now = start.astimezone(UTC)
        self._elapsed = timedelta(0)
        self._awake = timedelta(0)  # what waits are measured by
        self._waited_on: Counter[Condition] = Counter()
        self._looked = local()  # `at`: the value of `_awake` when this thread looked last

    def now(self) -> datetime:
        """The fake time, aware, in UTC."""
        with self._lock:
            return self._now

    def elapsed(self) -> timedelta:
        """The fake time since the clock was made; `step` doesn't move it."""
        with self._lock:
            self._looked.at = self._awake
            return self._elapsed

    def step(self, delta: timedelta) -> None:
        """Sets the wall clock, forwards or backwards. No time passes, and nobody is woken."""
        with self._lock:
            self._now = later(self._now, delta)

    def suspend(self, delta: timedelta) -> None:
        """Has the machine sleep: time passes, but not for those who wait, who are not woken either.

        Raises:
            ValueError: `delta` is negative.
        """
        if delta < timedelta(0):
            raise ValueError(f"delta is {delta}: time doesn't run backwards")
        with self._lock:
            self._now = later(self._now, delta)
            self._elapsed += delta

    @shielded
    def advance(self, delta: timedelta) -> None:
        """Moves the time on and wakes everybody who waits; those whose time hasn't come wait again.

        Raises:
            ValueError: `delta` is negative.
        """
        if delta < timedelta(0):
            raise ValueError(f"delta is {delta}: time doesn't run backwards")
        with self._lock:
            self._now = later(self._now, delta)
            self._elapsed += delta
            self._awake += delta
            self._looked.at = self._awake
            conditions = list(self._waited_on)
        # Not under our own lock: a waiter holds its condition's lock while it takes ours.
        for condition in conditions:
            with condition:
                condition.notify_all()

    def wait(self, condition: Condition, timeout: timedelta | None) -> bool:
        """Waits on `condition` until somebody notifies it or `timeout` of fake time has passed.

        Returns:
            `False` if the fake time ran out. An `advance` that is too short wakes it, too, and so does one that came
            between this thread's last look at `elapsed` and now: check in a loop.

        Raises:
            TimeoutError: In real time, nobody notified or advanced within the clock's patience: the test is broken.
        """
        # The caller holds the condition's lock until it waits, so an `advance` from here on can't be missed:
        #   waiter   lock(condition)  register ──────────── wait (unlocks) ──▶ woken
        #   advance            move the time, find it ─ lock(condition) blocks ─ notify
        with self._lock:
            deadline = None if timeout is None else self._awake + timeout
            over = deadline is not None and deadline <= self._awake
            moved = deadline is not None and getattr(self._looked, "at", self._awake) < self._awake
            self._looked.at = self._awake
            if not (over or moved):
                self._waited_on[condition] += 1
                self._changed.notify_all()
        if over or moved:
            condition.wait(0)  # lets others have the lock, as a wait does
            return not over
        try:
            woken = condition.wait(self._patience.total_seconds())
        finally:
            with self._lock:
                self._waited_on[condition] -= 1
                if not self._waited_on[condition]:
                    del self._waited_on[condition]
                self._looked.at = self._awake
                passed = deadline is not None and self._awake >= deadline
        if not woken and not passed:
            raise TimeoutError(
                f"a wait of {timeout} on a FakeClock was neither notified nor ended by advance() "
                f"within {self._patience.total_seconds():g} real seconds"
            )
        return not passed

    @property
    def waiting(self) -> int:
        """How many threads wait for this clock now."""
        with self._lock:
            return self._waited_on.total()

    def until_waiting(self, count: int = 1) -> None:
        """Blocks until at least `count` threads wait for this clock, so that an `advance` reaches them.

        Raises:
            TimeoutError: That didn't happen within the clock's patience (real time).
        """
        with self._lock:
            if not self._changed.wait_for(lambda: self._waited_on.total() >= count, self._patience.total_seconds()):
                raise TimeoutError(f"{self._waited_on.total()} threads wait for the clock, not {count}")
