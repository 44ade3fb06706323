"""A message that azure-servicebus raises at breaks nothing, and ends among the dead letters."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloudq.core.driver import Ack, Final
from cloudq.emulators.service_bus.broker.address import Address
from cloudq.emulators.service_bus.broker.api import Message
from tests.integration.processes import wait_until
from tests.integration.service_bus.place import ORDERED, PLAIN, Place
from tests.unit.drivers.service_bus.test_unreadable import HEADER, nested

pytestmark = pytest.mark.slow

LEASE = timedelta(minutes=1)
DEEP = HEADER + nested(65)


def put_deep(place: Place, queue: str, session: str | None = None) -> None:
    message = Message(payload=DEEP, session_id=session)
    place.emulator.call(place.emulator.broker.send, Address(queue), [message])


def test_a_value_that_is_nested_too_deep_leaves_the_link_open(place: Place) -> None:
    """It arrives between others, which are settled by the link that brought all three."""
    place.make(PLAIN, LEASE)
    driver = place.app.driver()
    place.send("effect", [1])
    put_deep(place, PLAIN)
    place.send("effect", [2])
    first, deep, last = driver.receive(PLAIN, limit=3, wait=timedelta(seconds=60), lease=LEASE)
    assert "nesting exceeds maximum depth of 64" in (deep.undecodable or "")
    assert nested(65) == deep.body
    links = place.emulator._listener.connections
    results = driver.settle([Final(lease=each.lease, step=Ack()) for each in (first, deep, last)])
    assert [None, None, None] == [result.error for result in results]
    assert links == place.emulator._listener.connections
    assert place.is_empty()


@pytest.mark.parametrize("queue", [PLAIN, ORDERED])
def test_it_ends_among_the_dead_letters(place: Place, queue: str) -> None:
    """At its first delivery, also in a session. There it can be listed and shown; what came with it has run."""
    place.make(queue, LEASE, max_deliveries=3)
    if queue == PLAIN:
        put_deep(place, queue)
        place.send("effect", [1])
    else:
        place.app.send_many([place.app.tasks["step"].options(ordering_key="a").call(key="a", n=1)])
        put_deep(place, queue, "a")
        place.app.send_many([place.app.tasks["step"].options(ordering_key="a").call(key="a", n=2)])
    place.start("--queue", queue)
    wait_until(lambda: place.counts(queue).dead_letter == 1 and place.is_empty(queue), within=60, what="it is put away")
    ran = len(place.effects()) + sum(done for _, _, done in place.steps())
    assert (1 if queue == PLAIN else 2) == ran
    assert "nesting exceeds maximum depth of 64" in place.cli("dlq", "list", queue, "--json")
    assert 1 == place.log().count("nesting exceeds")
