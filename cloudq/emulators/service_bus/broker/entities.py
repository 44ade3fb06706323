"""The entities of a namespace: made, changed, found, listed and deleted."""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec

from cloudq.emulators.service_bus.broker.address import Address, SubQueue
from cloudq.emulators.service_bus.broker.api import BrokerError, Condition
from cloudq.emulators.service_bus.broker.exits import Exits
from cloudq.emulators.service_bus.broker.queue import Queue
from cloudq.emulators.service_bus.broker.rules import DEFAULT_RULE, NewRule, Rule, TrueFilter
from cloudq.emulators.service_bus.broker.settings import (
    MEGABYTE,
    Counts,
    QueueSettings,
    Status,
    SubscriptionSettings,
    TopicSettings,
    out_of_bounds,
)
from cloudq.emulators.service_bus.broker.store import Quota, Seen, Stored
from cloudq.emulators.service_bus.broker.topic import Subscription, Topic
from cloudq.emulators.service_bus.broker.world import World

# Microsoft, "Service Bus quotas": the longest names.
_MAX_PATH: Final = 260
_MAX_NAME: Final = 50


class QueueEntity:
    """A queue by its name, with what it alone has."""

    __slots__ = ("created_at", "name", "queue", "seen", "settings", "updated_at")

    def __init__(self, name: str, settings: QueueSettings, queue: Queue) -> None:
        self.created_at = self.updated_at = queue.world.now()
        self.name = name
        self.settings = settings
        self.queue = queue
        self.seen = Seen()


Target: TypeAlias = QueueEntity | Topic


class Entities:
    """All entities. Names are kept as they were given and compared without regard to case.

    Every method that takes a name raises `BrokerError` with `NOT_FOUND` (404) if there is no such entity, those that
    make one `ENTITY_ALREADY_EXISTS` (409), and those that take settings `INVALID_FIELD`.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._queues: dict[str, QueueEntity] = {}
        self._topics: dict[str, Topic] = {}

    # ── finding ──────────────────────────────────────────────────────────────────────────────────────────

    def queues(self) -> list[QueueEntity]:
        """All queues, by name."""
        return [self._queues[key] for key in sorted(self._queues)]

    def topics(self) -> list[Topic]:
        """All topics, by name."""
        return [self._topics[key] for key in sorted(self._topics)]

    def subscriptions(self, topic: str) -> list[Subscription]:
        """A topic's subscriptions, by name."""
        found = self.topic(topic).subscriptions
        return [found[key] for key in sorted(found)]

    def rules(self, topic: str, subscription: str) -> list[Rule]:
        """A subscription's rules, by name."""
        found = self.subscription(topic, subscription).rules
        return [found[key] for key in sorted(found)]

    def queue(self, name: str) -> QueueEntity:
        """The queue."""
        found = self._queues.get(name.lower())
        if found is None:
            raise _not_found(name)
        return found

    def topic(self, name: str) -> Topic:
        """The topic."""
        found = self._topics.get(name.lower())
        if found is None:
            raise _not_found(name)
        return found

    def subscription(self, topic: str, name: str) -> Subscription:
        """The subscription."""
        found = self.topic(topic).subscriptions.get(name.lower())
        if found is None:
            raise _not_found(Address.subscription(topic, name).path)
        return found

    def rule(self, topic: str, subscription: str, name: str) -> Rule:
        """The rule."""
        found = self.subscription(topic, subscription).rules.get(name.lower())
        if found is None:
            raise _not_found(f"{Address.subscription(topic, subscription)}/Rules/{name}")
        return found

    def find_queue(self, address: Address) -> QueueEntity | None:
        """The queue at an address, if there is one."""
        return self._queues.get(address.key) if address.sub_queue is None else None

    def find_topic(self, address: Address) -> Topic | None:
        """The topic at an address, if there is one."""
        return self._topics.get(address.key) if address.sub_queue is None else None

    def target(self, address: Address) -> Target:
        """What messages can be sent to: a queue or a topic."""
        found = self._queues.get(address.key) or self._topics.get(address.key)
        if found is None or address.sub_queue is not None:
            self.source(address)
            raise BrokerError(
                Condition.NOT_ALLOWED, f"Messages can't be sent to {address}: it isn't a queue or a topic."
            )
        return found

    def source(self, address: Address) -> Queue:
        """What messages can be received from: the queue of a queue, a subscription, or a sub-queue of theirs."""
        entity = self._queues.get(address.key)
        if entity is not None:
            queue = entity.queue
        elif parts := address.split_subscription():
            queue = self.subscription(*parts).queue
        elif address.key in self._topics:
            raise BrokerError(
                Condition.NOT_ALLOWED, f"Nothing can be received from {address}: it is a topic. Name a subscription."
            )
        else:
            raise _not_found(str(address))
        if address.sub_queue is None:
            return queue
        if queue.exits is None:
            raise _not_found(str(address))
        is_dead_letter = address.sub_queue is SubQueue.DEAD_LETTER
        return queue.exits.dead_letters if is_dead_letter else queue.exits.transfer_dead_letters

    # ── making and changing ──────────────────────────────────────────────────────────────────────────────

    def create_queue(self, name: str, settings: QueueSettings) -> QueueEntity:
        """Makes a queue."""
        self._check_new(name)
        settings.check()
        self._check_forwarding(settings)
        quota = Quota(settings.max_size_megabytes * MEGABYTE)
        entity = self._queues[name.lower()] = QueueEntity(name, settings, self._make(Address(name), settings, quota))
        return entity

    def update_queue(self, name: str, settings: QueueSettings) -> None:
        """Changes a queue's settings."""
        entity = self.queue(name)
        _check_fixed(entity.settings, settings, "requires_session", "requires_duplicate_detection")
        settings.check()
        self._check_forwarding(settings)
        entity.settings = settings
        entity.updated_at = self._world.now()
        entity.queue.quota.limit = settings.max_size_megabytes * MEGABYTE
        entity.queue.change(settings)

    def create_topic(self, name: str, settings: TopicSettings) -> Topic:
        """Makes a topic without subscriptions."""
        self._check_new(name)
        settings.check()
        topic = Topic(self._world, name, settings, Quota(settings.max_size_megabytes * MEGABYTE))
        self._topics[name.lower()] = topic
        return topic

    def update_topic(self, name: str, settings: TopicSettings) -> None:
        """Changes a topic's settings."""
        topic = self.topic(name)
        _check_fixed(topic.settings, settings, "requires_duplicate_detection")
        settings.check()
        topic.settings = settings
        topic.updated_at = self._world.now()
        topic.quota.limit = settings.max_size_megabytes * MEGABYTE

    def create_subscription(
        self,
        topic_name: str,
        name: str,
        settings: SubscriptionSettings,
        rule: NewRule = NewRule(DEFAULT_RULE, TrueFilter()),  # noqa: B008 - a frozen value
    ) -> Subscription:
        """Makes a subscription with one rule; by default it gets every message."""
        topic = self.topic(topic_name)
        address = Address.subscription(topic.name, name)
        if name.lower() in topic.subscriptions:
            raise _exists(address.path)
        _check_name(name)
        settings.check()
        self._check_forwarding(settings)
        first = Rule(rule, self._world.now())
        subscription = Subscription(name, self._make(address, settings, topic.quota))
        subscription.rules[first.name.lower()] = first
        topic.subscriptions[name.lower()] = subscription
        return subscription

    def update_subscription(self, topic: str, name: str, settings: SubscriptionSettings) -> None:
        """Changes a subscription's settings."""
        subscription = self.subscription(topic, name)
        _check_fixed(subscription.queue.settings, settings, "requires_session")
        settings.check()
        self._check_forwarding(settings)
        subscription.updated_at = self._world.now()
        subscription.queue.change(settings)

    def create_rule(self, topic: str, subscription: str, new: NewRule) -> Rule:
        """Adds a rule to a subscription."""
        name, rules = new.name, self.subscription(topic, subscription).rules
        if name.lower() in rules:
            raise _exists(f"{Address.subscription(topic, subscription)}/Rules/{name}")
        _check_name(name)
        rule = rules[name.lower()] = Rule(new, self._world.now())
        return rule

    def update_rule(self, topic: str, subscription: str, new: NewRule) -> Rule:
        """Gives the rule of that name another filter and action."""
        old = self.rule(topic, subscription, new.name)
        rule = Rule(msgspec.structs.replace(new, name=old.name), old.created_at)
        self.subscription(topic, subscription).rules[new.name.lower()] = rule
        return rule

    # ── deleting ─────────────────────────────────────────────────────────────────────────────────────────

    def delete_queue(self, name: str) -> None:
        """Deletes a queue with its messages; its receivers end."""
        entity = self.queue(name)
        del self._queues[name.lower()]
        entity.queue.clear(_not_found(entity.name))

    def delete_topic(self, name: str) -> None:
        """Deletes a topic with its subscriptions."""
        topic = self.topic(name)
        del self._topics[name.lower()]
        topic.clear(_not_found(topic.name))

    def delete_subscription(self, topic: str, name: str) -> None:
        """Deletes a subscription with its messages."""
        subscription = self.subscription(topic, name)
        del self.topic(topic).subscriptions[name.lower()]
        subscription.queue.clear(_not_found(subscription.queue.address.path))

    def delete_rule(self, topic: str, subscription: str, name: str) -> None:
        """Deletes a rule; a subscription without any gets nothing."""
        self.rule(topic, subscription, name)
        del self.subscription(topic, subscription).rules[name.lower()]

    # ── counts ───────────────────────────────────────────────────────────────────────────────────────────

    def counts(self, queue: Queue) -> Counts:
        """How many messages a queue or a subscription has."""
        exits = queue.exits
        return Counts(
            active=len(queue.messages) - queue.scheduled,
            scheduled=queue.scheduled,
            dead_letter=len(exits.dead_letters.messages) if exits is not None else 0,
            transfer_dead_letter=len(exits.transfer_dead_letters.messages) if exits is not None else 0,
            size_in_bytes=queue.quota.used,
        )

    # ── the rest ─────────────────────────────────────────────────────────────────────────────────────────

    def _make(self, address: Address, settings: SubscriptionSettings, quota: Quota) -> Queue:
        dead, transfer = (
            Queue(self._world, Address(address.path, kind), settings, quota, None)
            for kind in (SubQueue.DEAD_LETTER, SubQueue.TRANSFER_DEAD_LETTER)
        )
        return Queue(self._world, address, settings, quota, Exits(address, dead, transfer, self._forward))

    def _forward(self, path: str, stored: Stored) -> None:
        target = self.target(Address(path))
        if not target.settings.status.sends:
            raise BrokerError(Condition.ENTITY_DISABLED, f"{path} is {target.settings.status}.")
        kept = target.queue if isinstance(target, QueueEntity) else target
        kept.check(stored.message)
        kept.quota.check(stored.size, path)
        if is_duplicate(target, stored.message.message_id, self._world):
            return
        kept.put(stored)

    def _check_new(self, name: str) -> None:
        if not name or len(name) > _MAX_PATH or name.startswith(("$", "/")) or name.endswith("/"):
            raise out_of_bounds("Name", f"{name!r} isn't 1 to {_MAX_PATH} characters without $ or / at its ends")
        if Address.parse(name).sub_queue is not None or Address(name).split_subscription() is not None:
            raise out_of_bounds("Name", f"{name!r} is the address of a part of another entity")
        if name.lower() in self._queues or name.lower() in self._topics:
            raise _exists(name)

    def _check_forwarding(self, settings: SubscriptionSettings) -> None:
        for name, target in (
            ("ForwardTo", settings.forward_path),
            ("ForwardDeadLetteredMessagesTo", settings.dead_letter_path),
        ):
            if not target:
                continue
            if target.lower() not in self._queues and target.lower() not in self._topics:
                raise out_of_bounds(name, f"there is no queue or topic {target}; it has to be made first")


def is_duplicate(target: Target, message_id: str | None, world: World) -> bool:
    """Whether the entity detects duplicates and has seen the id; if not, it has now."""
    settings = target.settings
    return (
        settings.requires_duplicate_detection
        and message_id is not None
        and target.seen.is_duplicate(message_id, world.now(), settings.duplicate_detection_window)
    )


def check_status(status: Status, *, sends: bool, path: str) -> None:
    """Raises `BrokerError` with `ENTITY_DISABLED` if the status doesn't allow to send, or to receive."""
    if not (status.sends if sends else status.receives):
        raise BrokerError(Condition.ENTITY_DISABLED, f"The messaging entity '{path}' is {status}.", status=403)


def _check_name(name: str) -> None:
    if not 1 <= len(name) <= _MAX_NAME or "/" in name:
        raise out_of_bounds("Name", f"{name!r} isn't 1 to {_MAX_NAME} characters without /")


def _check_fixed(old: msgspec.Struct, new: msgspec.Struct, *names: str) -> None:
    for name in names:
        if getattr(old, name) != getattr(new, name):
            raise out_of_bounds(
                "".join(part.capitalize() for part in name.split("_")), "it can't be changed once the entity exists"
            )


def _not_found(path: str) -> BrokerError:
    return BrokerError(Condition.NOT_FOUND, f"The messaging entity '{path}' could not be found.", status=404)


def _exists(path: str) -> BrokerError:
    return BrokerError(Condition.ENTITY_ALREADY_EXISTS, f"The messaging entity '{path}' already exists.", status=409)
