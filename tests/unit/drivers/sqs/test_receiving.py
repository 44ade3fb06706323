"""Receiving: one long poll, and what is made of what it brings."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloudq.core import wire
from cloudq.core.driver import Release
from cloudq.core.failure import Failure
from cloudq.core.message import Message
from cloudq.core.outcome import DeadLettered, Retried
from cloudq.core.plan import plan
from cloudq.errors import (
    BackendError,
)
from cloudq.queues.cloud_queue import CloudQueue
from tests.unit.drivers.sqs.fakes import ENDPOINT, client_error
from tests.unit.drivers.sqs.using import LEASE, SECOND, item, parameters, receive, settle


def test_a_receive_is_one_long_poll(driver, sqs):
    """Of at most 20 s and 10 messages, with the lease as its visibility timeout; from a FIFO queue one message."""
    for queue in ("q", "q.fifo"):
        driver.receive(queue, limit=50, wait=timedelta(minutes=5), lease=timedelta(seconds=90.5))
    standard, fifo = parameters(sqs, "ReceiveMessage")
    assert (10, 20, 91) == tuple(
        standard[name] for name in ("MaxNumberOfMessages", "WaitTimeSeconds", "VisibilityTimeout")
    )
    assert 1 == fifo["MaxNumberOfMessages"]


def test_a_lease_is_counted_from_before_the_call(driver, sqs, clock):
    """A poll that took long has used up that much of it."""
    driver.send([item()])
    start, elapsed = clock.now(), clock.elapsed()
    sqs.fail = lambda operation: clock.advance(20 * SECOND)
    (delivery,) = receive(driver)
    assert (start + LEASE, start + timedelta(hours=12)) == (delivery.lease.expires_at, delivery.lease.hard_limit)
    assert (elapsed + LEASE, elapsed + timedelta(hours=12)) == (delivery.lease.ends, delivery.lease.hard_end)


def test_a_failing_poll_raises_in_our_words(driver, sqs):
    """With the SDK's error as the cause."""
    cause = client_error("AccessDenied", status=403)
    sqs.fail = lambda operation: cause if operation == "ReceiveMessage" else None
    with pytest.raises(BackendError) as caught:
        receive(driver)
    assert cause is caught.value.__cause__


def test_what_a_poll_brings_after_close_is_given_back(driver, sqs):
    """Nothing is returned, and the message is visible again at once."""
    driver.send([item()])
    sqs.fail = lambda operation: driver.close() if operation == "ReceiveMessage" else None
    assert [] == receive(driver)
    assert [0] == [
        entry["VisibilityTimeout"]
        for given in parameters(sqs, "ChangeMessageVisibilityBatch")
        for entry in given["Entries"]
    ]
    assert sqs.closed


def dead_letter(driver, clock, message):
    """Sends a message, dead-letters it as the edge does, and returns the failure."""
    CloudQueue("q", driver, clock=clock).send(message)
    (delivery,) = receive(driver)
    failure = Failure(reason="it broke", attempts=5, generation=message.generation)
    planned = plan(delivery, DeadLettered(reason="", failure=failure), driver.capabilities("q"), clock.now())
    assert driver.send(planned.copies)[0].error is None
    assert [None] == settle(driver, (delivery, planned.final))


def test_copies_of_one_message_are_told_apart(driver, clock):
    """Each has a name of its own, which it keeps when it is handed over again."""
    for _ in range(2):
        CloudQueue("q", driver, clock=clock).send(Message(id="1", task="t", queue="q"))
    (first,) = receive(driver, limit=1)
    assert [None] == settle(driver, (first, Release()))
    again = receive(driver, limit=2)
    assert 2 == len({one.copy for one in again})
    assert first.copy in {one.copy for one in again}


def test_a_natively_redriven_message_starts_anew(driver, sqs, clock):
    """Attempts count from one, and its generation is past that of its dead letter (semantics 1, 7)."""
    dead_letter(driver, clock, Message(id="1", task="t", queue="q", attempt_base=4, generation=4))
    moved = sqs.queues[f"{ENDPOINT}/1/q-dlq"].pop()
    moved["Attributes"]["ApproximateReceiveCount"] = "0"
    sqs.queues[f"{ENDPOINT}/1/q"].append(moved)
    (delivery,) = receive(driver)
    assert (1, 0, 6) == (delivery.attempt, delivery.message.attempt_base, delivery.message.generation)
    assert delivery.failure is None


def test_a_retry_s_copy_is_no_redrive(driver, clock):
    """A copy keeps its count of attempts, and the failure that it was made for."""
    CloudQueue("q", driver, clock=clock).send(Message(id="1", task="t", queue="q"))
    (delivery,) = receive(driver)
    outcome = Retried(delay=timedelta(minutes=5), reason="later", failure=Failure(reason="it broke", attempts=1))
    planned = plan(delivery, outcome, driver.capabilities("q"), clock.now())
    assert driver.send(planned.copies)[0].error is None
    settle(driver, (delivery, planned.final))
    (copy,) = receive(driver)
    assert (2, "it broke") == (copy.attempt, copy.failure.reason)


def test_what_is_none_of_the_sdks_errors_is_raised_as_it_is(driver, sqs):
    """And isn't its own cause, which would be a circle for whoever follows the chain."""
    slip = KeyError("a plugin's slip")
    sqs.fail = lambda operation: slip if operation == "ReceiveMessage" else None
    with pytest.raises(KeyError) as caught:
        receive(driver)
    assert slip is caught.value
    assert slip.__cause__ is None


FOREIGN = {
    "tenant": {"DataType": "String", "StringValue": "acme"},
    "picture": {"DataType": "Binary", "BinaryValue": b"\0x"},
}


def attributes_in(sqs, queue):
    (message,) = sqs.queues[f"{ENDPOINT}/1/{queue}"]
    return {name: one for name, one in message["MessageAttributes"].items() if not name.startswith("cloudq.")}


@pytest.mark.parametrize("decodable", [True, False])
def test_what_another_program_set_beside_a_body_goes_with_it(driver, sqs, clock, decodable):
    """All attributes are in `raw`, and are kept by the copies of a retry, a dead letter and a redrive."""
    body = wire.encode(Message(id="1", task="t", queue="q")).decode() if decodable else "no event"
    entry = {"Id": "0", "MessageBody": body, "MessageAttributes": FOREIGN}
    sqs.send_message_batch(QueueUrl=f"{ENDPOINT}/1/q", Entries=[entry])
    queue = CloudQueue("q", driver, clock=clock)
    (delivery,) = receive(driver)
    assert ["All"] == parameters(sqs, "ReceiveMessage")[0]["MessageAttributeNames"]
    assert FOREIGN == delivery.raw["MessageAttributes"] == delivery.foreign
    if decodable:
        later = Retried(delay=timedelta(minutes=5), reason="later", failure=Failure(reason="it broke", attempts=1))
        carry_out(driver, delivery, later, clock)
        assert FOREIGN == attributes_in(sqs, "q")
        (delivery,) = receive(driver)
    carry_out(driver, delivery, DeadLettered(reason="no", failure=Failure(reason="no")), clock)
    assert FOREIGN == attributes_in(sqs, "q-dlq")
    assert 1 == queue.dead_letters.redrive().redriven
    assert FOREIGN == attributes_in(sqs, "q")


def carry_out(driver, delivery, outcome, clock):
    planned = plan(delivery, outcome, driver.capabilities("q"), clock.now())
    for copy in planned.copies:
        assert driver.send([copy])[0].error is None
    settle(driver, (delivery, planned.final))


def test_a_body_with_a_byte_order_mark_says_so(driver, sqs):
    """As PowerShell's files have it: the reason names it, and the body stays as it was."""
    text = "\ufeff" + wire.encode(Message(id="1", task="t", queue="q")).decode()
    sqs.send_message_batch(QueueUrl=f"{ENDPOINT}/1/q", Entries=[{"Id": "0", "MessageBody": text}])
    (delivery,) = receive(driver)
    assert "a byte order mark (BOM)" in delivery.undecodable
    assert text.encode() == delivery.body
