"""Sending: what is called, and what becomes of each item."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloudq.core import wire
from cloudq.core.clock import EPOCH
from cloudq.core.failure import Failure
from cloudq.core.message import Message
from cloudq.core.outcome import DeadLettered, Retried, Snoozed
from cloudq.core.plan import plan
from cloudq.drivers.sqs import SQSDriver
from cloudq.errors import (
    BackendError,
    BackendUnavailable,
    MessageTooLarge,
    QueueNotFound,
    Throttled,
    UnsupportedError,
)
from cloudq.queues.cloud_queue import CloudQueue
from tests.unit.drivers.sqs.fakes import ENDPOINT, client_error
from tests.unit.drivers.sqs.using import SECOND, item, parameters, receive

DEAD = DeadLettered(reason="no", failure=Failure(reason="no"))


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


def traced(entry):
    """What ddtrace does with an entry: 400 bytes more, unless it has all the attributes that SQS takes."""
    attributes = entry.setdefault("MessageAttributes", {})
    if len(attributes) < 10:
        attributes["_datadog"] = {"DataType": "String", "StringValue": "t" * 400}


@pytest.mark.parametrize("count", [2, 3, 7, 10])
def test_a_full_batch_under_a_tracer_is_made_again_in_halves(driver, sqs, count):
    """What a tracer adds to each entry makes a full batch too large, which stores nothing: all is stored, once."""
    sqs.trace = traced
    full = [item(number, body=b"x" * (1024 * 1024 // count)) for number in range(count)]
    assert [None] * count == [result.error for result in driver.send(full)]
    halves = [len(given["Entries"]) for given in parameters(sqs, "SendMessageBatch")]
    assert [count, count // 2, count - count // 2] == halves
    assert count == len(receive(driver))


def test_each_call_starts_from_its_own_entries(driver, sqs):
    """What a tracer wrote into the entries of a call that was refused doesn't come with the next one."""
    found = []
    sqs.trace = lambda entry: (found.append(set(entry.get("MessageAttributes", {}))), traced(entry))
    failure = Failure(reason="x")
    driver.send([item(n, queue="q-dlq", body=b"x" * (512 * 1024 - 200), failure=failure) for n in range(2)])
    assert [{"cloudq.dead"}] * 4 == found


def test_entries_leave_room_for_the_attributes_of_tracers(driver, sqs):
    """SQS takes ten attributes a message: ours are two at most, whatever is to be kept beside the body."""
    failure = Failure(reason="x", traceback="y" * 4000, unknown_since=EPOCH, waiting_since=EPOCH)
    for queue in ("q", "q-dlq"):
        assert driver.send([item(queue=queue, body=b"\xff", failure=failure)])[0].error is None
    entries = [given["Entries"][0]["MessageAttributes"] for given in parameters(sqs, "SendMessageBatch")]
    assert [2, 2] == [len(attributes) for attributes in entries]


def crowding(entry):
    """A tracer that doesn't count."""
    entry.setdefault("MessageAttributes", {})["trace"] = {"DataType": "String", "StringValue": "t"}


@pytest.mark.parametrize("whole", [False, True], ids=["one entry is refused", "the call is refused"])
def test_foreign_attributes_give_way_to_those_of_a_tracer(driver, sqs, whole, caplog):
    """An eleventh attribute refuses no copy: what other programs had set is left out, and the log says what."""
    sqs.trace, sqs.refuses_all_for_one = crowding, whole
    foreign = {f"a{number}": {"DataType": "String", "StringValue": "x"} for number in range(10)}
    copy = item(2, failure=Failure(reason="no such order"), foreign=foreign)
    assert [None] * 3 == [result.error for result in driver.send([item(1), copy, item(3)])]
    found = {delivery.failure and delivery.failure.reason for delivery in receive(driver)}
    assert {None, "no such order"} == found
    assert "without a0, a1," in caplog.text


def test_attributes_that_nothing_gives_way_to_are_an_error(driver, sqs):
    """Of ours none is left out."""
    sqs.trace = lambda entry: entry.update(
        MessageAttributes={f"a{n}": {"StringValue": "", "DataType": "String"} for n in range(11)}
    )
    (result,) = driver.send([item(failure=Failure(reason="x"))])
    assert "Number of message attributes [11]" in str(result.error)


def test_what_is_too_large_alone_is_found_by_halving(driver, sqs):
    """One entry that a tracer makes too large for itself is refused alone; the others of its batch are stored."""
    sqs.trace = lambda entry: traced(entry) if len(entry["MessageBody"]) > 1000 else None
    results = driver.send([item(1), item(2), item(3, body=b"x" * (1024 * 1024 - 100)), item(4)])
    assert [None, None, MessageTooLarge, None] == [result.error and type(result.error) for result in results]
    assert 3 == len(receive(driver))
    # As it was sent, so that the core knows how much to shorten.
    assert 1024 * 1024 < results[2].error.size < 1024 * 1024 + 400


def test_a_copy_that_a_tracer_makes_too_large_keeps_its_reason(driver, sqs):
    """Its details are cut to what the tracer leaves."""
    sqs.trace = traced
    failure = Failure(reason="no such order", traceback="y" * 4000)
    copy = item(queue="q-dlq", body=b"x" * (1024 * 1024 - 2000), failure=failure)
    assert CloudQueue("q", driver).store_copies([copy])[0].error is None
    (letter,) = driver.dead_letters("q").peek(limit=1)
    assert "no such order" == letter.failure.reason
    assert letter.failure.traceback


def test_halving_ends_with_the_time_of_the_call(driver, sqs, monkeypatch):
    """What no time is left for isn't sent, and is reported as what may be tried again; the first half is stored."""
    seconds = [0.0]
    monkeypatch.setattr("cloudq.aws_wire.bounded.monotonic", lambda: seconds[0])
    sqs.trace = traced
    full = [item(number, body=b"x" * (1024 * 1024 // 10)) for number in range(10)]
    sqs.fail = lambda _: seconds.__setitem__(0, seconds[0] + 2)  # each call takes so long; five seconds there are
    results = driver.send(full)
    assert [None] * 5 + [BackendUnavailable] * 5 == [result.error and type(result.error) for result in results]
    assert "no time was left" in str(results[5].error)
    assert 5 == len(receive(driver))


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
    (delivery,) = receive(driver)
    assert (None, "tenant-1") == (delivery.group, delivery.fairness_key)


@pytest.mark.parametrize("key", [None, "ours"])
@pytest.mark.parametrize(
    "outcome", [Retried(delay=300 * SECOND, reason="later"), Snoozed(delay=SECOND, reason="not now"), DEAD], ids=str
)
def test_a_group_that_another_program_set_survives_our_copies(driver, sqs, clock, key, outcome):
    """On a standard queue, whether the body names another key or none: by that one the service shares."""
    body = wire.encode(Message(id="1", task="t", queue="q", fairness_key=key))
    driver.send([item(body=body, fairness_key="theirs")])
    (delivery,) = receive(driver)
    (copy,) = plan(delivery, outcome, driver.capabilities("q"), clock.now()).copies
    assert ("theirs", key) == (copy.fairness_key, wire.decode(copy.body, "q").fairness_key)
    assert driver.send([copy])[0].error is None
    assert "theirs" == parameters(sqs, "SendMessageBatch")[-1]["Entries"][0]["MessageGroupId"]


def test_a_redrive_keeps_a_group_that_another_program_set(driver, sqs, clock):
    """Of a message, and of a body that can't be decoded."""
    for body in (wire.encode(Message(id="1", task="t", queue="q")), b"no message"):
        driver.send([item(queue="q-dlq", body=body, fairness_key="theirs")])
    assert 2 == CloudQueue("q", driver, clock=clock).dead_letters.redrive().redriven
    entries = [entry for call in parameters(sqs, "SendMessageBatch")[2:] for entry in call["Entries"]]
    assert ["theirs"] * 2 == [entry["MessageGroupId"] for entry in entries]


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


def test_a_refusal_says_how_much_was_too_much(driver, sqs):
    """By the service's words, or by its limit for all queues: from that the core shortens what lies beside a body."""
    sqs.fail_item = lambda operation, one: (
        ("InvalidParameterValue", True, "Message must be shorter than 65536 bytes.") if one["Id"] == "0" else None
    )
    failure = Failure(reason="why")
    refused, stored, huge = driver.send(
        [item(1, queue="q-dlq", body=b"x" * 65_530, failure=failure), item(2), item(3, body=b"x" * 1_048_577)]
    )
    beside = len("cloudq.dead") + len("String") + len(failure.encode())
    assert (65_530 + beside, 65_536) == (refused.error.size, refused.error.limit)
    assert "MaximumMessageSize" in refused.error.hint
    assert stored.error is None
    assert (1_048_577, 1_048_576) == (huge.error.size, huge.error.limit)
