"""From rows to messages: slices, order per key, and what becomes of what fails."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

import pytest

from cloudq.app import App
from cloudq.core.capabilities import Capabilities
from cloudq.core.message import Message
from cloudq.errors import BackendError, BackendUnavailable, MessageTooLarge, QueueNotFound, Throttled
from cloudq.outbox.rows import OutboxRow
from cloudq.relay.publishing import Publisher, Sorted
from cloudq.relay.resting import Resting
from cloudq.relay.verdicts import MOST_FAILURES
from cloudq.testing.clock import FakeClock
from tests.unit.relay.fakes import UNSIGNED_ALL, FakeOutbox, Refusing, messages

TEN = timedelta(seconds=10)


class Bench:
    """A publisher on a backend that a test breaks."""

    def __init__(self, app: App, driver: Refusing, clock: FakeClock) -> None:
        self.driver = driver
        self.resting = Resting(clock)
        self.publisher = Publisher(app.queue, self.resting, UNSIGNED_ALL)
        self.outbox = FakeOutbox(clock)

    def rows(self, *sent: Message) -> Sequence[OutboxRow]:
        return [self.outbox.rows[id_] for id_ in self.outbox.add(*sent)]

    def _may_go_on(self, _: timedelta) -> bool:
        self.slices += 1
        return True

    def publish(self, rows: Sequence[OutboxRow]) -> Sorted:
        done = Sorted([], [], [])
        self.slices = 0
        for part in self.publisher.publish(rows, self._may_go_on):
            done.published.extend(part.published)
            done.failed.extend(part.failed)
            done.parked.extend(part.parked)
        return done


def small(queue: str) -> Capabilities:
    """A backend that takes three messages a call, of 2,000 bytes together."""
    from msgspec.structs import replace

    from cloudq.drivers.memory.driver import MemoryDriver

    return replace(MemoryDriver().capabilities(queue), max_batch=3, max_batch_bytes=2_000)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def driver(clock: FakeClock) -> Refusing:
    return Refusing(clock=clock, capabilities=small)


@pytest.fixture
def bench(driver: Refusing, clock: FakeClock) -> Iterator[Bench]:
    app = App("memory://")
    with app.using(driver, clock=clock):
        yield Bench(app, driver, clock)


def test_full_calls(bench: Bench) -> None:
    """Messages of one queue go in calls of as many as the backend takes."""
    done = bench.publish(bench.rows(*messages("a", "b", "c", "d", "e", "f", "g")))

    assert [1, 2, 3, 4, 5, 6, 7] == sorted(done.published)
    assert ([3, 3, 1], 3) == (bench.driver.calls, bench.slices)
    assert ["a", "b", "c", "d", "e", "f", "g"] == bench.driver.order


def test_calls_keep_to_the_bytes(bench: Bench) -> None:
    """A call has no more bytes than the backend takes."""
    large = [Message(id=id_, task="t", payload={"text": "x" * 1_200}, queue="emails") for id_ in "abc"]
    done = bench.publish(bench.rows(*large))

    assert [1, 2, 3] == done.published
    assert ([1, 1, 1], 3) == (bench.driver.calls, bench.slices)


def test_small_ones_behind_a_large_one(bench: Bench) -> None:
    """What doesn't fit beside a large message goes into further calls, of as many as the backend takes."""
    large = Message(id="l", task="t", payload={"text": "x" * 1_750}, queue="emails")
    bench.publish(bench.rows(large, *messages("a", "b", "c", "d")))

    assert ([1, 3, 1], 3) == (bench.driver.calls, bench.slices)


def test_one_of_a_key_a_call(bench: Bench) -> None:
    """Of an ordering key a call has one message, and the next one follows it; other keys fill the calls up."""
    one, two = messages("a1", "a2", queue="q.fifo", key="a"), messages("b1", "b2", queue="q.fifo", key="b")
    done = bench.publish(bench.rows(*one, *two, *messages("c1", queue="q.fifo", key="c")))

    assert 5 == len(done.published)
    assert ["a1", "b1", "c1", "a2", "b2"] == bench.driver.order
    assert [3, 2] == bench.driver.calls


def test_a_failure_holds_back_its_key_alone(bench: Bench) -> None:
    """What follows on the key of a message that failed isn't tried; other keys go on."""
    bench.driver.errors["a1"] = Throttled("slowly")
    rows = bench.rows(*messages("a1", "a2", queue="q.fifo", key="a"), *messages("b1", "b2", queue="q.fifo", key="b"))
    done = bench.publish(rows)

    assert ["b1", "b2"] == bench.driver.order
    assert [1] == [failed.id for failed in done.failed]
    assert not done.parked


@pytest.mark.parametrize("error", [MessageTooLarge("too large"), QueueNotFound("no such queue")])
def test_refused_for_good(bench: Bench, error: Exception) -> None:
    """A message that no other try helps is parked with why, and holds its key back; the others are published."""
    bench.driver.errors["a1"] = error
    rows = bench.rows(*messages("a1", "a2", queue="q.fifo", key="a"), *messages("x"))
    done = bench.publish(rows)

    assert ["x"] == bench.driver.order
    assert [(1, f"{type(error).__name__}: {error}")] == [(parked.id, parked.why) for parked in done.parked]
    assert not done.failed


def test_unreadable(bench: Bench) -> None:
    """A row that isn't a message is parked; those beside it are published."""
    rows = bench.rows(*messages("a", "b"))
    bench.outbox.spoil(1, b"{")
    done = bench.publish([bench.outbox.rows[row.id] for row in rows])

    assert ["b"] == bench.driver.order
    assert [1] == [parked.id for parked in done.parked]
    assert "UndecodableError" in done.parked[0].why


def test_not_a_queue(bench: Bench) -> None:
    """A row whose queue has no name of one is parked."""
    done = bench.publish(bench.rows(*messages("a", queue="no queue"), *messages("b")))

    assert [1] == [parked.id for parked in done.parked]
    assert ["b"] == bench.driver.order


def test_a_queue_that_is_down_rests(bench: Bench) -> None:
    """After a call of which nothing was stored its queue isn't tried any more; others are."""
    bench.driver.errors["emails"] = BackendUnavailable("away")
    done = bench.publish(bench.rows(*messages("a", "b", "c", "d", "e"), *messages("x", queue="reports")))

    assert ["x"] == bench.driver.order
    assert [1, 2, 3] == [failed.id for failed in done.failed]
    assert ["emails"] == bench.resting.queues()
    assert [timedelta(seconds=1)] * 3 == [failed.again_in for failed in done.failed]


def test_an_unknown_failure_ends_parked(bench: Bench) -> None:
    """What nobody knows is tried again, longer and longer after, and parked in the end."""
    from msgspec.structs import replace

    bench.driver.errors["a"] = BackendError("strange")
    (row,) = bench.rows(*messages("a"))
    first = bench.publish([row])
    later = bench.publish([replace(row, attempts=MOST_FAILURES - 2)])
    last = bench.publish([replace(row, attempts=MOST_FAILURES - 1)])

    assert timedelta(seconds=1) == first.failed[0].again_in
    assert timedelta(seconds=30) == later.failed[0].again_in
    assert [1] == [parked.id for parked in last.parked]
    assert [] == bench.resting.queues()


def test_a_backend_that_cant_be_opened(clock: FakeClock) -> None:
    """It parks nothing: its queues rest."""
    app = App("nothing://here")
    resting = Resting(clock)
    rows = FakeOutbox(clock)
    ids = rows.add(*messages("a"))
    parts = list(Publisher(app.queue, resting, UNSIGNED_ALL).publish([rows.rows[id_] for id_ in ids], lambda _: True))

    assert [1] == [failed.id for part in parts for failed in part.failed]
    assert ["emails"] == resting.queues()


def test_no_time_left(bench: Bench) -> None:
    """Before each call it asks whether so much time is left; if not, the rest isn't tried."""
    asked: list[timedelta] = []

    def may_go_on(deadline: timedelta) -> bool:
        asked.append(deadline)
        return len(asked) == 1

    parts = list(bench.publisher.publish(bench.rows(*messages("a", "b", "c", "d")), may_go_on))

    assert ["a", "b", "c"] == bench.driver.order
    assert [[1, 2, 3]] == [part.published for part in parts]
    assert [timedelta(seconds=15)] * 2 == asked
