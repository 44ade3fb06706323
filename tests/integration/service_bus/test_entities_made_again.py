"""A queue that is deleted and made again while programs use it, as it was or with other settings."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloudq.core.driver import Ack, Final
from cloudq.emulators.service_bus.broker.settings import QueueSettings
from cloudq.errors import LeaseLost, QueueNotFound, UnsupportedError
from tests.integration.processes import unexplained, wait_until
from tests.integration.service_bus.place import ORDERED, PLAIN, Place

pytestmark = pytest.mark.slow

LEASE = timedelta(minutes=1)
WAIT = timedelta(seconds=60)


def delete(place: Place, queue: str) -> None:
    place.emulator.call(place.emulator.broker.entities.delete_queue, queue)


def test_a_worker_goes_on_with_the_new_one(place: Place) -> None:
    """Without a restart: with a shorter lock, and again after it had sessions for a while, which is named."""
    place.make(PLAIN, LEASE)
    worker = place.start()
    place.send("effect", [1])
    wait_until(lambda: place.ran()[1] and place.is_empty(), within=60, what="the first has run")

    delete(place, PLAIN)
    place.make(PLAIN, timedelta(seconds=4))
    place.send("long", [2], seconds=5.0)
    wait_until(lambda: place.ran()[2] and place.is_empty(), within=60, what="one of more than a lock has run")

    delete(place, PLAIN)
    place.emulator.create_queue(PLAIN, QueueSettings(requires_session=True))
    named = "queue 'default' has sessions, though its name doesn't end in .fifo"
    wait_until(lambda: named in place.log(), within=60, what="the worker says what is wrong")
    with pytest.raises(UnsupportedError, match=named):
        place.app.tasks["effect"].send(n=9)

    delete(place, PLAIN)
    place.make(PLAIN, LEASE)
    place.send("effect", [3])
    wait_until(lambda: place.ran()[3] and place.is_empty(), within=60, what="the last has run")
    assert {1: 1, 2: 1, 3: 1} == place.ran()
    assert worker.poll() is None
    assert [] == unexplained(place.log())


def test_a_worker_of_sessions_goes_on_with_the_new_one(place: Place) -> None:
    """Also after the queue had no sessions for a while, which is named."""

    def send(n: int) -> None:
        place.app.tasks["step"].options(ordering_key="a").send(key="a", n=n)

    def done(n: int) -> bool:
        return ("a", n, True) in place.steps()

    place.make(ORDERED, LEASE)
    worker = place.start("--queue", ORDERED)
    send(1)
    wait_until(lambda: done(1) and place.is_empty(ORDERED), within=60, what="the first has run")
    delete(place, ORDERED)
    place.make(ORDERED, timedelta(seconds=5))
    send(2)
    wait_until(lambda: done(2) and place.is_empty(ORDERED), within=60, what="the second has run")
    delete(place, ORDERED)
    place.emulator.create_queue(ORDERED)
    named = "queue 'orders.fifo' has no sessions, though its name ends in .fifo"
    wait_until(lambda: named in place.log(), within=60, what="the worker says what is wrong")
    delete(place, ORDERED)
    place.make(ORDERED, LEASE)
    send(3)
    wait_until(lambda: done(3) and place.is_empty(ORDERED), within=60, what="the last has run")
    assert worker.poll() is None
    assert [] == unexplained(place.log())


@pytest.mark.parametrize("queue", [PLAIN, ORDERED])
def test_what_was_in_hand_is_lost_with_the_queue(place: Place, queue: str) -> None:
    """Its settlement says so at once, and nothing of the new queue is settled in its stead."""
    place.make(queue, LEASE)
    driver = place.app.driver()
    task = place.app.tasks["step"].options(ordering_key="a")
    task.send(key="a", n=1) if queue == ORDERED else place.send("effect", [1])
    (old,) = driver.receive(queue, limit=1, wait=WAIT, lease=LEASE)
    delete(place, queue)
    (result,) = driver.settle([Final(lease=old.lease, step=Ack())])
    assert isinstance(result.error, LeaseLost | QueueNotFound)
    place.make(queue, LEASE)
    task.send(key="a", n=1) if queue == ORDERED else place.send("effect", [1])
    (result,) = driver.settle([Final(lease=old.lease, step=Ack())])
    assert isinstance(result.error, LeaseLost)
    assert 1 == place.counts(queue).active
