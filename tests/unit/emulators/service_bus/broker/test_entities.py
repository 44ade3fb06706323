"""Entities: names, settings, what can be changed, lists."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloudq.emulators.service_bus.broker.api import BrokerError, Condition
from cloudq.emulators.service_bus.broker.rules import CorrelationFilter, NewRule, SqlFilter, TrueFilter
from cloudq.emulators.service_bus.broker.settings import QueueSettings, SubscriptionSettings, TopicSettings
from tests.unit.emulators.service_bus.broker.bench import Bench


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.mark.parametrize("name", ["", "$cbs", "/a", "a/", "x" * 261, "a/$DeadLetterQueue", "a/Subscriptions/b"])
def test_names_that_are_refused(bench: Bench, name: str) -> None:
    """Names that are too long, or the address of something else."""
    with pytest.raises(BrokerError) as caught:
        bench.entities.create_queue(name, QueueSettings())
    assert Condition.INVALID_FIELD is caught.value.condition


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        (QueueSettings(lock_duration=timedelta(0)), "LockDuration"),
        (QueueSettings(lock_duration=timedelta(minutes=6)), "LockDuration"),
        (QueueSettings(max_delivery_count=0), "MaxDeliveryCount"),
        (QueueSettings(max_delivery_count=2001), "MaxDeliveryCount"),
        (QueueSettings(default_time_to_live=timedelta(milliseconds=1)), "DefaultMessageTimeToLive"),
        (QueueSettings(duplicate_detection_window=timedelta(days=8)), "DuplicateDetectionHistoryTimeWindow"),
        (QueueSettings(max_size_megabytes=0), "MaxSizeInMegabytes"),
        (QueueSettings(max_message_size=101 * 1024 * 1024), "MaxMessageSizeInKilobytes"),
        (QueueSettings(forward_to="nowhere"), "ForwardTo"),
        (QueueSettings(forward_to="Other"), "ForwardTo"),
        (QueueSettings(forward_dead_letters_to="nowhere"), "ForwardDeadLetteredMessagesTo"),
        (QueueSettings(forward_to="orders", requires_session=True), "ForwardTo"),
    ],
)
def test_settings_that_are_refused(bench: Bench, settings: QueueSettings, name: str) -> None:
    """What is out of the service's bounds is an error that names the property, and nothing is made."""
    with pytest.raises(BrokerError, match=f"^{name}: ") as caught:
        bench.entities.create_queue("other", settings)
    assert Condition.INVALID_FIELD is caught.value.condition
    assert ["orders"] == [entity.name for entity in bench.entities.queues()]


def test_names_are_shared_by_queues_and_topics(bench: Bench) -> None:
    """A second entity of a name is refused, in any case."""
    for make in (
        lambda: bench.entities.create_queue("Orders", QueueSettings()),
        lambda: bench.entities.create_topic("ORDERS", TopicSettings()),
    ):
        with pytest.raises(BrokerError, match="already exists") as caught:
            make()
        assert (Condition.ENTITY_ALREADY_EXISTS, 409) == (caught.value.condition, caught.value.status)


def test_subscriptions_and_rules_are_unique(bench: Bench) -> None:
    """Within their topic and their subscription."""
    bench.topic("one")
    with pytest.raises(BrokerError, match="already exists"):
        bench.entities.create_subscription("news", "ONE", SubscriptionSettings())
    with pytest.raises(BrokerError, match="already exists"):
        bench.entities.create_rule("news", "one", NewRule("$default", TrueFilter()))
    with pytest.raises(BrokerError, match="could not be found"):
        bench.entities.create_subscription("olds", "one", SubscriptionSettings())


@pytest.mark.parametrize(
    ("filter_", "text"),
    [
        (SqlFilter("color ="), "it ends where a value should be"),
        (CorrelationFilter(), "no condition"),
    ],
)
def test_filters_that_are_refused(bench: Bench, filter_: SqlFilter | CorrelationFilter, text: str) -> None:
    """An error names the rule and says what is wrong; no subscription is made."""
    bench.topic()
    with pytest.raises(BrokerError, match=f"rule mine.*{text}"):
        bench.entities.create_subscription("news", "one", SubscriptionSettings(), NewRule("mine", filter_))
    assert [] == bench.entities.subscriptions("news")


def test_sessions_and_duplicate_detection_cannot_be_changed(bench: Bench) -> None:
    """They are fixed when the entity is made."""
    bench.topic("one")
    with pytest.raises(BrokerError, match=r"^RequiresSession: it can't be changed"):
        bench.entities.update_queue("orders", QueueSettings(requires_session=True))
    with pytest.raises(BrokerError, match=r"^RequiresDuplicateDetection: "):
        bench.entities.update_topic("news", TopicSettings(requires_duplicate_detection=True))
    with pytest.raises(BrokerError, match=r"^RequiresSession: "):
        bench.entities.update_subscription("news", "one", SubscriptionSettings(requires_session=True))


def test_lists_are_sorted_by_name(bench: Bench) -> None:
    """So that pages of them don't overlap."""
    bench.topic("two", "one", "Three")
    bench.entities.create_rule("news", "one", NewRule("b", TrueFilter()))
    bench.entities.create_queue("a", QueueSettings())
    assert ["a", "orders"] == [entity.name for entity in bench.entities.queues()]
    assert ["news"] == [topic.name for topic in bench.entities.topics()]
    assert ["one", "Three", "two"] == [each.name for each in bench.entities.subscriptions("news")]
    assert ["$Default", "b"] == [rule.name for rule in bench.entities.rules("news", "one")]


def test_what_is_deleted_is_not_found(bench: Bench) -> None:
    """Deleting twice is an error, as is asking."""
    bench.topic("one")
    bench.entities.delete_rule("news", "one", "$Default")
    bench.entities.delete_subscription("news", "one")
    bench.entities.delete_queue("orders")
    for ask in (
        lambda: bench.entities.rule("news", "one", "$Default"),
        lambda: bench.entities.subscription("news", "one"),
        lambda: bench.entities.delete_queue("orders"),
        lambda: bench.entities.delete_topic("orders"),
    ):
        with pytest.raises(BrokerError) as caught:
            ask()
        assert (Condition.NOT_FOUND, 404) == (caught.value.condition, caught.value.status)
