"""`SQSDriver` over a fake SQS: what is called, and what becomes of failures."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from cloudq.core import wire
from cloudq.core.driver import Ack, Final, Outgoing, QueueMaker, QueueStats, Release
from cloudq.core.failure import Failure
from cloudq.core.message import Message
from cloudq.core.outcome import DeadLettered, Retried
from cloudq.core.plan import plan
from cloudq.drivers.sqs import SQSDriver, bodies
from cloudq.errors import (
    BackendError,
    BackendUnavailable,
    LeaseLost,
    MessageTooLarge,
    QueueNotFound,
    Throttled,
    UnsupportedError,
)
from cloudq.queues.cloud_queue import CloudQueue
from cloudq.testing.clock import FakeClock
from tests.unit.drivers.sqs.fakes import ENDPOINT, FakeSqs, client_error

LEASE = timedelta(seconds=60)
SECOND = timedelta(seconds=1)
ZERO = timedelta(0)


@pytest.fixture
def sqs():
    return FakeSqs("q", "q-dlq", "q.fifo", "q-dlq.fifo")


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def driver(sqs, clock):
    return SQSDriver("test", client=sqs, clock=clock, look_wait=ZERO)


def item(number=0, *, queue="q", body=b"{}", **options):
    return Outgoing(id=f"id-{number}", queue=queue, body=body, **options)


def receive(driver, queue="q", limit=10, lease=LEASE):
    return list(driver.receive(queue, limit=limit, wait=ZERO, lease=lease))


def settle(driver, *pairs):
    results = driver.settle([Final(lease=delivery.lease, step=step) for delivery, step in pairs])
    return [result.error for result in results]


def parameters(sqs, operation):
    return [given for called, given in sqs.calls if called == operation]


# ── sending ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_batch_is_one_call(driver, sqs):
    """Ten messages are one call; the queue's URL is asked for once."""
    for _ in range(2):
        results = driver.send([item(number) for number in range(10)])
        assert [None] * 10 == [result.error for result in results]
    assert ["GetQueueUrl", "SendMessageBatch", "SendMessageBatch"] == sqs.operations()


def test_with_an_account_no_url_is_asked_for(sqs):
    """The URL is put together, prefix included."""
    driver = SQSDriver("test", client=sqs, prefix="pre-", account="000000000001")
    assert QueueNotFound is type(driver.send([item()])[0].error)
    assert [f"{ENDPOINT}/000000000001/pre-q"] == [given["QueueUrl"] for given in parameters(sqs, "SendMessageBatch")]
    assert ["SendMessageBatch"] == sqs.operations()


def test_a_queue_whose_account_an_event_names_is_not_asked_for(sqs):
    """Nor its dead-letter queue; others are."""
    driver = SQSDriver("test", client=sqs, prefix="pre-")
    assert f"{ENDPOINT}/000000000001/pre-q" == driver.locate("q", "000000000001")
    for queue in ("q", "q-dlq", "other"):
        driver.send([item(queue=queue)])
    assert ["SendMessageBatch", "SendMessageBatch", "GetQueueUrl"] == sqs.operations()
    urls = [given["QueueUrl"] for given in parameters(sqs, "SendMessageBatch")]
    assert [f"{ENDPOINT}/000000000001/pre-q", f"{ENDPOINT}/000000000001/pre-q-dlq"] == urls


def test_a_failed_item_is_its_own(driver, sqs):
    """Of a batch that half failed, each failed item has its error and the others are stored."""
    sqs.fail_item = lambda _, entry: {"1": ("InternalError", False), "3": ("InvalidMessageContents", True)}.get(
        entry["Id"]
    )
    results = driver.send([item(number) for number in range(5)])
    assert [None, BackendUnavailable, None, BackendError, None] == [
        None if result.error is None else type(result.error) for result in results
    ]
    assert 3 == len(receive(driver))


def test_only_what_failed_is_tried_again(driver, sqs):
    """Through `CloudQueue`, an item that failed transiently is sent again, alone, and stored once."""
    failing = {"1", "2"}
    sqs.fail_item = lambda _, entry: ("InternalError", False) if entry["Id"] in failing else None
    messages = [Message(id=str(number), task="t", queue="q") for number in range(4)]
    sqs.fail = lambda operation: failing.clear() if len(sqs.calls) > 2 else None
    results = CloudQueue("q", driver).send_all(messages)
    assert [None] * 4 == [result.error for result in results]
    assert [4, 2] == [len(given["Entries"]) for given in parameters(sqs, "SendMessageBatch")]
    assert ["0", "1", "2", "3"] == sorted(delivery.id for delivery in receive(driver))


def test_a_failed_call_is_every_item_s_error(driver, sqs):
    """Nothing is raised: each item has the translated error, with the SDK's as its cause."""
    cause = client_error("ThrottlingException")
    sqs.fail = lambda operation: cause if operation == "SendMessageBatch" else None
    results = driver.send([item(1), item(2)])
    assert [Throttled, Throttled] == [type(result.error) for result in results]
    assert cause is results[0].error.__cause__


def test_a_batch_that_attributes_make_too_large_is_two_calls(driver, sqs):
    """The bytes that SQS counts decide, not those of the bodies."""
    failure = Failure(reason="x", traceback="y" * 4000)
    big = [item(n, queue="q-dlq", body=b"z" * (520 * 1024), failure=failure) for n in range(2)]
    assert [None, None] == [result.error for result in driver.send(big)]
    assert [1, 1] == [len(given["Entries"]) for given in parameters(sqs, "SendMessageBatch")]


def test_what_base64_makes_too_large_is_refused_alone(driver):
    """A body that isn't text and doesn't fit is MessageTooLarge; its neighbour is stored."""
    results = driver.send([item(1, body=b"\xff" * (900 * 1024)), item(2)])
    assert MessageTooLarge is type(results[0].error)
    assert "base64" in str(results[0].error)
    assert results[1].error is None


def test_fifo_parameters(driver, sqs):
    """Ordering key and native id become group and de-duplication id; the message's id where there is no native one."""
    driver.send([item(1, queue="q.fifo", ordering_key="customer-1", native_id="n")])
    driver.send([item(2, queue="q.fifo", ordering_key="Kunde \N{SNOWMAN}")])
    first, second = (given["Entries"][0] for given in parameters(sqs, "SendMessageBatch"))
    assert ("customer-1", "n") == (first["MessageGroupId"], first["MessageDeduplicationId"])
    assert "id-2" == second["MessageDeduplicationId"]
    assert 64 == len(second["MessageGroupId"])


def test_a_key_that_sqs_would_not_take_comes_back_as_it_was(driver):
    """Stored by its hash, the delivery's group is the key again."""
    message = Message(id="1", task="t", queue="q.fifo", ordering_key="Kunde " + "x" * 200)
    assert CloudQueue("q.fifo", driver).send(message).error is None
    (delivery,) = receive(driver, "q.fifo")
    assert message.ordering_key == delivery.group


def test_a_fairness_key_is_a_group_of_a_standard_queue(driver, sqs):
    """And no order: the delivery has no group."""
    driver.send([item(fairness_key="tenant-1")])
    assert "tenant-1" == parameters(sqs, "SendMessageBatch")[0]["Entries"][0]["MessageGroupId"]
    assert receive(driver)[0].group is None


@pytest.mark.parametrize(
    "refused",
    [
        item(queue="q.fifo"),
        item(queue="q.fifo", ordering_key="k", delay=SECOND),
        item(queue="q.fifo", ordering_key="k", fairness_key="k"),
        item(ordering_key="k"),
        item(delay=timedelta(minutes=15, seconds=1)),
    ],
    ids=["no key", "fifo delay", "fifo fairness", "order on standard", "too late"],
)
def test_what_a_queue_cannot_do_is_refused(driver, sqs, refused):
    """Before it is sent."""
    assert [UnsupportedError] == [type(result.error) for result in driver.send([refused])]
    assert "SendMessageBatch" not in sqs.operations()


# ── receiving ────────────────────────────────────────────────────────────────────────────────────────────


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
    start = clock.now()
    sqs.fail = lambda operation: clock.advance(20 * SECOND)
    (delivery,) = receive(driver)
    assert (start + LEASE, start + timedelta(hours=12)) == (delivery.lease.expires_at, delivery.lease.hard_limit)


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


# ── settling ─────────────────────────────────────────────────────────────────────────────────────────────


def held(driver, count=1, queue="q"):
    for number in range(count):
        key = f"k{number}" if queue.endswith(".fifo") else None
        driver.send([item(number, queue=queue, ordering_key=key)])
    deliveries = []
    while len(deliveries) < count:
        deliveries += receive(driver, queue)
    return deliveries


def test_acks_and_releases_are_one_call_each(driver, sqs):
    """However they are mixed."""
    deliveries = held(driver, 6)
    steps = [Ack(), Release(delay=30 * SECOND)] * 3
    assert [None] * 6 == settle(driver, *zip(deliveries, steps, strict=True))
    assert [3] == [len(given["Entries"]) for given in parameters(sqs, "DeleteMessageBatch")]
    (changed,) = parameters(sqs, "ChangeMessageVisibilityBatch")
    assert [30, 30, 30] == [entry["VisibilityTimeout"] for entry in changed["Entries"]]


def test_an_item_that_fails_to_settle_may_be_tried_again(driver, sqs):
    """A transient failure of one leaves its lease; the others are confirmed."""
    deliveries = held(driver, 3)
    sqs.fail_item = lambda _, entry: ("InternalError", False) if entry["Id"] == "1" else None
    errors = settle(driver, *((delivery, Ack()) for delivery in deliveries))
    assert [type(None), BackendUnavailable, type(None)] == [type(error) for error in errors]
    sqs.fail_item = lambda *_: None
    errors = settle(driver, *((delivery, Ack()) for delivery in deliveries))
    assert [LeaseLost, type(None), LeaseLost] == [type(error) for error in errors]


def test_a_call_that_fails_to_settle_may_be_tried_again(driver, sqs):
    """Each item has the error, and settles at the next try."""
    (delivery,) = held(driver)
    sqs.fail = lambda operation: client_error("InternalError", status=500)
    assert [BackendUnavailable] == [type(error) for error in settle(driver, (delivery, Ack()))]
    sqs.fail = lambda operation: None
    assert [None] == settle(driver, (delivery, Ack()))


def test_an_interrupted_settlement_may_be_tried_again(driver, sqs):
    """Ctrl-C in the middle of a call doesn't leave the lease as settled."""
    (delivery,) = held(driver)
    sqs.fail = lambda operation: KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        settle(driver, (delivery, Ack()))
    sqs.fail = lambda operation: None
    assert [None] == settle(driver, (delivery, Ack()))


@pytest.mark.parametrize(("queue", "tried"), [("q", True), ("q.fifo", False)])
def test_a_late_ack_is_tried_where_that_is_not_fenced(driver, sqs, clock, queue, tried):
    """On a standard queue finished work is deleted all the same, and reported as late (semantics 10)."""
    (delivery,) = held(driver, queue=queue)
    clock.advance(LEASE)
    assert [LeaseLost] == [type(error) for error in settle(driver, (delivery, Ack()))]
    assert tried == ("DeleteMessageBatch" in sqs.operations())
    assert [LeaseLost] == [type(error) for error in settle(driver, (delivery, Ack()))]


@pytest.mark.parametrize("queue", ["q", "q.fifo"])
def test_a_late_release_is_not_sent(driver, sqs, clock, queue):
    """Somebody else may have the message."""
    (delivery,) = held(driver, queue=queue)
    clock.advance(LEASE)
    assert [LeaseLost] == [type(error) for error in settle(driver, (delivery, Release()))]
    assert "ChangeMessageVisibilityBatch" not in sqs.operations()


def test_a_purge_ends_the_leases_before_it(driver, sqs, clock):
    """Those that begin after it hold."""
    (before,) = held(driver)
    driver.purge("q")
    clock.advance(SECOND)
    (after,) = held(driver)
    assert [LeaseLost, type(None)] == [type(error) for error in settle(driver, (before, Ack()), (after, Ack()))]


def test_a_release_is_within_the_hard_limit(driver, sqs, clock):
    """A FIFO queue's retry near the twelve hours is as long as SQS allows."""
    (delivery,) = held(driver, queue="q.fifo")
    for _ in range(12):
        clock.advance(LEASE - SECOND)
        driver.extend([delivery.lease], timedelta(hours=1))
    settle(driver, (delivery, Release(delay=timedelta(hours=12))))
    changed = parameters(sqs, "ChangeMessageVisibilityBatch")[-1]["Entries"][0]
    assert 12 * 3600 - 12 * 59 == changed["VisibilityTimeout"]


def test_extensions_are_ten_a_call_and_move_the_lease(driver, sqs, clock):
    """What was granted is what later settlements go by."""
    deliveries = held(driver, 12)
    clock.advance(LEASE - SECOND)
    results = driver.extend([delivery.lease for delivery in deliveries], LEASE)
    assert [clock.now() + LEASE] * 12 == [result.expires_at for result in results]
    assert [10, 2] == [len(given["Entries"]) for given in parameters(sqs, "ChangeMessageVisibilityBatch")]
    clock.advance(LEASE - SECOND)
    assert [None] == settle(driver, (deliveries[0], Ack()))


def test_an_extension_ends_at_the_twelve_hours(driver, clock):
    """No more is granted, and when nothing is left the lease ends as it was."""
    driver.send([item()])
    (delivery,) = receive(driver, lease=timedelta(hours=12))
    clock.advance(timedelta(hours=11))
    (result,) = driver.extend([delivery.lease], timedelta(hours=2))
    assert delivery.lease.hard_limit == result.expires_at
    clock.advance(timedelta(minutes=59, seconds=59, milliseconds=500))
    (result,) = driver.extend([delivery.lease], timedelta(hours=2))
    assert (delivery.lease.hard_limit, None) == (result.expires_at, result.error)
    clock.advance(SECOND)
    assert LeaseLost is type(driver.extend([delivery.lease], SECOND)[0].error)


# ── looking, making, closing ─────────────────────────────────────────────────────────────────────────────


def test_stats_are_two_calls(driver):
    """The queue's and its dead-letter queue's numbers."""
    driver.send([item(1), item(2)])
    driver.send([item(3, queue="q-dlq")])
    receive(driver, limit=1)
    assert QueueStats(ready=1, delayed=0, in_flight=1, dead=1) == driver.stats("q")


def test_stats_without_a_dead_letter_queue(clock):
    """How many are dead isn't known then; a queue that isn't there is an error."""
    driver = SQSDriver("test", client=FakeSqs("q"), clock=clock)
    assert QueueStats(ready=0, delayed=0, in_flight=0) == driver.stats("q")
    with pytest.raises(QueueNotFound):
        driver.stats("other")


@pytest.mark.parametrize(("queue", "dead", "receives"), [("n", "n-dlq", 20), ("n.fifo", "n-dlq.fifo", 100)])
def test_a_queue_is_made_with_its_dead_letter_queue(driver, sqs, queue, dead, receives):
    """With a redrive policy as the backstop; one that is there is left as it is."""
    assert isinstance(driver, QueueMaker)
    assert driver.make_queue(queue)
    first, second = parameters(sqs, "CreateQueue")
    assert (dead, queue) == (first["QueueName"], second["QueueName"])
    policy = second["Attributes"]["RedrivePolicy"]
    assert f'{{"deadLetterTargetArn":"arn:aws:sqs:test:1:{dead}","maxReceiveCount":{receives}}}' == policy
    assert not driver.make_queue(queue)
    assert 2 == len(parameters(sqs, "CreateQueue"))


def test_a_closed_driver_sends_nothing(driver, sqs):
    """Each item has an error, and no call is made."""
    driver.close()
    assert [BackendError] == [type(result.error) for result in driver.send([item()])]
    assert [] == sqs.operations()


# ── dead letters ─────────────────────────────────────────────────────────────────────────────────────────


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
