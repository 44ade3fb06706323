"""A store that is down for half an hour, and what workers call meanwhile: in fake time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any, NamedTuple

import pytest

from cloudq.app import App
from cloudq.core.delivery import Delivery
from cloudq.core.driver import Final, Lease, Outgoing, PullDriver
from cloudq.core.processor import Processor
from cloudq.errors import StoreUnavailable
from cloudq.running import processing
from cloudq.stores.memory import MemoryStore
from cloudq.testing.clock import FakeClock
from tests.unit.core.claims_for_tests import StoreClaims

OUTAGE = timedelta(minutes=30)
WINDOW = timedelta(minutes=5)
DOWN = StoreUnavailable("no route to the store")


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


@contextmanager
def claimed(monkeypatch: pytest.MonkeyPatch, clock: FakeClock) -> Iterator[StoreClaims]:
    """Whatever edge is made within claims its keys in a store of the test's."""
    claims = StoreClaims(MemoryStore(clock))
    with monkeypatch.context() as patch:
        patch.setattr(processing, "Processor", partial(Processor, claims=claims))
        yield claims


Ran = list[tuple[str, int]]


def declare(app: App, ran: Ran, **options: Any) -> Callable[..., None]:
    """A task with a key that notes which attempt it ran in."""
    from cloudq import Context

    @app.task("work", idempotency_key="{key}", **options)
    def work(context: Context, key: str) -> None:
        ran.append((key, context.attempt))

    return work
