"""azure-servicebus, synchronous, against the emulator."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from azure.servicebus import (
    NEXT_AVAILABLE_SESSION,
    ServiceBusClient,
    ServiceBusMessage,
    ServiceBusReceivedMessage,
    ServiceBusReceiveMode,
    ServiceBusReceiver,
    ServiceBusSubQueue,
)
from azure.servicebus.exceptions import (
    MessageLockLostError,
    MessageNotFoundError,
    MessageSizeExceededError,
    OperationTimeoutError,
    ServiceBusAuthenticationError,
    ServiceBusError,
    SessionCannotBeLockedError,
)

from cloudq.emulators.service_bus.broker.address import Address
from cloudq.emulators.service_bus.broker.settings import QueueSettings
from cloudq.emulators.service_bus.runner import ServiceBusEmulator

pytestmark = pytest.mark.slow
WAIT = 60  # seconds; what is there comes at once


def send(client: ServiceBusClient, queue: str, *bodies: str, **properties: object) -> None:
    with client.get_queue_sender(queue) as sender:
        for body in bodies:
            sender.send_messages(ServiceBusMessage(body, **properties))


def peek(receiver: ServiceBusReceiver) -> list[ServiceBusReceivedMessage]:
    """Looks at everything: without a number the SDK goes on behind what was received last."""
    return receiver.peek_messages(100, sequence_number=1)


def receive(receiver: ServiceBusReceiver) -> ServiceBusReceivedMessage:
    (message,) = receiver.receive_messages(max_message_count=1, max_wait_time=WAIT)
    return message


def test_send_receive_complete(client: ServiceBusClient, queue: str) -> None:
    """A message arrives with all that it was sent with; completed, it is gone."""
    before = datetime.now(UTC) - timedelta(seconds=1)
    message = ServiceBusMessage(
        b"body",
        message_id="id",
        subject="subject",
        content_type="text/plain",
        correlation_id="correlation",
        to="to",
        reply_to="reply-to",
        time_to_live=timedelta(hours=1),
        application_properties={"text": "t", "number": 5, "flag": True, "float": 1.5},
    )
    with client.get_queue_sender(queue) as sender:
        sender.send_messages(message)
    with client.get_queue_receiver(queue) as receiver:
        got = receive(receiver)
        assert b"body" == b"".join(got.body)
        assert ("id", "subject", "text/plain", "correlation", "to", "reply-to", timedelta(hours=1)) == (
            got.message_id, got.subject, got.content_type, got.correlation_id, got.to, got.reply_to, got.time_to_live,
        )  # fmt: skip
        assert {b"text": b"t", b"number": 5, b"flag": True, b"float": 1.5} == got.application_properties
        assert (0, 1) == (got.delivery_count, got.sequence_number)
        assert before < got.enqueued_time_utc < got.locked_until_utc
        receiver.complete_message(got)
        assert [] == peek(receiver)


def test_batches(client: ServiceBusClient, queue: str) -> None:
    """A batch is stored as messages, which come in order."""
    with client.get_queue_sender(queue) as sender, client.get_queue_receiver(queue) as receiver:
        batch = sender.create_message_batch()
        for number in range(50):
            batch.add_message(ServiceBusMessage(str(number)))
        sender.send_messages(batch)
        got: list[ServiceBusReceivedMessage] = []
        while len(got) < 50:
            got += receiver.receive_messages(max_message_count=50, max_wait_time=WAIT)
        assert [str(number) for number in range(50)] == [str(message) for message in got]
        for message in got:
            receiver.complete_message(message)


def test_large_messages(client: ServiceBusClient, queue: str) -> None:
    """A message of many frames arrives whole; one above the link's limit is refused, and the sender goes on."""
    body = bytes(range(256)) * 1000
    with client.get_queue_sender(queue) as sender, client.get_queue_receiver(queue) as receiver:
        with pytest.raises(MessageSizeExceededError):
            sender.send_messages(ServiceBusMessage(b"x" * 262_145))
        sender.send_messages(ServiceBusMessage(body))
        message = receive(receiver)
        assert body == b"".join(message.body)
        receiver.complete_message(message)


def test_receive_and_delete(client: ServiceBusClient, queue: str) -> None:
    """What is received that way is gone, and can't be settled."""
    send(client, queue, "a", "b")
    mode = ServiceBusReceiveMode.RECEIVE_AND_DELETE
    with client.get_queue_receiver(queue, receive_mode=mode, prefetch_count=10) as receiver:
        first = receive(receiver)
        assert (None, "a") == (first.lock_token, str(first))
        with pytest.raises(ValueError, match="not supported in"):
            receiver.complete_message(first)
        assert "b" == str(receive(receiver))
        assert [] == peek(receiver)


def test_abandon_and_the_largest_count(client: ServiceBusClient, make_queue: Callable[..., str]) -> None:
    """An abandoned message comes again, counted; at the largest count it is dead-lettered with the service's reason."""
    queue = make_queue(max_delivery_count=2)
    send(client, queue, "a")
    with client.get_queue_receiver(queue) as receiver:
        for count in range(2):
            message = receive(receiver)
            assert count == message.delivery_count
            receiver.abandon_message(message)
    with client.get_queue_receiver(queue, sub_queue=ServiceBusSubQueue.DEAD_LETTER) as dead:
        message = receive(dead)
        assert "MaxDeliveryCountExceeded" == message.dead_letter_reason
        dead.complete_message(message)


def test_dead_letter(client: ServiceBusClient, queue: str) -> None:
    """A dead-lettered message is in the sub-queue with its reason, as it was."""
    send(client, queue, "a", application_properties={"kept": 1})
    with client.get_queue_receiver(queue) as receiver:
        receiver.dead_letter_message(receive(receiver), reason="bad", error_description="too bad")
    with client.get_queue_receiver(queue, sub_queue="deadletter") as dead:
        message = receive(dead)
        assert ("bad", "too bad", queue) == (
            message.dead_letter_reason,
            message.dead_letter_error_description,
            message.dead_letter_source,
        )
        assert message.application_properties is not None
        assert 1 == message.application_properties[b"kept"]
        dead.complete_message(message)
        assert [] == peek(dead)


def test_defer(client: ServiceBusClient, queue: str) -> None:
    """A deferred message comes only by its number; settled through `$management` it stays settled."""
    send(client, queue, "a", "b", "c", "d")
    with client.get_queue_receiver(queue) as receiver:
        numbers = []
        for _ in range(4):
            message = receive(receiver)
            numbers.append(message.sequence_number)
            receiver.defer_message(message)
        assert [1, 1, 1, 1] == [message.state.value for message in peek(receiver)]
        first, second, third, fourth = receiver.receive_deferred_messages(numbers)
        receiver.complete_message(first)
        receiver.abandon_message(second)
        receiver.dead_letter_message(third, reason="bad")
        receiver.defer_message(fourth)
        assert ["b", "d"] == [str(message) for message in peek(receiver)]
        with pytest.raises(MessageNotFoundError):
            receiver.receive_deferred_messages([numbers[0]])
        (second,) = receiver.receive_deferred_messages([numbers[1]])
        receiver.complete_message(second)
    with client.get_queue_receiver(queue, receive_mode="receiveanddelete") as receiver:
        assert ["d"] == [str(message) for message in receiver.receive_deferred_messages([numbers[3]])]
        assert [] == peek(receiver)


def test_schedule_and_cancel(client: ServiceBusClient, queue: str) -> None:
    """Scheduled messages wait for their time, can be looked at, and cancelled once."""
    later = datetime.now(UTC) + timedelta(hours=1)
    with client.get_queue_sender(queue) as sender, client.get_queue_receiver(queue) as receiver:
        assert [] == peek(receiver)  # so that the links are there when it matters
        cancelled = sender.schedule_messages([ServiceBusMessage("x"), ServiceBusMessage("y")], later)
        soon = datetime.now(UTC) + timedelta(seconds=0.4)
        sender.schedule_messages(ServiceBusMessage("soon"), soon)
        assert [2, 2, 2] == [message.state.value for message in peek(receiver)]
        sender.cancel_scheduled_messages(cancelled)
        with pytest.raises(MessageNotFoundError):
            sender.cancel_scheduled_messages(cancelled[0])
        message = receive(receiver)
        assert "soon" == str(message)
        assert datetime.now(UTC) > soon
        receiver.complete_message(message)


def test_schedule_by_a_property(client: ServiceBusClient, queue: str) -> None:
    """A message may also be sent with its time in it."""
    due = datetime.now(UTC) + timedelta(hours=1)
    send(client, queue, "a", scheduled_enqueue_time_utc=due)
    with client.get_queue_receiver(queue) as receiver:
        (message,) = peek(receiver)
        assert 2 == message.state.value
        assert message.scheduled_enqueue_time_utc is not None
        assert timedelta(milliseconds=1) > abs(due - message.scheduled_enqueue_time_utc)


class Ahead:
    """The emulator's clock, which a test sets forward."""

    def __init__(self) -> None:
        self.by = timedelta(0)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.by


def test_lost_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock can be renewed while it holds; settling after it ran out fails, and the message comes again, counted."""
    lock, clock = timedelta(minutes=1), Ahead()
    with ServiceBusEmulator(admin_port=None, clock=clock) as emulator:
        emulator.create_queue("orders", QueueSettings(lock_duration=lock))
        with (
            ServiceBusClient.from_connection_string(emulator.connection_string, retry_total=0) as client,
            client.get_queue_receiver("orders") as receiver,
        ):
            send(client, "orders", "a")
            message = receive(receiver)
            until = message.locked_until_utc
            clock.by += lock / 2
            assert until < receiver.renew_message_lock(message)
            clock.by += lock
            emulator.tick()
            again = receive(receiver)
            assert (1, message.message_id) == (again.delivery_count, again.message_id)
            # By its own clock the SDK wouldn't even ask.
            monkeypatch.setattr(ServiceBusReceivedMessage, "_lock_expired", False)
            with pytest.raises(MessageLockLostError):
                receiver.complete_message(message)
            receiver.complete_message(again)


def test_a_settlement_happens_once(client: ServiceBusClient, queue: str, emulator: ServiceBusEmulator) -> None:
    """The second settlement of a lock is told that it is lost."""
    send(client, queue, "a")
    with client.get_queue_receiver(queue) as receiver:
        message = receive(receiver)
        emulator.call(emulator.broker.complete, Address(queue), message.lock_token)
        with pytest.raises(MessageLockLostError):
            receiver.complete_message(message)


def test_unknown_entities(client: ServiceBusClient, emulator: ServiceBusEmulator, topic: str) -> None:
    """There is no token for what isn't there, nor are there senders to subscriptions."""
    with pytest.raises(ServiceBusAuthenticationError) as refused:
        send(client, "missing", "a")
    assert 404 == refused.value.inner_exception.status_code
    with pytest.raises(ServiceBusAuthenticationError), client.get_queue_receiver("missing") as receiver:
        receiver.receive_messages(max_wait_time=1)
    with pytest.raises(ServiceBusError), client.get_queue_receiver("missing") as receiver:
        receiver.peek_messages()
    with pytest.raises(ServiceBusError):
        send(client, f"{topic}/Subscriptions/all", "a")


def test_topics(client: ServiceBusClient, topic: str) -> None:
    """A message to a topic is in each subscription whose rules take it."""
    with client.get_topic_sender(topic) as sender:
        sender.send_messages([ServiceBusMessage("a"), ServiceBusMessage("b")])
        (number,) = sender.schedule_messages(ServiceBusMessage("c"), datetime.now(UTC) + timedelta(hours=1))
        sender.cancel_scheduled_messages(number)
    with client.get_subscription_receiver(topic, "all") as receiver:
        first = receive(receiver)
        assert "a" == str(first)
        receiver.dead_letter_message(first, reason="bad")
        receiver.complete_message(receive(receiver))
        assert [] == peek(receiver)
    with client.get_subscription_receiver(topic, "all", sub_queue="deadletter") as dead:
        dead.complete_message(receive(dead))
    with client.get_subscription_receiver(topic, "none") as receiver:
        assert [] == peek(receiver)


# ── sessions ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def sessions(make_queue: Callable[..., str]) -> str:
    return make_queue(requires_session=True)


def test_sessions(client: ServiceBusClient, sessions: str) -> None:
    """A receiver has one session, alone and in order; its state is kept with it."""
    for session in ("s", ""):
        send(client, sessions, f"{session}1", f"{session}2", session_id=session)
    with client.get_queue_receiver(sessions, session_id="s") as receiver:
        assert "s" == receiver.session.session_id
        assert receiver.session.locked_until_utc is not None
        with pytest.raises(SessionCannotBeLockedError), client.get_queue_receiver(sessions, session_id="s") as second:
            second.receive_messages(max_wait_time=1)
        got = [receive(receiver) for _ in range(2)]
        assert [("s1", "s"), ("s2", "s")] == [(str(message), message.session_id) for message in got]
        receiver.session.set_state(b"state")
        assert b"state" == receiver.session.get_state()
        assert receiver.session.renew_lock() > datetime.now(UTC)
        receiver.complete_message(got[0])
        assert ["s2"] == [str(message) for message in peek(receiver)]
    with client.get_queue_receiver(sessions, session_id="s") as receiver:
        assert b"state" == receiver.session.get_state()
        receiver.session.set_state(None)
        assert receiver.session.get_state() is None
        again = receive(receiver)
        assert ("s2", 0) == (str(again), again.delivery_count)
        receiver.complete_message(again)
    with client.get_queue_receiver(sessions, session_id=NEXT_AVAILABLE_SESSION) as receiver:
        assert "" == receiver.session.session_id


def test_deferred_messages_of_a_session(client: ServiceBusClient, sessions: str) -> None:
    """A deferred message of a session comes by its number, under the session's lock."""
    send(client, sessions, "a", session_id="s")
    with client.get_queue_receiver(sessions, session_id="s") as receiver:
        message = receive(receiver)
        receiver.defer_message(message)
        (deferred,) = receiver.receive_deferred_messages([message.sequence_number])
        receiver.complete_message(deferred)
        assert [] == peek(receiver)


def test_no_session(client: ServiceBusClient, sessions: str, queue: str) -> None:
    """Waiting for a session ends; session and plain receivers are only for their kind of queue; a session is needed."""
    with (
        pytest.raises(OperationTimeoutError),
        client.get_queue_receiver(sessions, session_id=NEXT_AVAILABLE_SESSION, max_wait_time=0.2) as receiver,
    ):
        receiver.receive_messages()
    with pytest.raises(ServiceBusError), client.get_queue_receiver(sessions) as receiver:
        receiver.receive_messages(max_wait_time=1)
    with pytest.raises(ServiceBusError), client.get_queue_receiver(queue, session_id="s") as receiver:
        receiver.receive_messages(max_wait_time=1)
    with pytest.raises(ServiceBusError):
        send(client, sessions, "a")
