"""Topics: each message goes to every subscription that has a rule for it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import count

from cloudq.emulators.service_bus.broker import lifetimes
from cloudq.emulators.service_bus.broker.api import BrokerError, Condition, Message, MessageState, Received
from cloudq.emulators.service_bus.broker.queue import Queue
from cloudq.emulators.service_bus.broker.rules import Rule, copies
from cloudq.emulators.service_bus.broker.settings import TopicSettings
from cloudq.emulators.service_bus.broker.sql_tokens import SqlError
from cloudq.emulators.service_bus.broker.store import Messages, Quota, Seen, Stored
from cloudq.emulators.service_bus.broker.world import World


class Subscription:
    """A topic's subscription: a queue, and the rules by name (their names in lower case)."""

    __slots__ = ("created_at", "name", "queue", "rules", "updated_at")

    def __init__(self, name: str, queue: Queue) -> None:
        self.created_at = self.updated_at = queue.world.now()
        self.name = name
        self.queue = queue
        self.rules: dict[str, Rule] = {}


class Topic:
    """A topic. It keeps only what is scheduled: all else is with the subscriptions, or is dropped.

    Attributes:
        subscriptions: By their names in lower case.
        quota: What all subscriptions share.
        seen: The message ids, for duplicate detection.
    """

    def __init__(self, world: World, name: str, settings: TopicSettings, quota: Quota) -> None:
        self.created_at = self.updated_at = world.now()
        self.name = name
        self.settings = settings
        self.quota = quota
        self.seen = Seen()
        self.subscriptions: dict[str, Subscription] = {}
        self.messages = Messages()
        self._world = world
        self._numbers = count(1)

    @property
    def scheduled(self) -> int:
        """How many messages wait for their time."""
        return len(self.messages)

    def put(self, stored: Stored) -> int:
        """Takes a message in: for the subscriptions, or until it is due. Returns its number."""
        now = self._world.now()
        stored.enqueued_at = now
        stored.sequence = next(self._numbers)
        stored.enqueued_sequence = stored.enqueued_sequence or stored.sequence
        due = stored.message.scheduled_enqueue_time
        if due is not None and due > now and not stored.hops:
            stored.state = MessageState.SCHEDULED
            self.messages.add(stored)
            self.quota.used += stored.size
            stored.timer = self._world.timers.at(due, partial(self._due, stored))
        else:
            self._spread(stored)
        return stored.sequence

    def cancel_scheduled(self, numbers: Sequence[int]) -> None:
        """Removes scheduled messages, all or none."""
        found = [self.messages.get(number) for number in dict.fromkeys(numbers)]
        if None in found:
            raise BrokerError(
                Condition.MESSAGE_NOT_FOUND,
                "One of the messages isn't scheduled: it was cancelled, has become due or never was.",
                status=404,
            )
        for stored in found:
            if stored is not None:
                self._remove(stored)

    def peek(self, number: int, limit: int) -> list[Received]:
        """Up to `limit` scheduled messages from that number on."""
        found: list[Received] = []
        for stored in self.messages.since(number):
            if len(found) >= limit:
                break
            found.append(stored.received())
        return found

    def clear(self, error: BrokerError) -> None:
        """The topic is gone, with its subscriptions."""
        for stored in list(self.messages):
            self._remove(stored)
        for subscription in self.subscriptions.values():
            subscription.queue.clear(error)

    def check(self, message: Message) -> None:
        """Any message may be sent: a subscription with sessions leaves out those without a session."""

    def _due(self, stored: Stored) -> None:
        self._remove(stored)
        stored.state = MessageState.ACTIVE
        stored.sequence = stored.enqueued_sequence = next(self._numbers)
        self._spread(stored)

    def _remove(self, stored: Stored) -> None:
        self._world.timers.cancel(stored.timer)
        stored.timer = None
        self.messages.remove(stored)
        self.quota.used -= stored.size

    def _spread(self, stored: Stored) -> None:
        message, now = stored.message, self._world.now()
        for subscription in list(self.subscriptions.values()):
            queue = subscription.queue
            copy = stored.copy(now)
            copy.time_to_live = lifetimes.in_force(None, stored.time_to_live, self.settings.default_time_to_live)
            try:
                for change in copies(subscription.rules, message):
                    queue.check(message)
                    queue.put(copy.changed(change, now))
            except SqlError as error:
                if queue.settings.dead_letter_on_filter_errors:
                    queue.bury_copy(copy, "FilterEvaluationException", f"A rule can't be evaluated: {error}")
            except BrokerError as error:
                # As the service does: such a message is dead-lettered in the subscription, the others get it.
                queue.bury_copy(copy, "Session id is null.", error.text)
