"""Looking at dead letters, and giving back what a look held."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from cloudq.core import wire
from cloudq.core.failure import Failure
from cloudq.core.message import Message
from cloudq.drivers.sqs import bodies, dead_letters
from cloudq.errors import (
    BackendUnavailable,
)
from tests.unit.drivers.sqs.fakes import ENDPOINT, client_error
from tests.unit.drivers.sqs.using import item


def test_a_look_gives_back_what_it_held(driver, sqs, clock):
    """More than one call brings, oldest first; afterwards all are visible."""
    driver.send([item(0, queue="q-dlq")])
    for number in range(1, 25):
        driver.send([item(number, queue="q-dlq", body=b"%d" % number)])
    found = driver.dead_letters("q").peek(limit=100)
    assert [b"{}", *(b"%d" % number for number in range(1, 25))] == [dead.body for dead in found]
    assert all(message["ReceiptHandle"] is None for message in sqs.queues[f"{ENDPOINT}/1/q-dlq"])


def test_a_look_that_fails_gives_back_what_it_held(driver, sqs):
    """The error is raised, and nothing stays hidden."""
    driver.send([item(number, queue="q-dlq") for number in range(10)])
    sqs.fail = _second_receive_fails(sqs)
    with pytest.raises(BackendUnavailable):
        driver.dead_letters("q").peek(limit=100)
    assert all(message["ReceiptHandle"] is None for message in sqs.queues[f"{ENDPOINT}/1/q-dlq"])


def _second_receive_fails(sqs):
    def fail(operation):
        second = operation == "ReceiveMessage" and sqs.operations().count("ReceiveMessage") == 2
        return client_error("InternalError", status=500) if second else None

    return fail


def test_chosen_ones_are_looked_for_until_found(driver, sqs):
    """A look for what lies in front ends with the first call."""
    driver.send([item(number, queue="q-dlq") for number in range(10)])
    driver.send([item(number, queue="q-dlq") for number in range(10)])
    letters = driver.dead_letters("q")
    first = letters.peek(limit=1)[0]
    before = sqs.operations().count("ReceiveMessage")
    assert first == letters.get(first.key)
    assert before + 1 == sqs.operations().count("ReceiveMessage")


def test_what_the_service_moved_here_says_so(driver, sqs):
    """It has no failure of ours: it was received too often. The number doesn't grow with our looks."""
    body = wire.encode(Message(id="1", task="t", queue="q"))
    driver.send([item(queue="q-dlq", body=body)])
    sqs.queues[f"{ENDPOINT}/1/q-dlq"][0]["Attributes"]["ApproximateReceiveCount"] = "20"
    letters = driver.dead_letters("q")
    reasons = [letters.peek(limit=1)[0].failure.reason for _ in range(3)]
    assert ["worker died or lease expired 20 times"] * 3 == reasons
    assert letters.peek(limit=1)[0].dead_at is None


def test_what_the_service_moved_here_keeps_its_last_error(driver, sqs):
    """A message that failed before, and then killed its worker, shows both."""
    failure = Failure(reason="retry", error_type="ValueError", error_message="no such order")
    driver.send([item(failure=failure)])
    moved = sqs.queues[f"{ENDPOINT}/1/q"].pop()
    assert bodies.FAILURE in moved["MessageAttributes"]
    sqs.queues[f"{ENDPOINT}/1/q-dlq"].append(moved)
    (dead,) = driver.dead_letters("q").peek(limit=1)
    expected = replace(failure, reason="worker died or lease expired 1 times", deliveries=1)
    assert expected == dead.failure


@pytest.mark.parametrize("bound", ["MOST", "MOST_BYTES"])
def test_a_look_has_a_bound_and_says_so(driver, sqs, monkeypatch, bound):
    """By number and by bytes of bodies: what is behind is told of, not hidden."""
    driver.send([item(number, queue="q-dlq", body=b"x" * 100) for number in range(10)])
    letters = driver.dead_letters("q")
    monkeypatch.setattr(dead_letters, bound, 10 if bound == "MOST" else 1_000)
    assert (10, False) == (len(letters.peek(limit=100)), letters.unseen)
    driver.send([item(number, queue="q-dlq", body=b"x" * 100) for number in range(10, 20)])
    driver.send([item(number, queue="q-dlq", body=b"x" * 100) for number in range(20, 30)])
    seen = len(letters.peek(limit=100))
    assert (True, True) == (10 <= seen <= 20, letters.unseen)
    assert all(message["ReceiptHandle"] is None for message in sqs.queues[f"{ENDPOINT}/1/q-dlq"])


def test_a_search_holds_no_bodies_of_others(driver, monkeypatch):
    """So it isn't ended by their bytes, and a purge holds none at all."""
    driver.send([item(number, queue="q-dlq", body=b"x" * 100) for number in range(10)])
    driver.send([item(number, queue="q-dlq", body=b"y" * 100) for number in range(10)])
    letters = driver.dead_letters("q")
    keys = [letter.key for letter in letters.peek(limit=100)]
    monkeypatch.setattr(dead_letters, "MOST_BYTES", 150)
    assert keys[-1] == letters.get(keys[-1]).key
    assert 20 == letters.purge(keys)


@pytest.mark.parametrize(("size", "full"), [(65_536, True), (65_300, True), (65_000, False), (1_024, False)])
def test_a_dead_letter_without_details_may_have_had_no_room_for_them(driver, sqs, size, full):
    """At the limit of its queue nothing fits beside a body: then it isn't sure that the service moved it."""
    sqs.send_message_batch(QueueUrl=f"{ENDPOINT}/1/q-dlq", Entries=[{"Id": "0", "MessageBody": "x" * size}])
    (dead,) = driver.dead_letters("q").peek(limit=10)
    assert full == ("no room" in dead.failure.reason)
    assert "lease expired" in dead.failure.reason


def test_a_look_that_outlives_its_lease_says_that_there_may_be_more(driver, sqs):
    """What it was brought first comes again: it ends, and doesn't pass for a look at all of them."""
    for number in range(25):
        driver.send([item(number, queue="q-dlq", body=b"%d" % number)])
    letters = driver.dead_letters("q")

    def slow(operation):
        for message in sqs.queues[f"{ENDPOINT}/1/q-dlq"] if operation == "ReceiveMessage" else ():
            message["ReceiptHandle"] = None  # its lease is over by then

    sqs.fail = slow
    assert (True, True) == (len(letters.peek(limit=100)) < 25, letters.unseen)
    sqs.fail = lambda operation: None
    assert (25, False) == (len(letters.peek(limit=100)), letters.unseen)
