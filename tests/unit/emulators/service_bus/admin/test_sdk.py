"""The administration as Azure's own client sees it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.servicebus.management import (
    AccessRights,
    AuthorizationRule,
    CorrelationRuleFilter,
    EntityStatus,
    FalseRuleFilter,
    ServiceBusAdministrationClient,
    SqlRuleAction,
    SqlRuleFilter,
    TrueRuleFilter,
)

from cloudq.emulators.service_bus.broker.api import Message
from tests.unit.emulators.service_bus.admin.conftest import Served

MINUTE = timedelta(minutes=1)
# Where a rule is made or changed, azure-servicebus 7.15.0 asks an XML element for its truth value (in
# `serialize_rule_key_values`), which Python deprecates since 3.12. The driver makes no rules.
MAKES_RULES = pytest.mark.filterwarnings(
    "ignore:Testing an element's truth value:DeprecationWarning:azure.servicebus.management._utils"
)


def test_a_queue_keeps_what_it_was_made_with(served: Served, client: ServiceBusAdministrationClient) -> None:
    """All properties come back as they were given, those too that the emulator doesn't act on."""
    client.create_queue("graveyard")
    client.create_queue("target")
    client.create_queue(
        "orders",
        lock_duration=timedelta(seconds=5),
        max_size_in_megabytes=2048,
        requires_duplicate_detection=True,
        requires_session=False,
        default_message_time_to_live=timedelta(days=1, hours=2, minutes=3, seconds=4.5),
        dead_lettering_on_message_expiration=True,
        duplicate_detection_history_time_window=timedelta(minutes=2),
        max_delivery_count=3,
        forward_to="target",
        forward_dead_lettered_messages_to="graveyard",
        user_metadata="mine <&>",
        auto_delete_on_idle=timedelta(hours=1),
        max_message_size_in_kilobytes=256,
    )
    queue = client.get_queue("orders")
    assert (
        "orders",
        timedelta(seconds=5),
        2048,
        True,
        False,
        timedelta(days=1, hours=2, minutes=3, seconds=4.5),
        True,
        2 * MINUTE,
        3,
        f"sb://127.0.0.1:{served.port}/target",
        f"sb://127.0.0.1:{served.port}/graveyard",
        "mine <&>",
        timedelta(hours=1),
        256,
        EntityStatus.ACTIVE,
    ) == (
        queue.name,
        queue.lock_duration,
        queue.max_size_in_megabytes,
        queue.requires_duplicate_detection,
        queue.requires_session,
        queue.default_message_time_to_live,
        queue.dead_lettering_on_message_expiration,
        queue.duplicate_detection_history_time_window,
        queue.max_delivery_count,
        queue.forward_to,
        queue.forward_dead_lettered_messages_to,
        queue.user_metadata,
        queue.auto_delete_on_idle,
        queue.max_message_size_in_kilobytes,
        queue.status,
    )


def test_the_defaults_are_the_services(client: ServiceBusAdministrationClient) -> None:
    """What isn't given is as the service has it."""
    queue = client.create_queue("plain")
    assert (MINUTE, 10, 1024, False, False, 10 * MINUTE, 256) == (
        queue.lock_duration,
        queue.max_delivery_count,
        queue.max_size_in_megabytes,
        queue.requires_session,
        queue.requires_duplicate_detection,
        queue.duplicate_detection_history_time_window,
        queue.max_message_size_in_kilobytes,
    )
    assert queue.default_message_time_to_live is not None
    assert queue.default_message_time_to_live.days > 10_000_000


def test_updating_a_queue(client: ServiceBusAdministrationClient) -> None:
    """The client sends the whole description back; what it changed is in force."""
    queue = client.create_queue("orders", requires_session=True, user_metadata="kept")
    queue.max_delivery_count = 5
    queue.status = EntityStatus.SEND_DISABLED
    client.update_queue(queue)
    again = client.get_queue("orders")
    assert (5, EntityStatus.SEND_DISABLED, True, "kept") == (
        again.max_delivery_count,
        again.status,
        again.requires_session,
        again.user_metadata,
    )
    again.requires_session = False
    with pytest.raises(HttpResponseError, match="RequiresSession: it can't be changed") as caught:
        client.update_queue(again)
    assert 400 == caught.value.status_code


def test_forwarding_ends_with_an_update_that_leaves_it_out(client: ServiceBusAdministrationClient) -> None:
    """As the service does; and an entity may forward to itself, which is given back."""
    queue = client.create_queue("orders")
    queue.forward_to = queue.forward_dead_lettered_messages_to = "orders"
    client.update_queue(queue)
    queue = client.get_queue("orders")
    assert (queue.forward_to or "").endswith("/orders")
    assert (queue.forward_dead_lettered_messages_to or "").endswith("/orders")
    queue.forward_to = queue.forward_dead_lettered_messages_to = None
    client.update_queue(queue)
    queue = client.get_queue("orders")
    assert (None, None) == (queue.forward_to, queue.forward_dead_lettered_messages_to)
    client.create_topic("news")
    one = client.create_subscription("news", "one", forward_to="orders", forward_dead_lettered_messages_to="orders")
    one.forward_to = one.forward_dead_lettered_messages_to = None
    client.update_subscription("news", one)
    one = client.get_subscription("news", "one")
    assert (None, None) == (one.forward_to, one.forward_dead_lettered_messages_to)


def test_sessions_that_forward_are_refused(client: ServiceBusAdministrationClient) -> None:
    """A queue with sessions can't forward: 400, as the service answers."""
    client.create_queue("target")
    with pytest.raises(HttpResponseError, match="requires sessions can't forward") as caught:
        client.create_queue("orders", requires_session=True, forward_to="target")
    assert 400 == caught.value.status_code


def test_keys_are_kept(client: ServiceBusAdministrationClient) -> None:
    """Authorization rules of queues and topics come back with names, rights and keys, until others are given."""
    rules = [
        AuthorizationRule(
            type="SharedAccessAuthorizationRule",
            claim_type="SharedAccessKey",
            claim_value="None",
            key_name=name,
            rights=rights,
            primary_key="first",
            secondary_key="second",
        )
        for name, rights in (("all", [AccessRights.MANAGE, AccessRights.SEND]), ("listen", [AccessRights.LISTEN]))
    ]
    queue = client.create_queue("orders", authorization_rules=rules)
    topic = client.create_topic("news", authorization_rules=rules)
    queue.max_delivery_count = 5
    client.update_queue(queue)
    client.update_topic(topic)
    for entity in (client.get_queue("orders"), client.get_topic("news")):
        assert [
            ("all", ["Manage", "Send"], "first", "second", "SharedAccessKey", "SharedAccessAuthorizationRule"),
            ("listen", ["Listen"], "first", "second", "SharedAccessKey", "SharedAccessAuthorizationRule"),
        ] == [
            (rule.key_name, rule.rights, rule.primary_key, rule.secondary_key, rule.claim_type, rule.type)
            for rule in entity.authorization_rules or []
        ]
    queue = client.get_queue("orders")
    queue.authorization_rules = rules[:1]
    client.update_queue(queue)
    assert ["all"] == [rule.key_name for rule in client.get_queue("orders").authorization_rules or []]


def test_only_premium_entities_have_a_size_of_messages(
    client: ServiceBusAdministrationClient, premium: ServiceBusAdministrationClient
) -> None:
    """A Standard namespace refuses one of its own, a Premium one has 1 MiB if none is given."""
    with pytest.raises(HttpResponseError, match="MaxMessageSizeInKilobytes: only entities of Premium") as caught:
        client.create_queue("orders", max_message_size_in_kilobytes=1024)
    assert 400 == caught.value.status_code
    with pytest.raises(HttpResponseError, match="MaxMessageSizeInKilobytes"):
        client.create_topic("news", max_message_size_in_kilobytes=1024)
    queue = client.create_queue("orders", max_message_size_in_kilobytes=256)
    queue.max_message_size_in_kilobytes = 512
    with pytest.raises(HttpResponseError, match="MaxMessageSizeInKilobytes"):
        client.update_queue(queue)
    assert "Premium" == premium.get_namespace_properties().messaging_sku
    assert 1024 == premium.create_queue("plain").max_message_size_in_kilobytes
    assert 1024 == premium.create_topic("news").max_message_size_in_kilobytes
    queue = premium.create_queue("orders", max_message_size_in_kilobytes=2048)
    queue.max_message_size_in_kilobytes = 102_400
    premium.update_queue(queue)
    assert 102_400 == premium.get_queue("orders").max_message_size_in_kilobytes


def test_what_is_there_already_or_not_at_all(client: ServiceBusAdministrationClient) -> None:
    """A second one of a name, and what isn't there, are the client's own errors."""
    queue = client.create_queue("orders")
    with pytest.raises(ResourceExistsError, match="already exists"):
        client.create_queue("Orders")
    with pytest.raises(ResourceExistsError):
        client.create_topic("orders")
    client.delete_queue("orders")
    with pytest.raises(ResourceNotFoundError):
        client.get_queue("orders")
    with pytest.raises(ResourceNotFoundError):
        client.get_topic("orders")
    with pytest.raises(ResourceNotFoundError):
        client.delete_queue("orders")
    with pytest.raises(ResourceNotFoundError):
        client.update_queue(queue)
    with pytest.raises(ResourceNotFoundError):
        client.get_subscription("orders", "one")
    with pytest.raises(ResourceNotFoundError):
        client.create_subscription("orders", "one")


def test_values_out_of_bounds(client: ServiceBusAdministrationClient) -> None:
    """A bad request names the property."""
    with pytest.raises(HttpResponseError, match="LockDuration: 0:06:00 isn't between") as caught:
        client.create_queue("orders", lock_duration=6 * MINUTE)
    assert 400 == caught.value.status_code


def test_runtime_counts(served: Served, client: ServiceBusAdministrationClient) -> None:
    """Counts of a queue, a topic and a subscription, with the times of making and changing."""
    client.create_queue("orders")
    client.create_topic("news")
    client.create_subscription("news", "one")
    later = Message(payload=b"x", scheduled_enqueue_time=served.clock.now() + MINUTE)
    served.send("orders", Message(payload=b"x"), Message(payload=b"x"), later)
    served.send("news", Message(payload=b"x"), later)
    queue = client.get_queue_runtime_properties("orders")
    assert (3, 2, 1, 0, 0, 0) == (
        queue.total_message_count,
        queue.active_message_count,
        queue.scheduled_message_count,
        queue.dead_letter_message_count,
        queue.transfer_message_count,
        queue.transfer_dead_letter_message_count,
    )
    assert queue.size_in_bytes is not None
    assert queue.size_in_bytes > 3
    assert isinstance(queue.created_at_utc, datetime)
    assert served.clock.now() == queue.created_at_utc == queue.updated_at_utc
    topic = client.get_topic_runtime_properties("news")
    assert (1, 1) == (topic.subscription_count, topic.scheduled_message_count)
    subscription = client.get_subscription_runtime_properties("news", "one")
    assert (1, 1) == (subscription.active_message_count, subscription.total_message_count)
    assert ["one"] == [each.name for each in client.list_subscriptions_runtime_properties("news")]


def test_lists_come_in_pages(served: Served, client: ServiceBusAdministrationClient) -> None:
    """The client asks for page after page, and gets each entity once."""
    names = sorted(f"q{number}" for number in range(105))
    served.create_queues(*names)
    assert names == [queue.name for queue in client.list_queues()]
    assert [] == list(client.list_topics())


def test_topics_and_subscriptions(client: ServiceBusAdministrationClient) -> None:
    """They are made, changed, listed and deleted as queues are."""
    topic = client.create_topic("news", default_message_time_to_live=MINUTE, requires_duplicate_detection=True)
    topic.max_size_in_megabytes = 5120
    client.update_topic(topic)
    found = client.get_topic("news")
    assert (5120, MINUTE, True) == (
        found.max_size_in_megabytes,
        found.default_message_time_to_live,
        found.requires_duplicate_detection,
    )
    subscription = client.create_subscription("news", "one", requires_session=True, max_delivery_count=2)
    subscription.dead_lettering_on_filter_evaluation_exceptions = False
    client.update_subscription("news", subscription)
    client.create_subscription("news", "two")
    again = client.get_subscription("news", "one")
    assert (True, 2, False) == (
        again.requires_session,
        again.max_delivery_count,
        again.dead_lettering_on_filter_evaluation_exceptions,
    )
    assert ["one", "two"] == [each.name for each in client.list_subscriptions("news")]
    assert ["news"] == [each.name for each in client.list_topics()]
    client.delete_subscription("news", "one")
    assert ["two"] == [each.name for each in client.list_subscriptions("news")]
    client.delete_topic("news")
    with pytest.raises(ResourceNotFoundError):
        client.get_subscription("news", "two")


@MAKES_RULES
def test_rules(client: ServiceBusAdministrationClient) -> None:
    """Filters of all kinds come back as they were given, with the types of their values."""
    client.create_topic("news")
    client.create_subscription("news", "one")
    values = {"s": "text", "i": 1, "l": 2**40, "d": 1.5, "b": True, "t": timedelta(seconds=3)}
    values |= {"zoned": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "naive": datetime(2026, 1, 2, 3, 4, 5)}  # noqa: DTZ001
    client.create_rule(
        "news", "one", "sql", filter=SqlRuleFilter("a = @s", {f"@{name}": v for name, v in values.items()})
    )
    client.create_rule(
        "news", "one", "correlation", filter=CorrelationRuleFilter(label="x", to="y", properties=dict(values))
    )
    client.create_rule("news", "one", "never", filter=FalseRuleFilter())
    rules = {rule.name: rule for rule in client.list_rules("news", "one")}
    assert ["$Default", "correlation", "never", "sql"] == list(rules)
    assert isinstance(rules["$Default"].filter, TrueRuleFilter)
    assert isinstance(rules["never"].filter, FalseRuleFilter)
    sql, correlation = rules["sql"].filter, rules["correlation"].filter
    assert isinstance(sql, SqlRuleFilter)
    assert isinstance(correlation, CorrelationRuleFilter)
    assert ("a = @s", values) == (sql.sql_expression, {name[1:]: v for name, v in (sql.parameters or {}).items()})
    assert ("x", "y", values) == (correlation.label, correlation.to, correlation.properties)
    rule = client.get_rule("news", "one", "never")
    rule.filter = SqlRuleFilter("1 = 1")
    client.update_rule("news", "one", rule)
    changed = client.get_rule("news", "one", "never").filter
    assert isinstance(changed, SqlRuleFilter)
    client.delete_rule("news", "one", "$Default")
    assert ["correlation", "never", "sql"] == [each.name for each in client.list_rules("news", "one")]


@MAKES_RULES
def test_rules_with_actions(client: ServiceBusAdministrationClient) -> None:
    """An action comes back as it was given, until the rule is changed to one without. A topic says how many filters of
    both kinds it has: true and false are SQL."""
    client.create_topic("news")
    client.create_subscription("news", "one")
    client.create_rule(
        "news",
        "one",
        "r",
        filter=CorrelationRuleFilter(label="x"),
        action=SqlRuleAction("SET a = @p", parameters={"@p": 7}),
    )
    rule = client.get_rule("news", "one", "r")
    assert isinstance(rule.action, SqlRuleAction)
    assert ("SET a = @p", {"@p": 7}) == (rule.action.sql_expression, rule.action.parameters)
    topic = client.get_topic_runtime_properties("news")
    assert (1, 1) == (topic.sql_filter_count, topic.correlation_filter_count)
    rule.action = None
    client.update_rule("news", "one", rule)
    assert client.get_rule("news", "one", "r").action is None


@MAKES_RULES
def test_rules_that_are_refused(client: ServiceBusAdministrationClient) -> None:
    """Actions and filters that can't be read are bad requests that say why."""
    client.create_topic("news")
    client.create_subscription("news", "one")
    with pytest.raises(HttpResponseError, match=r"the action of the rule r \(SET a\): it ends where = should be"):
        client.create_rule("news", "one", "r", filter=TrueRuleFilter(), action=SqlRuleAction("SET a"))
    with pytest.raises(HttpResponseError, match="it ends where a value should be"):
        client.create_rule("news", "one", "r", filter=SqlRuleFilter("a ="))
    assert ["$Default"] == [each.name for each in client.list_rules("news", "one")]


def test_the_namespace(client: ServiceBusAdministrationClient) -> None:
    """Its properties are those of a Standard namespace."""
    namespace = client.get_namespace_properties()
    assert ("cloudq-emulator", "Standard") == (namespace.name, namespace.messaging_sku)
