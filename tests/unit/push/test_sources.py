"""Where a push comes from, and so how it is settled: the backend's own messages, or outside events."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from cloudq import App
from cloudq.core.driver import Ack, Release
from cloudq.core.failure import Failure
from cloudq.core.outcome import Acked, DeadLettered, Retried
from cloudq.core.push import PushRequest
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import PushRefused
from cloudq.push.sources import RELEASE_UNCOUNTED, Arrival, Arrivals, Backend, Events
from tests.unit.push.fakes import push

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RECEIVED = timedelta(hours=3)
DEADLINE = timedelta(minutes=7)
EVENT = {"ce-specversion": "1.0", "ce-id": "e1", "ce-source": "/shop", "ce-type": "t"}


def request(headers: dict[str, str], body: bytes) -> PushRequest:
    return PushRequest(headers=headers, body=body, received_at=NOW, received=RECEIVED)


def arrivals(app: App) -> Arrivals:
    return Arrivals(app, app.driver(), DEADLINE)


def event(app: App, **changed: str) -> Arrival:
    headers = {**EVENT, "content-type": "application/json", **changed}
    return arrivals(app).decode(request(headers, json.dumps({"n": 1}).encode()))


def test_a_message_of_the_backend(backend):
    """It is told by its headers; its answer is the driver's."""
    app, _ = backend
    arrival = arrivals(app).decode(request(*push("t", {"n": 1})))
    assert isinstance(arrival.source, Backend)
    assert ("m1", "default") == (arrival.delivery.id, arrival.delivery.queue)
    lease = arrival.delivery.lease
    assert [200, 500, 500] == [
        arrival.source.answer(lease, step).status for step in (Ack(), Release(), RELEASE_UNCOUNTED)
    ]


def test_a_message_of_pub_sub_is_told_from_others_under_its_event_s_id(backend):
    """It keeps its name when it is sent again, though Pub/Sub doesn't count; an event that came by itself has none."""
    app, _ = backend

    def copy(number: str, *, subscription: str = "s") -> str | None:
        message = {"messageId": number, "attributes": {"cloudq-task": "t"}}
        body = json.dumps({"message": message, "subscription": subscription}).encode()
        return arrivals(app).decode(request({"content-type": "application/json"}, body)).delivery.copy

    assert copy("1") == copy("1")
    assert 3 == len({copy("1"), copy("2"), copy("1", subscription="another")})
    assert event(app).delivery.copy is None


def test_an_event_from_outside(backend):
    """Its lease is as long as its sender waits, counted from when the request came in, not by the wall clock."""
    app, _ = backend
    app.task("t", queue="orders")(_nothing)
    arrival = event(app)
    assert isinstance(arrival.source, Events)
    delivery = arrival.delivery
    assert ("e1", "orders") == (delivery.id, delivery.queue)
    lease = delivery.lease
    assert (RECEIVED + DEADLINE, NOW + DEADLINE) == (lease.ends, lease.expires_at)
    assert (lease.ends, lease.expires_at) == (lease.hard_end, lease.hard_limit)
    assert [200, 503, 503] == [
        arrival.source.answer(lease, step).status for step in (Ack(), Release(), RELEASE_UNCOUNTED)
    ]


def test_a_forged_push_is_no_event(backend):
    """One of the service's headers is there, the others aren't."""
    app, _ = backend
    with pytest.raises(PushRefused):
        event(app, **{"x-cloudtasks-queuename": "default"})
    with App("memory://").using(MemoryDriver()), pytest.raises(PushRefused, match="isn't this app's backend"):
        Arrivals(App("memory://"), MemoryDriver(), DEADLINE).decode(request(*push("t")))


def test_an_event_that_is_not_done_is_stored_in_its_queue(backend):
    """And is answered with 200 from there on; if it can't be stored, its sender has to send it again."""
    app, driver = backend
    app.task("t", queue="orders")(_nothing)
    arrival = event(app)
    queue = app.queue("orders")

    def settle() -> object:
        outcome = Retried(delay=timedelta(seconds=5), reason="again")
        return arrival.source.settle(queue, arrival.delivery, outcome, NOW)

    assert Ack() == settle()
    (copy,) = driver.stored("orders")
    assert ("e1", 1) == (copy.id, copy.attempt_base)
    assert Ack() == arrival.source.settle(queue, arrival.delivery, Acked(), NOW)
    driver.full = True
    assert isinstance(settle(), Release)


def test_a_dead_event_without_dead_letters_of_the_backend_s_own(backend):
    """It is copied to the dead-letter queue, with its reason."""
    app, driver = backend
    app.task("t", queue="orders")(_nothing)
    arrival = event(app)
    dead = DeadLettered(reason="no such order", failure=Failure(reason="no such order"))
    assert Ack() == arrival.source.settle(app.queue("orders"), arrival.delivery, dead, NOW)
    (item,) = driver.sent
    assert ("orders-dlq", "no such order") == (item.queue, item.failure and item.failure.reason)


def _nothing(n: int) -> None:
    del n
