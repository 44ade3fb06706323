"""`LimitedRuns`: limits at the edges that are handed one delivery at a time: pushes, Lambda, Functions.

```
 delivery ─▶ limits ─┬─ its turn is now, or within a second ─▶ claim ─▶ run ─▶ left
                     └─ later ─▶ snoozed: a copy that is due then, with its attempt
```

A push is never refused for it: a service that gets 429 or 503 slows down all of its queue.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from threading import Event
from typing import TYPE_CHECKING, Final

from cloudq.core.claiming import Begun, Claimer, Claims, KeyClaim, WatchedRun
from cloudq.core.delivery import Delivery
from cloudq.core.failure import words_of
from cloudq.core.message import Message
from cloudq.core.outcome import OUTCOMES, Acked, DeadLettered, Expired, Outcome, Retried, Snoozed, Why
from cloudq.core.safe_log import SafeLogger
from cloudq.errors import BackendError, ConfigurationError
from cloudq.flow.limit import Limit, enter
from cloudq.flow.seats import RENEW_AFTER
from cloudq.running.heartbeat import Heartbeat
from cloudq.running.limits import AppLimits

if TYPE_CHECKING:
    from cloudq.app import App

logger = SafeLogger("cloudq")

# How long a delivery may wait here for its turn: its caller waits, too, and its slot is taken.
PATIENCE: Final = timedelta(seconds=1)
_DOWN_DELAY: Final = timedelta(minutes=5)


class LimitedRuns:
    """What the `Processor` asks before a run, limits first. A `Claims`.

    Args:
        app: Whose tasks.
        claims: Asked after them.
        limits: The app's.
        heartbeat: Renews what a run holds; `None` for tools on a clock of their own.
    """

    def __init__(self, app: App, claims: Claims, limits: AppLimits, *, heartbeat: Heartbeat | None) -> None:
        self.clock = self._clock = app.clock
        self._heartbeat = heartbeat
        self._claims = claims
        self._limits = limits
        self._changed = threading.Condition()
        # Guarded by its lock, as all limits are.
        self._waiting: Counter[Limit] = Counter()
        self._asking: set[Limit] = set()

    def concerns(self, handler: Claimer, message: Message) -> bool:
        """Whether there are limits, or else a key or a note."""
        return self._limits.concern(message) or self._claims.concerns(handler, message)

    def unclaimed(self, handler: Claimer, message: Message) -> bool:
        """Whether the message runs without all that while the store is down."""
        return self._claims.unclaimed(handler, message)

    def unrun(self, message: Message, outcome: DeadLettered | Expired) -> None:
        """A message is dead-lettered, or expired, without a run of it."""
        self._claims.unrun(message, outcome)

    def reachable(self) -> bool:
        """Whether the store answers."""
        return self._claims.reachable()

    def begin(
        self, handler: Claimer, message: Message, delivery: Delivery, lease_lost: Event, until: timedelta | None
    ) -> Begun | Outcome:
        """Enters the limits, then claims; what can't start soon is snoozed."""
        limits = self._limits.of(delivery)
        if not limits:
            return self._claims.begin(handler, message, delivery, lease_lost, until)
        try:
            refused = self._admit(limits)
        except (BackendError, ConfigurationError) as error:
            return Snoozed(delay=_DOWN_DELAY, why=Why.STORE_DOWN, reason=f"the store of limits: {words_of(error)}")
        if refused is not None:
            for limit in limits:
                if not limit.is_idle:
                    self._tend(limit)  # it may have been given a seat too late
            ahead, delay = refused
            return Snoozed(delay=delay, why=Why.LIMITED, reason=f"the limit of {ahead.name} is reached")
        entered = _Entered(self, limits, self._tend)
        if self._heartbeat is not None and not all(limit.is_idle for limit in limits):
            self._heartbeat.add(entered)
        try:
            begun = None
            if self._claims.concerns(handler, message):
                begun = self._claims.begin(handler, message, delivery, lease_lost, until)
        except BaseException:
            entered.leave(None)
            raise
        if begun is not None and isinstance(begun, OUTCOMES):
            entered.leave(None)
            return begun
        return LimitedBegun(begun, entered.leave)

    def leave(self, limits: Sequence[Limit], entered: timedelta, failed: bool | None) -> None:
        """A run has ended, or wasn't begun. What others can use is given back, by a call of the store."""
        with self._changed:
            now = self._clock.elapsed()
            for limit in limits:
                limit.leave(now, entered=entered, failed=failed)
            tended = [limit for limit in limits if not limit.is_idle]
            self._changed.notify_all()
        for limit in tended:
            self._tend(limit)

    def _tend(self, limit: Limit) -> None:
        """Renews or gives back, if it is time; if somebody asks for it, after that, which may have done it."""
        try:
            with self._changed:
                while limit in self._asking:
                    self._clock.wait(self._changed, None)
                count = limit.wants(self._clock.elapsed(), self._waiting[limit], polling=False)
                if count:
                    self._ask(limit, count)
        except (BackendError, ConfigurationError) as error:
            logger.warning("the limit of %s can't be given back, and lapses: %s", limit.name, words_of(error))

    def _admit(self, limits: Sequence[Limit]) -> tuple[Limit, timedelta] | None:
        """Waits for a turn, but not for long. `None`: it may start; else the limit in the way, and when it may.

        Raises:
            BackendError: The store can't be reached, or refuses.
        """
        until = self._clock.elapsed() + PATIENCE
        with self._changed:
            while True:
                now = self._clock.elapsed()
                ahead = enter(limits, now)
                if ahead is None:
                    return None
                wait = ahead.wait(now, self._waiting[ahead])
                due = ahead.next_at(now)
                if wait is not None or now >= until:
                    return ahead, wait or max(PATIENCE, (due or now) - now)
                self._waiting[ahead] += 1
                try:
                    count = 0 if ahead in self._asking else ahead.wants(now, self._waiting[ahead], polling=False)
                    if count:
                        self._ask(ahead, count)
                    else:
                        self._clock.wait(self._changed, min(until, due or until) - now)
                finally:
                    self._waiting[ahead] -= 1
                    if not self._waiting[ahead]:
                        del self._waiting[ahead]

    def _ask(self, limit: Limit, count: int) -> None:
        """Asks for it, as the only one: answers would be noted in another order than the store gave them.

        Under the lock, which is let go of while the store is asked, as by a wait.
        """
        self._asking.add(limit)
        try:
            self._changed.release()
            try:
                answer = limit.ask(count)
            finally:
                self._changed.acquire()
            answer(self._clock.elapsed())
        except BaseException:
            limit.note_failure(self._clock.elapsed())
            raise
        finally:
            self._asking.discard(limit)
            self._changed.notify_all()


class _Entered:
    """Limits that a run has entered, renewed until they are left."""

    __slots__ = ("__weakref__", "_at", "_limits", "_runs", "_tend", "renew_at")

    def __init__(self, runs: LimitedRuns, limits: Sequence[Limit], tend: Callable[[Limit], None]) -> None:
        self._runs = runs
        self._limits = limits
        self._tend = tend
        # A moment late, if at all: then what tries after a breaker's pause isn't taken for a run from before it.
        self._at = runs.clock.elapsed()
        self.renew_at = self._at + RENEW_AFTER

    def renew(self) -> None:
        self.renew_at = self._runs.clock.elapsed() + RENEW_AFTER
        for limit in self._limits:
            if not limit.is_idle:
                self._tend(limit)

    def leave(self, failed: bool | None) -> None:
        limits, self._limits = self._limits, ()
        if limits:
            self._runs.leave(limits, self._at, failed)


class LimitedBegun:
    """A run that has entered its limits. See `cloudq.core.claiming.Begun`.

    Args:
        begun: Its claim or its note, if it has one.
        leave: Leaves the limits.
    """

    __slots__ = ("__weakref__", "_begun", "_leave")

    def __init__(self, begun: Begun | None, leave: Callable[[bool | None], None]) -> None:
        self._begun = begun
        self._leave = leave

    @property
    def claim(self) -> KeyClaim | None:
        """The claim of its key."""
        return None if self._begun is None else self._begun.claim

    @property
    def run(self) -> WatchedRun | None:
        """What notes it."""
        return None if self._begun is None else self._begun.run

    def end(self, outcome: Outcome, result: object) -> Outcome:
        """Ends the claim, and leaves the limits."""
        try:
            return outcome if self._begun is None else self._begun.end(outcome, result)
        finally:
            self._leave(has_failed(outcome))

    def give_up(self) -> None:
        """The run was interrupted."""
        if self._begun is not None:
            self._begun.give_up()
        self._leave(None)


def has_failed(outcome: Outcome) -> bool | None:
    """Whether a run with this outcome failed; `None` if it says nothing of its task."""
    if isinstance(outcome, Acked):
        return False
    return True if isinstance(outcome, DeadLettered) or (isinstance(outcome, Retried) and outcome.counted) else None
