"""`Breaker`: a task that fails again and again isn't started for a while.

```
 closed ── failures in a row ──▶ open ── pause ──▶ half open ─┬─ one run succeeds ─▶ closed
                                  ▲                           │
                                  └────────── it fails ◀──────┘
```
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from cloudq.core.safe_log import SafeLogger
from cloudq.core.spans import shown
from cloudq.errors import OptionError
from cloudq.flow.limit import Limit

logger = SafeLogger("cloudq")

ZERO: Final = timedelta(0)
LONGEST: Final = timedelta(days=1)
# While it is closed: as many as anybody asks for.
_ANY: Final = 1_000_000


class Breaker:
    """When a task counts as broken: as what it works with is, say.

    Args:
        failures: After how many failed runs in a row nothing of it is started, at least 1.
        pause: For how long. Then one run tries; if it fails, for as long again. At most a day.

    Raises:
        OptionError: One of them is out of its bounds.

    Example:
        ```python
        @app.task(breaker=cloudq.Breaker(failures=5, pause=timedelta(minutes=1)))
        def charge(order: int) -> None: ...
        ```
    """

    __slots__ = ("failures", "pause")

    def __init__(self, *, failures: int = 5, pause: timedelta = timedelta(minutes=1)) -> None:
        if isinstance(failures, bool) or not isinstance(failures, int) or failures < 1:
            raise OptionError(f"failures of a breaker is a number of 1 or more, not {failures!r}", hint="failures=5")
        if not isinstance(pause, timedelta) or not ZERO < pause <= LONGEST:
            raise OptionError(
                f"pause of a breaker is a positive timedelta of a day at most, not {pause!r}",
                hint="pause=timedelta(minutes=1)",
            )
        self.failures = failures
        self.pause = pause

    def __repr__(self) -> str:
        """As it is written."""
        return f"Breaker(failures={self.failures}, pause={self.pause!r})"


class Circuit(Limit):
    """One task's breaker in one process. A `Limit`.

    Args:
        name: What it breaks.
        breaker: When, and for how long.
        horizon: Beyond which nothing waits for it in hand.
    """

    def __init__(self, name: str, breaker: Breaker, *, horizon: timedelta) -> None:
        super().__init__(name)
        self._breaker = breaker
        self._horizon = horizon
        self._failures = 0  # in a row
        self._until: timedelta | None = None  # since it opened: when one may try
        self._trying = False

    @property
    def holds_back(self) -> str | None:
        """While it is open."""
        return None if self._until is None else "circuit open"

    def enter(self, now: timedelta) -> bool:
        """While it is closed, always; then one, once the pause is over."""
        if self._until is None:
            return True
        if self._trying or now < self._until:
            return False
        self._trying = True
        return True

    def undo(self) -> None:
        """The one that was to try doesn't."""
        self._trying = False

    def leave(self, now: timedelta, *, entered: timedelta, failed: bool | None) -> None:
        """A run has ended. What was started before it opened says nothing, unless it succeeds."""
        if failed is False:
            if self._until is not None:
                logger.info("the breaker of %s is closed again: it succeeds", self.name)
            self._failures, self._until, self._trying = 0, None, False
            return
        if self._until is not None:
            if entered < self._until:
                return
            self._trying = False  # since the end of the pause nothing has entered but the one that tries
        if failed:
            self._failures += 1
            if self._until is not None or self._failures >= self._breaker.failures:
                self._open(now)

    def room(self, now: timedelta, waiting: int) -> int:
        """Any number; none while it is open; then one."""
        if self._until is None:
            return _ANY
        return 0 if self._trying or now < self._until or waiting else 1

    def next_at(self, now: timedelta) -> timedelta | None:
        """The end of the pause."""
        return self._until if self._until is not None and self._until > now else None

    def wait(self, now: timedelta, place: int) -> timedelta | None:
        """What is left of the pause."""
        del place
        left = ZERO if self._until is None else self._until - now
        return left if left > self._horizon else None

    def _open(self, now: timedelta) -> None:
        self._until, self._trying = now + self._breaker.pause, False
        logger.warning(
            "%s has failed %d times in a row: nothing of it starts for %s, then one run tries",
            self.name,
            self._failures,
            shown(self._breaker.pause),
        )
