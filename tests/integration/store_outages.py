"""A store that is down for half an hour, and what workers call meanwhile: in fake time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from cloudq.app import App
from cloudq.core.delivery import Delivery
from cloudq.core.driver import Final, Lease, Outgoing, PullDriver
from cloudq.errors import StoreRefused, StoreUnavailable
from cloudq.stores.memory import MemoryStore
from cloudq.testing.clock import FakeClock

OUTAGE = timedelta(minutes=30)
WINDOW = timedelta(minutes=5)


class CallMade(NamedTuple):
    """One call of a driver.

    Attributes:
        at: When, by the clock of spans.
        method: Which.
        messages: The messages that it was about; none for a poll.
    """

    at: timedelta
    method: str
    messages: tuple[str, ...]


class Recorder:
    """A driver over another one, whose calls are recorded."""

    def __init__(self, driver: PullDriver, clock: FakeClock) -> None:
        self.driver = driver
        self.clock = clock
        self.made: list[CallMade] = []
        self._of: dict[int, str] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.driver, name)

    def _note(self, method: str, messages: Sequence[str]) -> None:
        self.made.append(CallMade(self.clock.elapsed(), method, tuple(messages)))

    def send(self, outgoing: Sequence[Outgoing]) -> Any:
        self._note("send", [one.id for one in outgoing])
        return self.driver.send(outgoing)

    def receive(self, queue: str, *, limit: int, wait: timedelta, lease: timedelta) -> Sequence[Delivery]:
        deliveries = self.driver.receive(queue, limit=limit, wait=wait, lease=lease)
        self._of.update({id(one.lease): one.id for one in deliveries})
        self._leases = getattr(self, "_leases", []) + [one.lease for one in deliveries]  # so that no id is used twice
        self._note("receive", [one.id for one in deliveries])
        return deliveries

    def settle(self, finals: Sequence[Final]) -> Any:
        self._note("settle", [self._of[id(one.lease)] for one in finals])
        return self.driver.settle(finals)

    def extend(self, leases: Sequence[Lease], by: timedelta) -> Any:
        self._note("extend", [self._of[id(one)] for one in leases])
        return self.driver.extend(leases, by)


def busiest(calls: Sequence[CallMade], *, window: timedelta = WINDOW) -> int:
    """The most of these calls in any window of time."""
    moments = sorted(call.at for call in calls)
    return max((sum(first <= at < first + window for at in moments) for first in moments), default=0)


class Troubled:
    """A store in memory that has trouble for a while.

    Attributes:
        trouble: Called before each call: may raise, or let time pass; `None`: all is well.
        asked: How many calls were made.
    """

    def __init__(self, clock: FakeClock) -> None:
        self.trouble: Callable[[], None] | None = None
        self.asked = 0
        self._store = MemoryStore(clock)

    @property
    def notes(self) -> Any:
        """The store's notes, which have the same trouble."""
        return _Part(self, self._store.notes)

    def __getattr__(self, name: str) -> Any:
        return getattr(_Part(self, self._store), name)


class _Part:
    """A store, or its notes, each of whose calls may have trouble."""

    def __init__(self, troubled: Troubled, part: object) -> None:
        self._troubled = troubled
        self._part = part

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._part, name)

        def call(*args: Any, **options: Any) -> Any:
            self._troubled.asked += 1
            if self._troubled.trouble is not None:
                self._troubled.trouble()
            return method(*args, **options)

        return call


def raising(error: Exception) -> Callable[[FakeClock], Callable[[], None]]:
    """A store that fails at once."""

    def make(_: FakeClock) -> Callable[[], None]:
        def fail() -> None:
            raise error

        return fail

    return make


def hanging(clock: FakeClock) -> Callable[[], None]:
    """A store that says nothing until its time limit is over."""

    def hang() -> None:
        clock.advance(timedelta(seconds=5))
        raise StoreUnavailable("it didn't answer within 5 s")

    return hang


def slow(clock: FakeClock) -> Callable[[], None]:
    """A store whose calls take two seconds."""
    return lambda: clock.advance(timedelta(seconds=2))


TROUBLES: dict[str, Callable[[FakeClock], Callable[[], None]]] = {
    "down": raising(StoreUnavailable("no route to the store")),
    "hanging": hanging,
    "full": raising(StoreRefused("the disk that holds the store is full")),
    "permission refused": raising(StoreRefused("the role may not write to the table")),
}


Ran = list[tuple[str, int]]


def declare(app: App, ran: Ran, **options: Any) -> Callable[..., None]:
    """A task with a key that notes which attempt it ran in."""
    from cloudq import Context

    @app.task("work", idempotency_key="{key}", **options)
    def work(context: Context, key: str) -> None:
        ran.append((key, context.attempt))

    return work
