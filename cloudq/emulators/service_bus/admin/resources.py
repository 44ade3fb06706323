"""What the administration manages: queues, topics, subscriptions and rules, each as descriptions in XML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, Protocol, TypeVar
from xml.etree import ElementTree as ET

import msgspec

from cloudq.emulators.service_bus import properties
from cloudq.emulators.service_bus.admin import atom
from cloudq.emulators.service_bus.admin.authorization import read_authorization, write_authorization
from cloudq.emulators.service_bus.admin.rules import read_rule, write_rule
from cloudq.emulators.service_bus.broker.entities import Entities, QueueEntity
from cloudq.emulators.service_bus.broker.rules import DEFAULT_RULE, CorrelationFilter, NewRule, Rule, TrueFilter
from cloudq.emulators.service_bus.broker.settings import (
    Counts,
    QueueSettings,
    SubscriptionSettings,
    Tier,
    TopicSettings,
    out_of_bounds,
)
from cloudq.emulators.service_bus.broker.topic import Subscription, Topic

Storing = TypeVar("Storing", QueueSettings, TopicSettings)

# The emulator doesn't note when an entity was used last; this is .NET's zero.
_NEVER: Final = "0001-01-01T00:00:00Z"


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where the entities are.

    Attributes:
        host: The host and port that the client used: addresses of entities that were given by name start with it.
        tier: The kind of namespace.
    """

    entities: Entities
    host: str
    tier: Tier


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One entity, described."""

    name: str
    description: ET.Element
    created_at: datetime
    updated_at: datetime


class Resource(Protocol):
    """All entities of a kind in their place. Methods raise what `Entities` raises, and `ValueError` for XML."""

    kind: str

    def names(self) -> Sequence[str]:
        """Their names, sorted."""
        ...

    def get(self, name: str) -> Item:
        """One of them."""
        ...

    def create(self, name: str, description: ET.Element) -> None:
        """Makes one."""
        ...

    def update(self, name: str, description: ET.Element) -> None:
        """Changes one. What the description leaves out stays as it is, but forwarding: that ends."""
        ...

    def delete(self, name: str) -> None:
        """Deletes one."""
        ...


class Queues:
    """All queues."""

    kind = "QueueDescription"

    def __init__(self, place: Place) -> None:
        self._place = place
        self._entities = place.entities

    def names(self) -> list[str]:
        """See `Resource`."""
        return [entity.name for entity in self._entities.queues()]

    def get(self, name: str) -> Item:
        """See `Resource`."""
        entity = self._entities.queue(name)
        counts = self._entities.counts(entity.queue)
        given = properties.properties_of(entity.settings, properties.QUEUE)
        element = _described(self.kind, _with_addresses(given, self._place.host), counts, entity)
        write_authorization(element, entity.settings.inert.authorization)
        atom.add(element, "SizeInBytes", str(counts.size_in_bytes))
        return Item(name=entity.name, description=element, created_at=entity.created_at, updated_at=entity.updated_at)

    def create(self, name: str, description: ET.Element) -> None:
        """See `Resource`."""
        new = QueueSettings(max_message_size=self._place.tier.message_size)
        settings = properties.with_properties(new, properties.QUEUE, atom.texts(description))
        self._entities.create_queue(name, _checked(settings, new, description, self._place.tier))

    def update(self, name: str, description: ET.Element) -> None:
        """See `Resource`."""
        old = msgspec.structs.replace(
            self._entities.queue(name).settings, forward_to=None, forward_dead_letters_to=None
        )
        settings = properties.with_properties(old, properties.QUEUE, atom.texts(description))
        self._entities.update_queue(name, _checked(settings, old, description, self._place.tier))

    def delete(self, name: str) -> None:
        """See `Resource`."""
        self._entities.delete_queue(name)


class Topics:
    """All topics."""

    kind = "TopicDescription"

    def __init__(self, place: Place) -> None:
        self._place = place
        self._entities = place.entities

    def names(self) -> list[str]:
        """See `Resource`."""
        return [topic.name for topic in self._entities.topics()]

    def get(self, name: str) -> Item:
        """See `Resource`."""
        topic = self._entities.topic(name)
        given = properties.properties_of(topic.settings, properties.TOPIC)
        element = _described(self.kind, given, Counts(scheduled=topic.scheduled), topic)
        atom.add(element, "SizeInBytes", str(topic.quota.used))
        atom.add(element, "SubscriptionCount", str(len(topic.subscriptions)))
        rules = [rule.filter for subscription in topic.subscriptions.values() for rule in subscription.rules.values()]
        correlations = sum(isinstance(each, CorrelationFilter) for each in rules)
        atom.add(element, "SqlFilterCount", str(len(rules) - correlations))  # true and false are SQL, too
        atom.add(element, "CorrelationFilterCount", str(correlations))
        write_authorization(element, topic.settings.inert.authorization)
        return Item(name=topic.name, description=element, created_at=topic.created_at, updated_at=topic.updated_at)

    def create(self, name: str, description: ET.Element) -> None:
        """See `Resource`."""
        new = TopicSettings(max_message_size=self._place.tier.message_size)
        settings = properties.with_properties(new, properties.TOPIC, atom.texts(description))
        self._entities.create_topic(name, _checked(settings, new, description, self._place.tier))

    def update(self, name: str, description: ET.Element) -> None:
        """See `Resource`."""
        old = self._entities.topic(name).settings
        settings = properties.with_properties(old, properties.TOPIC, atom.texts(description))
        self._entities.update_topic(name, _checked(settings, old, description, self._place.tier))

    def delete(self, name: str) -> None:
        """See `Resource`."""
        self._entities.delete_topic(name)


class Subscriptions:
    """The subscriptions of a topic."""

    kind = "SubscriptionDescription"

    def __init__(self, place: Place, topic: str) -> None:
        self._host = place.host
        self._entities = place.entities
        self._topic = topic

    def names(self) -> list[str]:
        """See `Resource`."""
        return [subscription.name for subscription in self._entities.subscriptions(self._topic)]

    def get(self, name: str) -> Item:
        """See `Resource`."""
        subscription = self._entities.subscription(self._topic, name)
        counts = self._entities.counts(subscription.queue)
        given = properties.properties_of(subscription.queue.settings, properties.SUBSCRIPTION)
        return Item(
            name=subscription.name,
            description=_described(self.kind, _with_addresses(given, self._host), counts, subscription),
            created_at=subscription.created_at,
            updated_at=subscription.updated_at,
        )

    def create(self, name: str, description: ET.Element) -> None:
        """See `Resource`. The first rule is the default one that the description gives, else one for all messages."""
        given = atom.texts(description)
        settings = properties.with_properties(SubscriptionSettings(), properties.SUBSCRIPTION, given)
        rule = atom.find(description, "DefaultRuleDescription")
        first = NewRule(DEFAULT_RULE, TrueFilter()) if rule is None else read_rule(rule)
        self._entities.create_subscription(self._topic, name, settings, first)

    def update(self, name: str, description: ET.Element) -> None:
        """See `Resource`."""
        old = msgspec.structs.replace(
            self._entities.subscription(self._topic, name).queue.settings,
            forward_to=None,
            forward_dead_letters_to=None,
        )
        settings = properties.with_properties(old, properties.SUBSCRIPTION, atom.texts(description))
        self._entities.update_subscription(self._topic, name, settings)

    def delete(self, name: str) -> None:
        """See `Resource`."""
        self._entities.delete_subscription(self._topic, name)


class Rules:
    """The rules of a subscription."""

    kind = "RuleDescription"

    def __init__(self, place: Place, topic: str, subscription: str) -> None:
        self._entities = place.entities
        self._place = (topic, subscription)

    def names(self) -> list[str]:
        """See `Resource`."""
        return [rule.name for rule in self._entities.rules(*self._place)]

    def get(self, name: str) -> Item:
        """See `Resource`."""
        rule: Rule = self._entities.rule(*self._place, name)
        description = write_rule(rule)
        return Item(name=rule.name, description=description, created_at=rule.created_at, updated_at=rule.created_at)

    def create(self, name: str, description: ET.Element) -> None:
        """See `Resource`."""
        rule = read_rule(description)
        self._entities.create_rule(*self._place, msgspec.structs.replace(rule, name=name))

    def update(self, name: str, description: ET.Element) -> None:
        """See `Resource`."""
        rule = read_rule(description)
        self._entities.update_rule(*self._place, msgspec.structs.replace(rule, name=name))

    def delete(self, name: str) -> None:
        """See `Resource`."""
        self._entities.delete_rule(*self._place, name)


def _checked(settings: Storing, old: Storing, description: ET.Element, tier: Tier) -> Storing:
    """The settings with the description's keys. Raises `BrokerError` for what only Premium can have."""
    if tier is Tier.STANDARD and settings.max_message_size != old.max_message_size:
        raise out_of_bounds("MaxMessageSizeInKilobytes", "only entities of Premium namespaces have a size of their own")
    given = read_authorization(description)
    if given is None:
        return settings
    return msgspec.structs.replace(settings, inert=msgspec.structs.replace(settings.inert, authorization=given))


def _with_addresses(given: Mapping[str, str], host: str) -> dict[str, str]:
    # The service states what an entity forwards to by its address.
    return {
        name: f"sb://{host}/{text}" if name in properties.FORWARDING and "://" not in text else text
        for name, text in given.items()
    }


def _described(
    kind: str, given: Mapping[str, str], counts: Counts, entity: QueueEntity | Topic | Subscription
) -> ET.Element:
    element = atom.description(kind)
    atom.fill(element, given)
    atom.add(element, "MessageCount", str(counts.total))
    details = atom.add(element, "CountDetails", **{"xmlns:d": atom.COUNTS})
    for name, count in (
        ("ActiveMessageCount", counts.active),
        ("DeadLetterMessageCount", counts.dead_letter),
        ("ScheduledMessageCount", counts.scheduled),
        ("TransferMessageCount", counts.transfer),
        ("TransferDeadLetterMessageCount", counts.transfer_dead_letter),
    ):
        atom.add(details, f"d:{name}", str(count))
    atom.add(element, "CreatedAt", atom.moment(entity.created_at))
    atom.add(element, "UpdatedAt", atom.moment(entity.updated_at))
    atom.add(element, "AccessedAt", _NEVER)
    atom.add(element, "EntityAvailabilityStatus", "Available")
    return element
