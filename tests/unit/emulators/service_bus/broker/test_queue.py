"""A queue's messages: order, locks, settlement, schedule, time to live, limits."""

from __future__ import annotations

import time
from datetime import timedelta
from uuid import uuid4

import pytest

from cloudq.emulators.service_bus.broker.address import Address
from cloudq.emulators.service_bus.broker.api import BrokerError, Condition, MessageState, ReceiveMode
from cloudq.emulators.service_bus.broker.settings import QueueSettings, Status, Tier
from cloudq.emulators.service_bus.broker.store import OVERHEAD
from tests.unit.emulators.service_bus.broker.bench import DEAD, MINUTE, QUEUE, SECOND, Bench, bodies, message


def lost(bench: Bench, token: object) -> BrokerError:
    with pytest.raises(BrokerError) as caught:
        bench.broker.complete(QUEUE, token)  # type: ignore[arg-type]  # a token or None
    return caught.value


def test_messages_come_in_the_order_in_which_they_were_sent() -> None:
    """Sequence numbers count from 1, and messages come in their order."""
    bench = Bench()
    bench.send("a", "b")
    bench.send("c")
    got = bench.take_all()
    assert ["a", "b", "c"] == bodies(got)
    assert [1, 2, 3] == [each.sequence_number for each in got]
    assert [0, 0, 0] == [each.delivery_count for each in got]


def test_a_waiting_receiver_is_given_a_message_when_it_comes() -> None:
    """A receiver with credit gets a message from inside the call that sends it, and no more than its credit."""
    bench = Bench()
    client = bench.client(2)
    bench.send("a", "b", "c")
    assert ["a", "b"] == client.bodies
    client.wants(1)
    assert ["a", "b", "c"] == client.bodies


def test_receivers_take_turns() -> None:
    """Messages are dealt out to receivers with credit one by one."""
    bench = Bench()
    clients = [bench.client(10) for _ in range(3)]
    bench.send(*"abcdef")
    assert [["a", "d"], ["b", "e"], ["c", "f"]] == [client.bodies for client in clients]


def test_a_closed_receiver_gets_nothing() -> None:
    """After close a receiver with credit gets no more; what it has locked stays locked until the lock runs out."""
    bench = Bench()
    client = bench.client(10)
    bench.send("a")
    assert client.receiver is not None
    client.receiver.close()
    client.receiver.close()
    bench.send("b")
    assert ["a"] == client.bodies
    assert ["b"] == bodies(bench.take_all())
    bench.pass_time(MINUTE)
    assert [("a", 1), ("b", 1)] == [(each.message.payload.decode(), each.delivery_count) for each in bench.take_all()]


def test_complete_deletes() -> None:
    """A completed message is gone; settling it again reports the lost lock."""
    bench = Bench()
    bench.send("a")
    token = bench.take().lock_token
    assert token is not None
    bench.broker.complete(QUEUE, token)
    assert [] == bench.broker.peek(QUEUE, 0, 10)
    error = lost(bench, token)
    assert (Condition.MESSAGE_LOCK_LOST, 410) == (error.condition, error.status)


def test_a_lock_that_ran_out_is_lost_even_before_the_tick() -> None:
    """At the very moment at which a lock ends, settling is refused and the message is back, counted."""
    bench = Bench()
    bench.send("a")
    taken = bench.take()
    assert taken.locked_until == bench.clock.now() + MINUTE
    bench.clock.advance(MINUTE)
    assert Condition.MESSAGE_LOCK_LOST is lost(bench, taken.lock_token).condition
    again = bench.take()
    assert 1 == again.delivery_count
    assert again.lock_token != taken.lock_token


def test_renewed_locks_hold() -> None:
    """Renewing locks gives the entity's lock duration from now; with one that is lost, none is renewed."""
    bench = Bench()
    bench.send("a", "b")
    one, other = bench.take_all()
    assert one.lock_token is not None
    assert other.lock_token is not None
    bench.pass_time(59 * SECOND)
    with pytest.raises(BrokerError, match="lock"):
        bench.broker.renew_locks(QUEUE, [one.lock_token, uuid4()])
    assert [bench.clock.now() + MINUTE] == bench.broker.renew_locks(QUEUE, [one.lock_token])
    bench.pass_time(59 * SECOND)
    bench.broker.complete(QUEUE, one.lock_token)
    assert Condition.MESSAGE_LOCK_LOST is lost(bench, other.lock_token).condition


def test_abandon_gives_back_at_once_before_later_messages() -> None:
    """An abandoned message is next again, counted, with the properties that were set."""
    bench = Bench()
    bench.send("a", "b")
    first = bench.take()
    assert first.lock_token is not None
    bench.broker.abandon(QUEUE, first.lock_token, {"why": "busy"})
    again, _ = bench.take_all()
    assert (b"a", 1, {"why": "busy"}) == (again.message.payload, again.delivery_count, again.set_properties)


def test_release_does_not_count() -> None:
    """A released message comes back with the same count."""
    bench = Bench()
    bench.send("a")
    token = bench.take().lock_token
    assert token is not None
    bench.broker.release(QUEUE, token)
    assert 0 == bench.take().delivery_count


@pytest.mark.parametrize("how", ["abandon", "expire"])
def test_too_many_deliveries_dead_letter(how: str) -> None:
    """At the largest count a message goes to the dead-letter queue, however its deliveries failed."""
    bench = Bench(QueueSettings(max_delivery_count=3))
    bench.send("poison")
    for count in range(3):
        taken = bench.take()
        assert count == taken.delivery_count
        assert taken.lock_token is not None
        if how == "abandon":
            bench.broker.abandon(QUEUE, taken.lock_token)
        else:
            bench.pass_time(MINUTE)
    assert [] == bench.take_all()
    dead = bench.take(DEAD)
    assert "MaxDeliveryCountExceeded" == dead.set_properties["DeadLetterReason"]
    assert (
        "Message could not be consumed after 3 delivery attempts." == dead.set_properties["DeadLetterErrorDescription"]
    )
    assert (b"poison", 3, "orders") == (dead.message.payload, dead.delivery_count, dead.dead_letter_source)


def test_dead_lettering_with_a_reason() -> None:
    """Reason, description and properties travel with a dead letter; there it is an ordinary message."""
    bench = Bench()
    bench.send("a")
    token = bench.take().lock_token
    assert token is not None
    bench.broker.dead_letter(QUEUE, token, reason="bad", description="no id", properties={"seen": 1})
    dead = bench.take(DEAD)
    assert {"DeadLetterReason": "bad", "DeadLetterErrorDescription": "no id", "seen": 1} == dead.set_properties
    assert dead.lock_token is not None
    bench.broker.complete(DEAD, dead.lock_token)
    assert [] == bench.broker.peek(DEAD, 0, 10)


def test_dead_letters_stay_where_they_are() -> None:
    """In the dead-letter queue nothing expires and no count is too large; dead-lettering leaves them there."""
    bench = Bench(QueueSettings(max_delivery_count=1, default_time_to_live=MINUTE, dead_letter_on_expiration=True))
    bench.send("a", time_to_live=SECOND)
    bench.pass_time(SECOND)
    bench.pass_time(timedelta(days=30))
    for _ in range(5):
        token = bench.take(DEAD).lock_token
        assert token is not None
        bench.broker.abandon(DEAD, token)
    token = bench.take(DEAD).lock_token
    assert token is not None
    bench.broker.dead_letter(DEAD, token, reason="again")
    dead = bench.take(DEAD)
    assert ("again", 6) == (dead.set_properties["DeadLetterReason"], dead.delivery_count)


def test_long_reasons_are_refused() -> None:
    """A reason of more than 4,096 characters is an error, and the message stays locked."""
    bench = Bench()
    bench.send("a")
    token = bench.take().lock_token
    assert token is not None
    with pytest.raises(BrokerError, match="4097 characters") as caught:
        bench.broker.dead_letter(QUEUE, token, reason="x" * 4097)
    assert Condition.INVALID_FIELD is caught.value.condition
    bench.broker.complete(QUEUE, token)


def test_deferred_messages_come_by_number_only() -> None:
    """A deferred message isn't delivered; by its number it is, counted, and it can be given back and taken again."""
    bench = Bench()
    bench.send("a", "b")
    taken = bench.take()
    assert taken.lock_token is not None
    bench.broker.defer(QUEUE, taken.lock_token, {"later": True})
    assert ["b"] == bodies(bench.take_all())
    (deferred,) = bench.broker.receive_deferred(QUEUE, [1], ReceiveMode.PEEK_LOCK)
    assert (MessageState.DEFERRED, 1, {"later": True}) == (
        deferred.state,
        deferred.delivery_count,
        deferred.set_properties,
    )
    assert deferred.lock_token is not None
    with pytest.raises(BrokerError, match="no deferred message 1") as caught:
        bench.broker.receive_deferred(QUEUE, [1], ReceiveMode.PEEK_LOCK)
    assert (Condition.MESSAGE_NOT_FOUND, 404) == (caught.value.condition, caught.value.status)
    bench.broker.abandon(QUEUE, deferred.lock_token)
    (again,) = bench.broker.receive_deferred(QUEUE, [1], ReceiveMode.RECEIVE_AND_DELETE)
    assert (2, None) == (again.delivery_count, again.lock_token)
    assert ["b"] == bodies(bench.broker.peek(QUEUE, 0, 10))


def test_deferred_all_or_none() -> None:
    """Asked for two of which one isn't deferred, the broker locks neither."""
    bench = Bench()
    bench.send("a", "b")
    taken = bench.take()
    assert taken.lock_token is not None
    bench.broker.defer(QUEUE, taken.lock_token)
    with pytest.raises(BrokerError):
        bench.broker.receive_deferred(QUEUE, [1, 2], ReceiveMode.PEEK_LOCK)
    assert 1 == len(bench.broker.receive_deferred(QUEUE, [1], ReceiveMode.PEEK_LOCK))


def test_receive_and_delete() -> None:
    """A message that is received and deleted has no lock and is gone."""
    bench = Bench()
    bench.send("a")
    client = bench.client(1, mode=ReceiveMode.RECEIVE_AND_DELETE)
    assert [None] == [each.lock_token for each in client.got]
    assert [] == bench.broker.peek(QUEUE, 0, 10)


def test_a_scheduled_message_becomes_available_when_due_with_a_new_number() -> None:
    """Until then it can only be peeked at; then it stands at the queue's end, as if it had been sent now."""
    bench = Bench()
    due = bench.clock.now() + 30 * SECOND
    assert [1] == bench.broker.schedule(QUEUE, [message("later", scheduled_enqueue_time=due)])
    bench.send("now")
    client = bench.client(5)
    assert ["now"] == client.bodies
    (scheduled, _) = bench.broker.peek(QUEUE, 0, 10)
    assert (MessageState.SCHEDULED, 1) == (scheduled.state, scheduled.sequence_number)
    bench.pass_time(30 * SECOND)
    later = client.got[1]
    assert (b"later", 3, due, MessageState.ACTIVE) == (
        later.message.payload,
        later.sequence_number,
        later.enqueued_at,
        later.state,
    )


def test_a_schedule_in_the_past_is_now() -> None:
    """A message whose time has come when it is sent is available at once."""
    bench = Bench()
    bench.send("a", scheduled_enqueue_time=bench.clock.now())
    assert ["a"] == bodies(bench.take_all())


def test_scheduled_messages_can_be_cancelled_until_they_are_due() -> None:
    """Cancelling removes all of the messages or none; one that became due isn't there any more."""
    bench = Bench()
    due = bench.clock.now() + MINUTE
    numbers = bench.broker.schedule(QUEUE, [message(body, scheduled_enqueue_time=due) for body in "ab"])
    with pytest.raises(BrokerError) as caught:
        bench.broker.cancel_scheduled(QUEUE, [numbers[0], 99])
    assert (Condition.MESSAGE_NOT_FOUND, 404) == (caught.value.condition, caught.value.status)
    bench.broker.cancel_scheduled(QUEUE, [numbers[0]])
    bench.pass_time(MINUTE)
    with pytest.raises(BrokerError):
        bench.broker.cancel_scheduled(QUEUE, [numbers[1]])
    assert ["b"] == bodies(bench.take_all())


@pytest.mark.parametrize(
    ("own", "default", "lives"),
    [(10, None, 10), (None, 10, 10), (10, 20, 10), (20, 10, 10), (10.9, None, 10), (0.5, None, 1)],
)
def test_time_to_live(own: float | None, default: int | None, lives: int) -> None:
    """A message lives as long as the smaller of its own and the queue's time, in whole seconds, at least one."""
    bench = Bench(QueueSettings(default_time_to_live=default * SECOND if default else None))
    bench.send("a", time_to_live=own * SECOND if own else None)
    (peeked,) = bench.broker.peek(QUEUE, 0, 1)
    assert lives * SECOND == peeked.time_to_live
    bench.pass_time(lives * SECOND - timedelta(milliseconds=1))
    assert 1 == len(bench.broker.peek(QUEUE, 0, 1))
    bench.pass_time(timedelta(milliseconds=1))
    assert [] == bench.broker.peek(QUEUE, 0, 1)
    assert [] == bench.broker.peek(DEAD, 0, 1)


def test_expired_messages_are_dead_lettered_where_the_queue_says_so() -> None:
    """With dead-lettering on expiration, the reason says that the time to live ended."""
    bench = Bench(QueueSettings(dead_letter_on_expiration=True))
    bench.send("a", time_to_live=SECOND)
    bench.pass_time(SECOND)
    assert "TTLExpiredException" == bench.take(DEAD).set_properties["DeadLetterReason"]


def test_a_locked_message_expires_when_it_is_given_back() -> None:
    """The time to live ends under the lock: it can be completed until then, and given back it is gone."""
    bench = Bench(QueueSettings(dead_letter_on_expiration=True))
    bench.send("a", "b", time_to_live=10 * SECOND)
    one, other = bench.take_all()
    assert one.lock_token is not None
    assert other.lock_token is not None
    bench.pass_time(20 * SECOND)
    bench.broker.complete(QUEUE, one.lock_token)
    bench.broker.abandon(QUEUE, other.lock_token)
    assert [] == bench.take_all()
    assert ["b"] == bodies(bench.take_all(DEAD))


def test_a_deferred_message_expires_when_it_is_asked_for() -> None:
    """A deferred message stays beyond its time until somebody wants it."""
    bench = Bench(QueueSettings(dead_letter_on_expiration=True))
    bench.send("a", time_to_live=10 * SECOND)
    token = bench.take().lock_token
    assert token is not None
    bench.broker.defer(QUEUE, token)
    bench.pass_time(MINUTE)
    assert 1 == len(bench.broker.peek(QUEUE, 0, 1))
    with pytest.raises(BrokerError):
        bench.broker.receive_deferred(QUEUE, [1], ReceiveMode.PEEK_LOCK)
    assert ["a"] == bodies(bench.take_all(DEAD))


def test_the_time_to_live_of_a_scheduled_message_begins_when_it_is_due() -> None:
    """It isn't enqueued before."""
    bench = Bench()
    bench.send("a", time_to_live=10 * SECOND, scheduled_enqueue_time=bench.clock.now() + MINUTE)
    bench.pass_time(MINUTE + 9 * SECOND)
    assert ["a"] == bodies(bench.broker.peek(QUEUE, 0, 1))
    bench.pass_time(SECOND)
    assert [] == bench.broker.peek(QUEUE, 0, 1)


def test_a_time_to_live_beyond_all_dates_never_ends() -> None:
    """The largest times that AMQP can say are no error."""
    bench = Bench()
    bench.send("a", time_to_live=timedelta.max)
    assert ["a"] == bodies(bench.take_all())


def test_duplicates_are_swallowed_within_the_window() -> None:
    """A message id is taken once in the window, also if the first was received; without an id nothing is compared."""
    bench = Bench(QueueSettings(requires_duplicate_detection=True, duplicate_detection_window=MINUTE))
    assert [1, 0, 2, 3] == bench.broker.schedule(
        QUEUE, [message(message_id="1"), message(message_id="1"), message(), message()]
    )
    token = bench.take().lock_token
    assert token is not None
    bench.broker.complete(QUEUE, token)
    bench.pass_time(59 * SECOND)
    assert [0] == bench.broker.schedule(QUEUE, [message(message_id="1")])
    bench.pass_time(SECOND)
    assert [4] == bench.broker.schedule(QUEUE, [message(message_id="1")])


@pytest.mark.parametrize(
    ("properties", "condition"),
    [
        ({"payload": b"x" * 1001}, Condition.MESSAGE_TOO_LARGE),
        ({"message_id": "x" * 129}, Condition.INVALID_FIELD),
        ({"session_id": "x" * 129}, Condition.INVALID_FIELD),
        ({"partition_key": "p", "session_id": "s"}, Condition.INVALID_FIELD),
    ],
)
def test_what_cannot_be_sent(properties: dict[str, object], condition: Condition) -> None:
    """A batch with a message that breaks a limit is refused, and none of it is stored."""
    bench = Bench(QueueSettings(max_message_size=1000))
    refused = message(**{"body": "x", **properties}) if "payload" not in properties else message("x" * 1001)
    with pytest.raises(BrokerError) as caught:
        bench.broker.send(QUEUE, [message("fine"), refused])
    assert condition is caught.value.condition
    assert [] == bench.broker.peek(QUEUE, 0, 1)


def test_a_full_queue_takes_no_more() -> None:
    """The largest size bounds the messages, dead letters included; deleting makes room."""
    bench = Bench(QueueSettings(max_size_megabytes=1, max_message_size=600_000))
    bench.send("x" * 500_000)
    taken = bench.take()
    assert taken.lock_token is not None
    bench.broker.dead_letter(QUEUE, taken.lock_token)
    bench.send("x" * 500_000)
    with pytest.raises(BrokerError, match="MaxSizeInMegabytes") as caught:
        bench.send("x" * 100_000)
    assert Condition.QUOTA_EXCEEDED is caught.value.condition
    token = bench.take(DEAD).lock_token
    assert token is not None
    bench.broker.complete(DEAD, token)
    bench.send("x" * 100_000)
    counts = bench.entities.counts(bench.entities.queue("orders").queue)
    assert 600_000 + 2 * OVERHEAD == counts.size_in_bytes


def test_counts() -> None:
    """Active are messages that are available, locked or deferred; the others are counted by what they are."""
    bench = Bench()
    bench.send("a", "b", "c")
    bench.send("later", scheduled_enqueue_time=bench.clock.now() + MINUTE)
    one, two, _ = bench.take_all()
    assert one.lock_token is not None
    assert two.lock_token is not None
    bench.broker.defer(QUEUE, one.lock_token)
    bench.broker.dead_letter(QUEUE, two.lock_token)
    counts = bench.entities.counts(bench.entities.queue("orders").queue)
    assert (2, 1, 1, 0, 4) == (
        counts.active,
        counts.scheduled,
        counts.dead_letter,
        counts.transfer_dead_letter,
        counts.total,
    )


def test_peek_shows_messages_of_all_states_from_a_number_on() -> None:
    """Peeking locks nothing and gives them in the order of their numbers, 250 at most."""
    bench = Bench()
    bench.send(*map(str, range(300)))
    taken = bench.take()
    assert taken.lock_token is not None
    peeked = bench.broker.peek(QUEUE, 1, 3)
    assert ["0", "1", "2"] == bodies(peeked)
    assert 250 == len(bench.broker.peek(QUEUE, 0, 1000))
    assert ["298", "299"] == bodies(bench.broker.peek(QUEUE, 299, 10))
    bench.broker.complete(QUEUE, taken.lock_token)


def test_a_batch_delete_takes_the_oldest_that_are_ready() -> None:
    """Those enqueued before the moment, as many as it is asked for; what is locked, deferred or scheduled stays."""
    bench = Bench()
    bench.send("locked", "deferred")
    first, second = bench.take_all()
    assert first.lock_token is not None
    assert second.lock_token is not None
    bench.broker.defer(QUEUE, second.lock_token)
    bench.send("scheduled", scheduled_enqueue_time=bench.clock.now() + MINUTE)
    bench.send("a", "b", "c")
    bench.pass_time(SECOND)
    now = bench.clock.now()
    bench.send("late")
    assert 2 == bench.broker.delete_messages(QUEUE, 2, now)
    assert ["locked", "deferred", "scheduled", "c", "late"] == bodies(bench.broker.peek(QUEUE, 0, 10))
    assert 1 == bench.broker.delete_messages(QUEUE, 2, now)
    assert 0 == bench.broker.delete_messages(QUEUE, 2, now)
    assert ["late"] == bodies(bench.take_all())
    bench.broker.complete(QUEUE, first.lock_token)


def test_a_batch_delete_of_dead_letters() -> None:
    """A sub-queue is deleted from like a queue, and what it took up is free again."""
    bench = Bench()
    bench.send("a", "b")
    for received in bench.take_all():
        assert received.lock_token is not None
        bench.broker.dead_letter(QUEUE, received.lock_token)
    assert 2 == bench.broker.delete_messages(DEAD, 10, bench.clock.now() + SECOND)
    assert [] == bench.broker.peek(DEAD, 0, 10)
    assert 0 == bench.entities.counts(bench.entities.queue("orders").queue).size_in_bytes


@pytest.mark.parametrize(("tier", "most"), [(Tier.STANDARD, 500), (Tier.PREMIUM, 4000)])
def test_a_batch_delete_is_bounded_by_the_tier(tier: Tier, most: int) -> None:
    """What asks for more, or for nothing, is refused, and deletes nothing."""
    bench = Bench(tier=tier)
    bench.send("a")
    then = bench.clock.now() + SECOND
    for count in (0, most + 1):
        with pytest.raises(BrokerError) as caught:
            bench.broker.delete_messages(QUEUE, count, then)
        assert (Condition.OUT_OF_RANGE, 400) == (caught.value.condition, caught.value.status)
    assert 1 == bench.broker.delete_messages(QUEUE, most, then)


def test_unknown_entities() -> None:
    """An address without entity is an error that names it."""
    with pytest.raises(BrokerError, match="'nowhere' could not be found") as caught:
        Bench().send("a", to=Address("nowhere"))
    assert (Condition.NOT_FOUND, 404) == (caught.value.condition, caught.value.status)


def test_sub_queues_take_no_messages_from_senders() -> None:
    """Only the entity itself puts messages there."""
    with pytest.raises(BrokerError) as caught:
        Bench().send("a", to=DEAD)
    assert Condition.NOT_ALLOWED is caught.value.condition


def test_addresses_know_no_case() -> None:
    """Names are compared without regard to case."""
    bench = Bench()
    bench.send("a", to=Address.parse("ORDERS"))
    assert ["a"] == bodies(bench.take_all(Address.parse("/Orders/")))


@pytest.mark.parametrize(
    ("status", "sends", "receives"),
    [(Status.DISABLED, False, False), (Status.SEND_DISABLED, False, True), (Status.RECEIVE_DISABLED, True, False)],
)
def test_disabled_entities(status: Status, *, sends: bool, receives: bool) -> None:
    """A status forbids to send, to receive or both; receivers that there are end."""
    bench = Bench()
    client = bench.client(1)
    with bench.broker.world:
        bench.entities.update_queue("orders", QueueSettings(status=status))
    if sends:
        bench.send("a")
    else:
        with pytest.raises(BrokerError) as caught:
            bench.send("a")
        assert Condition.ENTITY_DISABLED is caught.value.condition
    assert ([] if receives else [Condition.ENTITY_DISABLED]) == [error.condition for error in client.errors]
    if not receives:
        with pytest.raises(BrokerError) as caught:
            bench.client()
        assert Condition.ENTITY_DISABLED is caught.value.condition


def test_a_deleted_queue_ends_its_receivers_and_leaves_no_timer() -> None:
    """Receivers are told, locks and schedules are forgotten, and a new queue of that name is empty."""
    bench = Bench(QueueSettings(default_time_to_live=MINUTE))
    bench.send("a", "b")
    bench.send("c", scheduled_enqueue_time=bench.clock.now() + MINUTE)
    client = bench.client(1)
    with bench.broker.world:
        bench.entities.delete_queue("ORDERS")
    assert [Condition.NOT_FOUND] == [error.condition for error in client.errors]
    assert bench.broker.next_due() is None
    with bench.broker.world:
        bench.entities.create_queue("orders", QueueSettings())
    assert [] == bench.take_all()


def test_a_sink_may_settle_what_it_is_given() -> None:
    """A receiver that completes at once from inside the delivery gets everything, each message once."""
    bench = Bench()

    class Eager:
        def __init__(self) -> None:
            self.got: list[bytes] = []

        def deliver(self, received: object) -> None:
            self.got.append(received.message.payload)  # type: ignore[attr-defined]  # a Received
            bench.broker.complete(QUEUE, received.lock_token)  # type: ignore[attr-defined]  # as above
            receiver.set_credit(1)

        def ended(self, error: BrokerError) -> None:
            raise error

    eager = Eager()
    receiver = bench.broker.open_receiver(QUEUE, ReceiveMode.PEEK_LOCK, eager)
    bench.send(*"abc")
    receiver.set_credit(1)
    bench.send("d")
    assert [b"a", b"b", b"c", b"d"] == eager.got
    assert [] == bench.broker.peek(QUEUE, 0, 1)


def test_what_expired_leaves_the_line() -> None:
    """Messages that expire while nobody receives leave nothing behind, and the others come in order."""
    bench = Bench()
    for number in range(300):
        bench.send(str(number), time_to_live=None if number % 10 == 0 else SECOND)
    bench.pass_time(SECOND)
    line = bench.entities.queue("orders").queue.line
    assert 30 == len(line)
    assert len(line._heap) < 130
    assert [str(number) for number in range(0, 300, 10)] == bodies(bench.take_all())


def test_receivers_that_left_are_not_kept() -> None:
    """Clients that come, wait and go while there are no messages leave nothing behind."""
    bench = Bench()
    for _ in range(100):
        client = bench.client(5)
        assert client.receiver is not None
        client.receiver.close()
    queue = bench.entities.queue("orders").queue
    assert (0, 0) == (len(queue.receivers), len(queue.dealer._turns))


@pytest.mark.slow
def test_no_operation_looks_through_all_messages() -> None:
    """Thirty thousand messages are sent, received, given back, settled and peeked at in seconds, not in minutes."""
    bench = Bench(QueueSettings(default_time_to_live=timedelta(days=14), requires_duplicate_detection=True))
    start = time.process_time()
    for number in range(30_000):
        bench.broker.send(QUEUE, [message(str(number), message_id=str(number))])
    got = bench.take_all(limit=30_000)
    for each in got:
        assert each.lock_token is not None
        (bench.broker.abandon if each.sequence_number % 4 == 0 else bench.broker.complete)(QUEUE, each.lock_token)
    for number in range(1, 30_000, 30):
        assert bench.broker.peek(QUEUE, number, 1)
    assert 7_500 == len(bench.take_all(limit=30_000))
    assert time.process_time() - start < 12
