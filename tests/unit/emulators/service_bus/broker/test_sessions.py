"""Sessions: who holds which, order within one, what their locks' end does."""

from __future__ import annotations

import pytest

from cloudq.emulators.service_bus.broker.address import Address
from cloudq.emulators.service_bus.broker.api import BrokerError, Condition, ReceiveMode
from cloudq.emulators.service_bus.broker.settings import QueueSettings, SubscriptionSettings, TopicSettings
from tests.unit.emulators.service_bus.broker.bench import DEAD, MINUTE, QUEUE, SECOND, Bench, Client, bodies


@pytest.fixture
def bench() -> Bench:
    return Bench(QueueSettings(requires_session=True))


def close(client: Client) -> None:
    assert client.receiver is not None
    client.receiver.close()


def test_a_message_needs_a_session_id(bench: Bench) -> None:
    """Without one it is refused; the empty string is one."""
    with pytest.raises(BrokerError) as caught:
        bench.send("a")
    assert Condition.NOT_ALLOWED is caught.value.condition
    bench.send("a", session_id="")
    assert ["a"] == bench.accept("", 5).bodies


def test_the_next_available_session_is_the_one_that_waits_longest(bench: Bench) -> None:
    """Sessions are given out in the order in which they got messages, each to one receiver."""
    bench.send("1", session_id="b")
    bench.send("2", session_id="a")
    bench.send("3", session_id="b")
    first, second = bench.accept(credit=5), bench.accept(credit=5)
    assert ("b", ["1", "3"]) == (first.session.session_id, first.bodies)
    assert ("a", ["2"]) == (second.session.session_id, second.bodies)


def test_who_waits_is_given_the_session_that_gets_a_message(bench: Bench) -> None:
    """A wait ends with the first message of a session that is free; first come, first served."""
    waiting, later = bench.accept(), bench.accept()
    bench.send("1", session_id="s")
    bench.send("2", session_id="s")
    assert later.receiver is None
    waiting.wants(5)
    assert ["1", "2"] == waiting.bodies
    close(waiting)
    assert "s" == later.session.session_id


def test_a_wait_ends_in_a_timeout(bench: Bench) -> None:
    """Without a session within its time a wait is refused, and a session that comes later isn't given to it."""
    waiting = bench.accept(timeout=10 * SECOND)
    bench.pass_time(10 * SECOND)
    assert [Condition.TIMEOUT] == [error.condition for error in waiting.errors]
    bench.send("1", session_id="s")
    assert waiting.receiver is None


def test_a_cancelled_wait_is_forgotten(bench: Bench) -> None:
    """Neither a session nor a timeout comes to it."""
    client = Client()
    wait = bench.broker.accept_session(QUEUE, None, ReceiveMode.PEEK_LOCK, client, MINUTE)
    wait.cancel()
    wait.cancel()
    bench.send("1", session_id="s")
    bench.pass_time(2 * MINUTE)
    assert (None, []) == (client.receiver, client.errors)


def test_a_session_that_is_held_cannot_be_locked(bench: Bench) -> None:
    """Asked for by its id, a held session is refused at once; one without messages can be held."""
    holder = bench.accept("s")
    assert holder.session.locked_until == bench.clock.now() + MINUTE
    assert [Condition.SESSION_CANNOT_BE_LOCKED] == [error.condition for error in bench.accept("s").errors]
    close(holder)
    assert "s" == bench.accept("s").session.session_id


def test_only_the_holder_gets_the_messages(bench: Bench) -> None:
    """Messages that come for a held session go to its holder, in order, when it has credit."""
    holder = bench.accept("s")
    bench.accept("t", 5)
    bench.send("1", "2", session_id="s")
    assert [] == holder.bodies
    holder.wants(1)
    holder.wants(1)
    assert ["1", "2"] == holder.bodies


def test_closing_gives_locked_messages_back_uncounted(bench: Bench) -> None:
    """After close another receiver gets the session's messages, their counts unchanged; the old tokens are lost."""
    bench.send("1", "2", session_id="s")
    first = bench.accept("s", 5)
    close(first)
    second = bench.accept(credit=5)
    assert ["1", "2"] == second.bodies
    assert [0, 0] == [each.delivery_count for each in second.got]
    token = first.got[0].lock_token
    assert token is not None
    with pytest.raises(BrokerError) as caught:
        bench.broker.complete(QUEUE, token)
    assert (Condition.SESSION_LOCK_LOST, 410) == (caught.value.condition, caught.value.status)


def test_a_session_lock_that_runs_out_ends_the_receiver_and_counts(bench: Bench) -> None:
    """The holder is told, what it had locked comes back counted, and what wasn't delivered isn't."""
    bench.send("1", "2", session_id="s")
    holder = bench.accept("s", 1)
    bench.pass_time(MINUTE)
    assert [Condition.SESSION_LOCK_LOST] == [error.condition for error in holder.errors]
    again = bench.accept(credit=5)
    assert [("1", 1), ("2", 0)] == [(each.message.payload.decode(), each.delivery_count) for each in again.got]
    close(holder)
    with pytest.raises(BrokerError):
        bench.broker.renew_session(QUEUE, "t")
    assert "s" == again.session.session_id
    assert [] == again.errors


def test_who_receives_and_deletes_is_told_later_that_the_lock_ran_out(bench: Bench) -> None:
    """Nothing is locked that it could lose: the session is free for others, and the link ends a second later."""
    bench.send("1", session_id="s")
    holder = bench.accept("s", 1, mode=ReceiveMode.RECEIVE_AND_DELETE)
    bench.pass_time(MINUTE)
    assert [] == holder.errors
    bench.send("2", session_id="s")
    assert ["2"] == bench.accept("s", 1).bodies
    assert ["1"] == holder.bodies
    bench.pass_time(SECOND)
    assert [Condition.SESSION_LOCK_LOST] == [error.condition for error in holder.errors]


def test_renewing_a_session_keeps_all_its_messages(bench: Bench) -> None:
    """The lock is the session's: renewed, the messages delivered before can be settled later."""
    bench.send("1", session_id="s")
    holder = bench.accept("s", 1)
    bench.pass_time(59 * SECOND)
    until = bench.broker.renew_session(QUEUE, "s")
    assert bench.clock.now() + MINUTE == until == holder.session.locked_until
    bench.pass_time(59 * SECOND)
    token = holder.got[0].lock_token
    assert token is not None
    with pytest.raises(BrokerError, match="renew the session"):
        bench.broker.renew_locks(QUEUE, [token])
    bench.broker.complete(QUEUE, token)
    assert [] == bench.broker.peek(QUEUE, 0, 1)


def test_an_abandoned_message_comes_before_later_ones(bench: Bench) -> None:
    """Within a session the order is that of the sequence numbers, also after an abandon."""
    bench.send("1", "2", session_id="s")
    holder = bench.accept("s", 1)
    token = holder.got[0].lock_token
    assert token is not None
    bench.broker.abandon(QUEUE, token)
    holder.wants(2)
    assert ["1", "1", "2"] == holder.bodies


def test_session_state(bench: Bench) -> None:
    """The state outlives the holder; only while the session is held can it be read or set."""
    holder = bench.accept("s")
    assert bench.broker.session_state(QUEUE, "s") is None
    bench.broker.set_session_state(QUEUE, "s", b"half")
    close(holder)
    with pytest.raises(BrokerError) as caught:
        bench.broker.session_state(QUEUE, "s")
    assert Condition.SESSION_LOCK_LOST is caught.value.condition
    bench.accept("s")
    assert b"half" == bench.broker.session_state(QUEUE, "s")
    with pytest.raises(BrokerError, match="at most"):
        bench.broker.set_session_state(QUEUE, "s", b"x" * 300_000)
    bench.broker.set_session_state(QUEUE, "s", None)
    assert bench.broker.session_state(QUEUE, "s") is None


def test_listing_sessions(bench: Bench) -> None:
    """Listed are sessions with messages or a state, or those whose state was set since."""
    bench.send("1", session_id="b")
    bench.send("1", session_id="c", scheduled_enqueue_time=bench.clock.now() + MINUTE)
    bench.accept("a")
    bench.broker.set_session_state(QUEUE, "a", b"state")
    assert ["a", "b", "c"] == bench.broker.session_ids(QUEUE)
    assert ["b"] == bench.broker.session_ids(QUEUE, skip=1, top=1)
    before = bench.clock.now() - SECOND
    assert ["a"] == bench.broker.session_ids(QUEUE, updated_after=before)
    assert [] == bench.broker.session_ids(QUEUE, updated_after=bench.clock.now())


def test_peek_within_a_session(bench: Bench) -> None:
    """Peeking with a session id shows that session's messages, the scheduled too; of an unknown one, none."""
    bench.send("1", session_id="a")
    bench.send("2", session_id="b")
    bench.send("3", session_id="a", scheduled_enqueue_time=bench.clock.now() + MINUTE)
    assert ["1", "3"] == bodies(bench.broker.peek(QUEUE, 0, 10, "a"))
    assert [] == bench.broker.peek(QUEUE, 0, 10, "z")
    assert ["1", "2", "3"] == bodies(bench.broker.peek(QUEUE, 0, 10))


def test_a_batch_delete_within_a_session(bench: Bench) -> None:
    """It deletes the messages of the session that is named, which somebody has to hold."""
    bench.send("1", "2", session_id="a")
    bench.send("3", session_id="b")
    bench.pass_time(SECOND)
    now = bench.clock.now()
    for session, condition in ((None, Condition.NOT_ALLOWED), ("a", Condition.SESSION_LOCK_LOST)):
        with pytest.raises(BrokerError) as caught:
            bench.broker.delete_messages(QUEUE, 10, now, session)
        assert condition is caught.value.condition
    client = bench.accept("a", credit=1)
    assert 1 == bench.broker.delete_messages(QUEUE, 10, now, "a")
    assert ["1"] == client.bodies
    assert ["1", "3"] == bodies(bench.broker.peek(QUEUE, 0, 10))


def test_deferred_in_a_session(bench: Bench) -> None:
    """A deferred message is received under its session's lock, and goes with it."""
    bench.send("1", session_id="s")
    holder = bench.accept("s", 1)
    token = holder.got[0].lock_token
    assert token is not None
    bench.broker.defer(QUEUE, token)
    bench.accept("t")
    with pytest.raises(BrokerError) as caught:
        bench.broker.receive_deferred(QUEUE, [1], ReceiveMode.PEEK_LOCK, "t")
    assert Condition.MESSAGE_NOT_FOUND is caught.value.condition
    with pytest.raises(BrokerError) as caught:
        bench.broker.receive_deferred(QUEUE, [1], ReceiveMode.PEEK_LOCK)
    assert Condition.NOT_ALLOWED is caught.value.condition
    (deferred,) = bench.broker.receive_deferred(QUEUE, [1], ReceiveMode.PEEK_LOCK, "s")
    close(holder)
    bench.accept("s")
    (again,) = bench.broker.receive_deferred(QUEUE, [1], ReceiveMode.RECEIVE_AND_DELETE, "s")
    assert 1 == deferred.delivery_count == again.delivery_count


def test_dead_letters_of_a_session_queue_need_no_session(bench: Bench) -> None:
    """The dead-letter queue has ordinary receivers."""
    bench.send("1", session_id="s")
    token = bench.accept("s", 1).got[0].lock_token
    assert token is not None
    bench.broker.dead_letter(QUEUE, token, reason="bad")
    assert ["1"] == bodies(bench.take_all(DEAD))
    assert not bench.broker.receiver_entity(DEAD).requires_session
    with pytest.raises(BrokerError):
        bench.accept("s", at=DEAD)


def test_kinds_of_receivers_have_to_fit(bench: Bench) -> None:
    """An entity with sessions has no other receivers, and one without has none of sessions."""
    with pytest.raises(BrokerError) as caught:
        bench.client()
    assert Condition.NOT_ALLOWED is caught.value.condition
    with bench.broker.world:
        bench.entities.create_queue("plain", QueueSettings())
    with pytest.raises(BrokerError) as caught:
        bench.accept("s", at=Address("plain"))
    assert Condition.NOT_ALLOWED is caught.value.condition


def test_receive_and_delete_in_a_session(bench: Bench) -> None:
    """Messages are gone as they are delivered, in order."""
    bench.send("1", "2", session_id="s")
    assert ["1", "2"] == bench.accept("s", 5, mode=ReceiveMode.RECEIVE_AND_DELETE).bodies
    assert [] == bench.broker.peek(QUEUE, 0, 10)


def test_deleting_the_queue_ends_waits_and_holders(bench: Bench) -> None:
    """All of them are told that the entity is gone."""
    bench.send("1", session_id="s")
    holder, waiting = bench.accept("s", 1), bench.accept()
    with bench.broker.world:
        bench.entities.delete_queue("orders")
    assert [[Condition.NOT_FOUND]] * 2 == [[error.condition for error in client.errors] for client in (holder, waiting)]
    assert bench.broker.next_due() is None


def test_sessions_without_anything_are_forgotten(bench: Bench) -> None:
    """A million sessions that came and went leave nothing behind."""
    for number in range(100):
        bench.send("x", session_id=str(number))
        client = bench.accept(credit=1, mode=ReceiveMode.RECEIVE_AND_DELETE)
        close(client)
    sessions = bench.entities.queue("orders").queue.sessions
    assert sessions is not None
    assert [] == sessions.ids(None)
    assert not sessions._by_id


def test_a_session_whose_messages_expired_is_not_available(bench: Bench) -> None:
    """Who waits isn't given a session that has nothing left; nor is it listed."""
    bench.send("1", session_id="s", time_to_live=SECOND)
    bench.pass_time(SECOND)
    waiting = bench.accept()
    assert (None, []) == (waiting.receiver, bench.broker.session_ids(QUEUE))
    bench.send("2", session_id="t")
    assert "t" == waiting.session.session_id


def test_states_count_towards_the_largest_size() -> None:
    """Sessions without messages can't fill the memory; with the queue or subscription their states are gone."""
    bench = Bench()
    bench.topic()
    with bench.broker.world:
        bench.entities.update_topic("news", TopicSettings(max_size_megabytes=1))
        bench.entities.create_subscription("news", "one", SubscriptionSettings(requires_session=True))
    address = Address.subscription("news", "one")
    for name in "abcd":
        bench.accept(name, at=address)
        bench.broker.set_session_state(address, name, b"x" * 256 * 1024)
    bench.accept("e", at=address)
    with pytest.raises(BrokerError) as caught:
        bench.broker.set_session_state(address, "e", b"x")
    assert Condition.QUOTA_EXCEEDED is caught.value.condition
    bench.broker.set_session_state(address, "a", None)
    bench.broker.set_session_state(address, "e", b"x")
    with bench.broker.world:
        bench.entities.delete_subscription("news", "one")
    assert 0 == bench.entities.topic("news").quota.used
