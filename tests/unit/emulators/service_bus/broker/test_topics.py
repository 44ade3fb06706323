"""Topics, subscriptions and their rules; forwarding from one entity to another."""

from __future__ import annotations

import pytest

from cloudq.emulators.service_bus.broker.address import Address
from cloudq.emulators.service_bus.broker.api import BrokerError, Condition, MessageState, Received
from cloudq.emulators.service_bus.broker.rules import (
    CorrelationFilter,
    FalseFilter,
    NewRule,
    SqlAction,
    SqlFilter,
    TrueFilter,
)
from cloudq.emulators.service_bus.broker.settings import (
    QueueSettings,
    Status,
    SubscriptionSettings,
    TopicSettings,
)
from cloudq.emulators.service_bus.broker.store import OVERHEAD
from tests.unit.emulators.service_bus.broker.bench import DEAD, MINUTE, QUEUE, SECOND, Bench, bodies, message

ONE = Address.parse("news/Subscriptions/one")
TWO = Address.parse("NEWS/subscriptions/TWO")


@pytest.fixture
def bench() -> Bench:
    return Bench()


def queue(bench: Bench, name: str, **settings: object) -> Address:
    with bench.broker.world:
        bench.entities.create_queue(name, QueueSettings(**settings))  # type: ignore[arg-type]  # by name, for short
    return Address(name)


def dead(address: Address) -> Address:
    return Address.parse(f"{address}/$DeadLetterQueue")


def reason(received: Received) -> object:
    return received.set_properties["DeadLetterReason"]


def test_every_subscription_gets_its_own_copy(bench: Bench) -> None:
    """Settling one copy leaves the others; the first number is the topic's."""
    topic = bench.topic("one", "two")
    bench.send("a", "b", to=topic)
    token = bench.take(ONE).lock_token
    assert token is not None
    bench.broker.complete(ONE, token)
    assert ["b"] == bodies(bench.take_all(ONE))
    got = bench.take_all(TWO)
    assert [("a", 1, 1), ("b", 2, 2)] == [
        (each.message.payload.decode(), each.sequence_number, each.enqueued_sequence_number) for each in got
    ]


def test_rules_choose(bench: Bench) -> None:
    """A message comes once however many rules match, and not at all if none does."""
    topic = bench.topic("one", "two")
    with bench.broker.world:
        bench.entities.create_rule("news", "one", NewRule("red", SqlFilter("color = 'red'")))
        bench.entities.delete_rule("news", "two", "$default")
        bench.entities.create_rule("news", "two", NewRule("red", SqlFilter("color = 'red'")))
        bench.entities.create_rule("news", "two", NewRule("urgent", CorrelationFilter(subject="urgent")))
    bench.send("1", to=topic, application_properties={"Color": "red"}, subject="urgent")
    bench.send("2", to=topic, application_properties={"color": "blue"})
    bench.send("3", to=topic, subject="urgent")
    assert ["1", "2", "3"] == bodies(bench.take_all(ONE))
    assert ["1", "3"] == bodies(bench.take_all(TWO))


def test_rules_with_actions_make_copies_of_their_own(bench: Bench) -> None:
    """One copy for all rules without an action, and one of each with: changed, and with the rule's name."""
    topic = bench.topic("one")
    high = SqlAction("SET level = n + 1; SET Color = 'RED'; REMOVE secret")
    with bench.broker.world:
        bench.entities.create_rule("news", "one", NewRule("plain", SqlFilter("n = 1")))
        bench.entities.create_rule("news", "one", NewRule("high", SqlFilter("n = 1"), high))
        bench.entities.create_rule("news", "one", NewRule("never", SqlFilter("n = 2"), high))
    given = {"n": 1, "color": "red", "secret": "s"}
    bench.send("a", to=topic, application_properties=given)
    first, second = bench.take_all(ONE)
    assert (given, {}, frozenset()) == (
        first.message.application_properties,
        first.set_properties,
        first.removed_properties,
    )
    changed = {"level": 2, "color": "RED", "RuleName": "high"}
    assert (changed, {"secret"}) == (second.set_properties, second.removed_properties)


def test_an_action_that_cannot_be_computed_buries_the_message(bench: Bench) -> None:
    """As a filter that can't: the dead letter says why, and the other rules' copies aren't made."""
    topic = bench.topic("one")
    with bench.broker.world:
        bench.entities.create_rule("news", "one", NewRule("bad", TrueFilter(), SqlAction("SET a = 1 / n")))
    bench.send("a", to=topic, application_properties={"n": 0})
    assert [] == bench.take_all(ONE)
    (buried,) = bench.take_all(dead(ONE))
    assert "FilterEvaluationException" == reason(buried)


def test_an_action_holds_where_a_message_is_forwarded_to(bench: Bench) -> None:
    """The rules of the next topic see the message as the action left it."""
    topic = bench.topic("one")
    with bench.broker.world:
        bench.entities.create_topic("more", TopicSettings())
        wanted = NewRule("r", SqlFilter("level = 'high' AND NOT EXISTS (color)"))
        bench.entities.create_subscription("more", "all", SubscriptionSettings(), wanted)
        bench.entities.create_subscription(
            "news",
            "on",
            SubscriptionSettings(forward_to="more"),
            NewRule("r", TrueFilter(), SqlAction("SET level = 'high'; REMOVE color")),
        )
    bench.send("a", to=topic, application_properties={"color": "red"})
    (got,) = bench.take_all(Address.subscription("more", "all"))
    assert ({"level": "high", "RuleName": "r"}, {"color"}) == (got.set_properties, got.removed_properties)


def test_forwarding_to_itself_ends_after_the_hops(bench: Bench) -> None:
    """The service takes it; what is sent there has gone too far after four hops."""
    with bench.broker.world:
        bench.entities.update_queue("orders", QueueSettings(forward_to="orders"))
    bench.send("a")
    (lost,) = bench.take_all(Address.parse("orders/$Transfer/$DeadLetterQueue"))
    assert "MaxTransferHopCountExceeded" == reason(lost)


def test_a_message_for_nobody_is_gone(bench: Bench) -> None:
    """A topic keeps nothing itself, and what no rule wants takes no room."""
    topic = bench.topic("one")
    with bench.broker.world:
        bench.entities.update_rule("news", "one", NewRule("$Default", FalseFilter()))
    bench.send("a", to=topic)
    assert [] == bench.take_all(ONE)
    assert 0 == bench.entities.topic("news").quota.used


def test_scheduled_in_a_topic(bench: Bench) -> None:
    """What is scheduled is in the topic until it is due, and can be cancelled; rules are asked when it is due."""
    topic = bench.topic("one")
    due = bench.clock.now() + MINUTE
    first, second = bench.broker.schedule(topic, [message(body, scheduled_enqueue_time=due) for body in "ab"])
    peeked = bench.broker.peek(topic, 0, 10)
    assert [MessageState.SCHEDULED] * 2 == [each.state for each in peeked]
    assert ["a"] == bodies(bench.broker.peek(topic, 0, 1))
    bench.broker.cancel_scheduled(topic, [first])
    with pytest.raises(BrokerError):
        bench.broker.cancel_scheduled(topic, [first, second])
    with bench.broker.world:
        bench.entities.create_subscription("news", "two", SubscriptionSettings())
    bench.pass_time(MINUTE)
    assert ["b"] == bodies(bench.take_all(ONE)) == bodies(bench.take_all(TWO))
    assert [] == bench.broker.peek(topic, 0, 10)
    counted = sum(bench.broker.peek(at, 0, 1)[0].message.payload == b"b" for at in (ONE, TWO))
    assert counted * (1 + OVERHEAD) == bench.entities.topic("news").quota.used


def test_duplicates_in_a_topic(bench: Bench) -> None:
    """The topic detects them, for all subscriptions at once."""
    topic = bench.topic("one", settings=TopicSettings(requires_duplicate_detection=True))
    bench.send("a", "b", to=topic, message_id="1")
    assert ["a"] == bodies(bench.take_all(ONE))


def test_time_to_live_of_topic_and_subscription(bench: Bench) -> None:
    """The shortest of the message's, the topic's and the subscription's counts."""
    topic = bench.topic(settings=TopicSettings(default_time_to_live=10 * SECOND))
    with bench.broker.world:
        bench.entities.create_subscription("news", "one", SubscriptionSettings(default_time_to_live=20 * SECOND))
        bench.entities.create_subscription("news", "two", SubscriptionSettings(default_time_to_live=5 * SECOND))
    bench.send("a", to=topic, time_to_live=MINUTE)
    assert 10 * SECOND == bench.broker.peek(ONE, 0, 1)[0].time_to_live
    assert 5 * SECOND == bench.broker.peek(TWO, 0, 1)[0].time_to_live


def test_a_subscription_with_sessions_dead_letters_messages_without(bench: Bench) -> None:
    """The other subscriptions get them all the same."""
    topic = bench.topic("one")
    with bench.broker.world:
        bench.entities.create_subscription("news", "two", SubscriptionSettings(requires_session=True))
    bench.send("a", to=topic)
    bench.send("b", to=topic, session_id="s")
    assert ["a", "b"] == bodies(bench.take_all(ONE))
    assert ["b"] == bench.accept(credit=5, at=TWO).bodies
    assert ["a"] == bodies(bench.take_all(dead(TWO)))


@pytest.mark.parametrize("kept", [True, False])
def test_a_filter_that_cannot_be_computed(bench: Bench, *, kept: bool) -> None:
    """The message is dead-lettered or dropped in that subscription, as its settings say."""
    topic = bench.topic()
    with bench.broker.world:
        settings = SubscriptionSettings(dead_letter_on_filter_errors=kept)
        bench.entities.create_subscription("news", "one", settings, NewRule("bad", SqlFilter("1 / n = 1")))
    bench.send("a", to=topic, application_properties={"n": 0})
    assert ([("a", "FilterEvaluationException")] if kept else []) == [
        (each.message.payload.decode(), reason(each)) for each in bench.take_all(dead(ONE))
    ]


def test_a_topic_is_no_source_and_a_subscription_no_target(bench: Bench) -> None:
    """Receiving from a topic and sending to a subscription are refused."""
    topic = bench.topic("one")
    with pytest.raises(BrokerError, match="Name a subscription") as caught:
        bench.client(at=topic)
    assert Condition.NOT_ALLOWED is caught.value.condition
    with pytest.raises(BrokerError) as caught:
        bench.send("a", to=ONE)
    assert Condition.NOT_ALLOWED is caught.value.condition
    with pytest.raises(BrokerError, match="could not be found"):
        bench.client(at=Address.parse("news/Subscriptions/three"))


def test_a_topics_largest_size_counts_all_subscriptions(bench: Bench) -> None:
    """Copies count each."""
    topic = bench.topic("one", "two", settings=TopicSettings(max_size_megabytes=1, max_message_size=600_000))
    bench.send("x" * 500_000, to=topic)
    with pytest.raises(BrokerError) as caught:
        bench.send("x" * 100_000, to=topic)
    assert Condition.QUOTA_EXCEEDED is caught.value.condition


def test_deleting_a_topic_deletes_its_subscriptions(bench: Bench) -> None:
    """Receivers of them end, and nothing is due any more."""
    topic = bench.topic("one")
    bench.send("a", to=topic, scheduled_enqueue_time=bench.clock.now() + MINUTE)
    client = bench.client(at=ONE)
    with bench.broker.world:
        bench.entities.delete_topic("news")
    assert [Condition.NOT_FOUND] == [error.condition for error in client.errors]
    assert bench.broker.next_due() is None


def test_forwarding(bench: Bench) -> None:
    """Messages go on to the target at once, with their first number; nobody receives from the source."""
    target = queue(bench, "target", requires_duplicate_detection=True)
    source = queue(bench, "source", forward_to="TARGET", default_time_to_live=10 * SECOND)
    bench.send("a", to=target)
    bench.send("b", to=source, message_id="1")
    bench.send("again", to=source, message_id="1")
    _, got = bench.take_all(target)
    assert (b"b", 2, 1, 10 * SECOND) == (
        got.message.payload,
        got.sequence_number,
        got.enqueued_sequence_number,
        got.time_to_live,
    )
    with pytest.raises(BrokerError, match="forwards to") as caught:
        bench.client(at=source)
    assert Condition.NOT_ALLOWED is caught.value.condition
    assert 0 == bench.entities.queue("source").queue.quota.used


def test_what_is_forwarded_to_a_topic_keeps_its_time_to_live(bench: Bench) -> None:
    """The source's own limit holds in the topic's subscriptions, too."""
    bench.topic("one")
    source = queue(bench, "source", forward_to="news", default_time_to_live=10 * SECOND)
    bench.send("a", to=source)
    assert 10 * SECOND == bench.broker.peek(ONE, 0, 1)[0].time_to_live


def test_a_subscription_forwards_to_a_queue(bench: Bench) -> None:
    """A topic may feed queues that way."""
    target = queue(bench, "target")
    topic = bench.topic()
    with bench.broker.world:
        bench.entities.create_subscription("news", "one", SubscriptionSettings(forward_to="target"))
    bench.send("a", to=topic, scheduled_enqueue_time=bench.clock.now() + MINUTE)
    assert [] == bench.take_all(target)
    bench.pass_time(MINUTE)
    assert ["a"] == bodies(bench.take_all(target))


def test_dead_letters_can_be_forwarded(bench: Bench) -> None:
    """They arrive with reason and source; the sub-queue can't be received from."""
    target = queue(bench, "graveyard")
    source = queue(bench, "source", forward_dead_letters_to="graveyard")
    bench.send("a", to=source)
    token = bench.take(source).lock_token
    assert token is not None
    bench.broker.dead_letter(source, token, reason="bad")
    got = bench.take(target)
    assert ("bad", "source") == (reason(got), got.dead_letter_source)
    with pytest.raises(BrokerError, match="forwards to"):
        bench.client(at=dead(source))


def test_a_circle_ends_after_four_hops(bench: Bench) -> None:
    """A message that is sent round is kept where it was forwarded too often."""
    a, b = queue(bench, "a"), queue(bench, "b")
    with bench.broker.world:
        bench.entities.update_queue("a", QueueSettings(forward_to="b"))
        bench.entities.update_queue("b", QueueSettings(forward_to="a"))
    bench.send("x", to=a)
    # a, b, a, b, and back at a it has gone four times.
    lost = [bench.take_all(Address.parse(f"{each}/$Transfer/$DeadLetterQueue")) for each in (a, b)]
    assert [["MaxTransferHopCountExceeded"], []] == [[reason(each) for each in some] for some in lost]
    assert 1 == bench.entities.counts(bench.entities.queue("a").queue).transfer_dead_letter + len(lost[1])


@pytest.mark.parametrize("why", ["full", "disabled", "deleted", "session"])
def test_what_cannot_be_forwarded_is_kept(bench: Bench, why: str) -> None:
    """A target that doesn't take the message leaves it in the source's transfer dead-letter queue, with the reason."""
    queue(bench, "target", max_size_megabytes=1, max_message_size=2_000_000, requires_session=why == "session")
    source = queue(bench, "source", forward_to="target", max_message_size=2_000_000)
    with bench.broker.world:
        if why == "disabled":
            bench.entities.update_queue("target", QueueSettings(status=Status.SEND_DISABLED))
        if why == "deleted":
            bench.entities.delete_queue("target")
    bench.send("x" * 1_100_000 if why == "full" else "x", to=source)
    (kept,) = bench.take_all(Address.parse("source/$Transfer/$DeadLetterQueue"))
    assert "TransferFailed" == reason(kept)
    assert "source" == kept.dead_letter_source


def test_a_failure_at_the_last_hop_is_told_from_too_many_hops(bench: Bench) -> None:
    """A fourth hop that the target refuses is a failed transfer; only a fifth would be one too many."""
    queue(bench, "e")
    for name, target in (("d", "e"), ("c", "d"), ("b", "c"), ("a", "b")):
        queue(bench, name, forward_to=target)
    with bench.broker.world:
        bench.entities.delete_queue("e")
    bench.send("x", to=Address("a"))
    assert ["TransferFailed"] == [
        reason(each) for each in bench.take_all(Address.parse("d/$Transfer/$DeadLetterQueue"))
    ]


def test_dead_letters_that_cannot_be_forwarded_stay(bench: Bench) -> None:
    """They are in the queue's own dead-letter queue then."""
    queue(bench, "graveyard")
    with bench.broker.world:
        bench.entities.update_queue("orders", QueueSettings(forward_dead_letters_to="graveyard"))
        bench.entities.delete_queue("graveyard")
    bench.send("a", time_to_live=SECOND)
    token = bench.take().lock_token
    assert token is not None
    bench.broker.dead_letter(QUEUE, token)
    with bench.broker.world:
        bench.entities.update_queue("orders", QueueSettings())
    assert ["a"] == bodies(bench.take_all(DEAD))
