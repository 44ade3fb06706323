"""Behaviours of `Driver.send`."""

from __future__ import annotations

from uuid import uuid4

import pytest
from msgspec.structs import replace

from cloudq.core.driver import Ack, Outgoing
from cloudq.errors import MessageTooLarge, QueueNotFound
from cloudq.testing.conformance.bench import Bench, errors_of

ODD_TEXTS = (
    "naïve café — Ελληνικά — עברית — 日本語",
    "\N{PILE OF POO}\N{ZERO WIDTH JOINER}\N{COMBINING ACUTE ACCENT}\N{RIGHT-TO-LEFT OVERRIDE}",
    "\x00\x01\x1f\x7f\x85\N{LINE SEPARATOR}\N{PARAGRAPH SEPARATOR}\ufeff\uffff",
    "' OR 1=1; -- \" \\ </script> %s {0} \r\n\t",
)


class Sending:
    """Storing messages."""

    def test_a_message_is_stored_when_send_returns(self, bench: Bench) -> None:
        """As soon as send has returned, another client of the backend receives the message."""
        other = bench.client()
        message = bench.send()
        assert bench.one(driver=other).id == message.id

    def test_a_message_outlives_the_client_that_sent_it(self, bench: Bench) -> None:
        """A message is still there after the client that sent it was closed (if there can be another one)."""
        sender = bench.client()
        message = bench.message()
        result = bench.store(message, driver=sender)
        if sender is not bench.driver:
            sender.close()
        assert (result.error, bench.one().id) == (None, message.id)

    def test_the_body_comes_back_byte_for_byte(self, bench: Bench) -> None:
        """The body received must be the one stored, to the byte."""
        outgoing = bench.prepared(bench.message(payload={"text": "ä \N{SNOWMAN}", "list": [1, 2.5, None, True, {}]}))
        assert errors_of(bench.driver.send([outgoing])) == [None]
        assert bench.one().body == outgoing.body

    @pytest.mark.parametrize("text", ODD_TEXTS, ids=["scripts", "marks", "controls", "quotes"])
    def test_any_text_survives(self, bench: Bench, text: str) -> None:
        """Every character that JSON can carry survives in the payload, as a key and as a value."""
        bench.send(payload={text: [text]})
        message = bench.one().message
        assert message is not None
        assert dict(message.payload) == {text: [text]}

    def test_all_that_a_message_says_survives(self, bench: Bench) -> None:
        """Id, task, keys, headers, times and foreign CloudEvents attributes arrive as they were sent."""
        sent = replace(
            bench.message(key="key \N{SNOWMAN}"),
            source="/shop",
            headers={"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tenant": "ü"},
            extensions={"subject": "order/42", "partnerid": 7},
            attempt_base=2,
            generation=3,
        )
        bench.send(sent)
        assert bench.one().message == sent

    def test_several_messages_are_stored_by_one_call(self, bench: Bench) -> None:
        """A call for several messages stores each, and answers in their order."""
        messages = [bench.message() for _ in range(min(5, bench.capabilities.max_batch))]
        results = bench.driver.send([bench.prepared(message) for message in messages])
        assert errors_of(results) == [None] * len(messages)
        assert {delivery.id for delivery in bench.receive(len(messages), sure=len(messages))} == {
            message.id for message in messages
        }

    def test_a_full_batch_is_stored(self, bench: Bench) -> None:
        """A call for `max_batch` messages is allowed, and stores them all."""
        size = bench.capabilities.max_batch
        results = bench.driver.send([bench.prepared(bench.message()) for _ in range(size)])
        assert errors_of(results) == [None] * size
        assert len({delivery.id for delivery in bench.receive(size, sure=size)}) == size

    def test_a_call_for_nothing_answers_nothing(self, bench: Bench) -> None:
        """An empty send is allowed and stores nothing."""
        assert list(bench.driver.send([])) == []
        bench.nothing()

    def test_one_refused_item_does_not_hide_the_others(self, bench: Bench) -> None:
        """In a batch, only the item that the backend refuses is reported as failed; the others are stored."""
        before, after = bench.message(), bench.message()
        bad = bench.harness.refused_item(bench.driver)
        results = bench.driver.send([bench.prepared(before), bad, bench.prepared(after)])
        assert [result.error is None for result in results] == [True, False, True]
        assert {delivery.id for delivery in bench.receive(3, sure=2)} == {before.id, after.id}

    def test_the_largest_body_is_stored(self, bench: Bench) -> None:
        """A body of exactly `max_body` bytes is stored and comes back whole."""
        outgoing = bench.prepared(bench.message_of(bench.capabilities.max_body))
        assert errors_of(bench.driver.send([outgoing])) == [None]
        delivery = bench.one()
        assert len(delivery.body) == bench.capabilities.max_body
        assert delivery.body == outgoing.body

    def test_a_larger_body_is_refused_before_it_is_sent(self, bench: Bench) -> None:
        """A message of one byte more than `max_body` is refused with MessageTooLarge; nothing is stored."""
        with pytest.raises(MessageTooLarge):
            bench.send(bench.message_of(bench.capabilities.max_body + 1))
        bench.nothing()

    def test_a_missing_queue_is_reported_or_made(self, bench: Bench) -> None:
        """Sending to a queue that doesn't exist is a QueueNotFound for each item, or makes the queue."""
        missing = bench.harness.missing_queue
        queue = missing or f"new-{bench.queue}"
        key = uuid4().hex if bench.driver.capabilities(queue).ordering else None
        item = Outgoing(id=uuid4().hex, queue=queue, body=b"{}", ordering_key=key)
        results = bench.driver.send([item])
        if missing is not None:
            assert errors_of(results) == [QueueNotFound]
        else:
            assert errors_of(results) == [None]
            assert bench.one(queue=queue).body == b"{}"

    def test_messages_with_the_same_content_are_two_messages(self, bench: Bench) -> None:
        """Two messages without a key are both stored, however alike they are."""
        first = bench.send(payload={"same": True})
        second = bench.send(payload={"same": True})
        deliveries = bench.receive(2)
        assert {delivery.id for delivery in deliveries} == {first.id, second.id}
        assert [bench.settle(delivery, Ack()) for delivery in deliveries] == [None, None]
