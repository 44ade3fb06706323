"""The broker: `api.Messaging` over the entities."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from cloudq.emulators.service_bus.broker.address import Address, SubQueue
from cloudq.emulators.service_bus.broker.api import (
    BrokerError,
    Clock,
    Condition,
    Entity,
    Message,
    Received,
    ReceiveMode,
)
from cloudq.emulators.service_bus.broker.ends import Receiver, ReceiverSink, SessionSink, Waiting
from cloudq.emulators.service_bus.broker.entities import Entities, QueueEntity, Target, check_status, is_duplicate
from cloudq.emulators.service_bus.broker.queue import Queue
from cloudq.emulators.service_bus.broker.receivers import QueueReceiver
from cloudq.emulators.service_bus.broker.rules import NewRule, Rule
from cloudq.emulators.service_bus.broker.sessions import Session, Sessions, Wait
from cloudq.emulators.service_bus.broker.settings import STANDARD_MESSAGE_SIZE, Tier
from cloudq.emulators.service_bus.broker.store import OVERHEAD, Stored
from cloudq.emulators.service_bus.broker.world import World

# Microsoft, "Service Bus quotas".
_MAX_ID: Final = 128
_MAX_REASON: Final = 4096
_PEEK_LIMIT: Final = 250


class Broker:
    """A namespace in memory. Implements `api.Messaging`, whose methods say what they do.

    Args:
        clock: Where it gets its time from.
        tier: What kind of namespace it is.

    Attributes:
        entities: The namespace's queues, topics, subscriptions and rules, for the administration. To be used within
            `with broker.world:`, as everything is.
        world: What all entities share.
        tier: What kind of namespace it is.
    """

    def __init__(self, clock: Clock, tier: Tier = Tier.STANDARD) -> None:
        self.tier = tier
        self.world = World(clock)
        self.entities = Entities(self.world)

    # ── time ─────────────────────────────────────────────────────────────────────────────────────────────

    def next_due(self) -> datetime | None:
        """See `api.Messaging`."""
        return self.world.timers.next_due()

    def tick(self) -> None:
        """See `api.Messaging`."""
        with self.world:
            pass

    def on_due_change(self, callback: Callable[[], None]) -> None:
        """See `api.Messaging`."""
        self.world.timers.on_change = callback

    # ── sending ──────────────────────────────────────────────────────────────────────────────────────────

    def sender_entity(self, address: Address) -> Entity:
        """See `api.Messaging`."""
        with self.world:
            target = self._target(address)
            return Entity(requires_session=False, max_message_size=target.settings.max_message_size)

    def send(self, address: Address, messages: Sequence[Message]) -> None:
        """See `api.Messaging`."""
        self.schedule(address, messages)

    def schedule(self, address: Address, messages: Sequence[Message]) -> list[int]:
        """See `api.Messaging`."""
        with self.world:
            target = self._target(address)
            kept = target.queue if isinstance(target, QueueEntity) else target
            size = 0
            for message in messages:
                _check(message, target)
                kept.check(message)
                size += len(message.payload) + OVERHEAD
            kept.quota.check(size, target.name)
            now = self.world.now()
            return [
                0
                if is_duplicate(target, message.message_id, self.world)
                else kept.put(Stored(message=message, enqueued_at=now))
                for message in messages
            ]

    def cancel_scheduled(self, address: Address, sequence_numbers: Sequence[int]) -> None:
        """See `api.Messaging`."""
        with self.world:
            target = self._target(address)
            kept = target.queue if isinstance(target, QueueEntity) else target
            kept.cancel_scheduled(sequence_numbers)

    # ── receiving ────────────────────────────────────────────────────────────────────────────────────────

    def receiver_entity(self, address: Address) -> Entity:
        """See `api.Messaging`."""
        with self.world:
            queue = self._source(address)
            return Entity(requires_session=queue.sessions is not None, max_message_size=self._message_size(address))

    def open_receiver(self, address: Address, mode: ReceiveMode, sink: ReceiverSink) -> Receiver:
        """See `api.Messaging`."""
        with self.world:
            queue = self._source(address)
            if queue.sessions is not None:
                raise BrokerError(
                    Condition.NOT_ALLOWED,
                    f"{address} requires sessions: it is not possible to create a receiver without a session.",
                )
            receiver = QueueReceiver(queue, mode, sink)
            queue.receivers.add(receiver)
            return receiver

    def accept_session(
        self, address: Address, session_id: str | None, mode: ReceiveMode, sink: SessionSink, timeout: timedelta
    ) -> Waiting:
        """See `api.Messaging`."""
        with self.world:
            sessions = self._sessions(self._source(address))
            wait = Wait(sessions, mode, sink)
            if session_id is None:
                sessions.wait(wait, self.world.now() + timeout)
            else:
                _check_id("SessionId", session_id)
                sessions.accept(session_id, mode, sink)
            return wait

    def receive_deferred(
        self, address: Address, sequence_numbers: Sequence[int], mode: ReceiveMode, session_id: str | None = None
    ) -> list[Received]:
        """See `api.Messaging`."""
        with self.world:
            queue = self._source(address)
            session: Session | None = None
            if queue.sessions is not None:
                if session_id is None:
                    raise BrokerError(Condition.NOT_ALLOWED, f"{address} requires sessions: name the session.")
                session = queue.sessions.held(session_id)
            return queue.receive_deferred(sequence_numbers, mode, session)

    def peek(
        self, address: Address, from_sequence_number: int, count: int, session_id: str | None = None
    ) -> list[Received]:
        """See `api.Messaging`."""
        with self.world:
            topic = self.entities.find_topic(address)
            limit = min(count, _PEEK_LIMIT)
            if topic is not None:
                return topic.peek(from_sequence_number, limit)
            return self.entities.source(address).peek(from_sequence_number, limit, session_id)

    def delete_messages(self, address: Address, count: int, before: datetime, session_id: str | None = None) -> int:
        """See `api.Messaging`."""
        if not 1 <= count <= self.tier.most_deleted:
            raise BrokerError(
                Condition.OUT_OF_RANGE,
                f"Invalid message count {count}: it should be between 1 and {self.tier.most_deleted}.",
            )
        with self.world:
            queue = self._source(address)
            session: Session | None = None
            if queue.sessions is not None:
                if session_id is None:
                    raise BrokerError(Condition.NOT_ALLOWED, f"{address} requires sessions: name the session.")
                session = queue.sessions.held(session_id)
            return queue.delete(count, before, session)

    # ── settling ─────────────────────────────────────────────────────────────────────────────────────────

    def complete(self, address: Address, token: UUID) -> None:
        """See `api.Messaging`."""
        with self.world:
            queue = self.entities.source(address)
            queue.complete(queue.locked(token))

    def abandon(self, address: Address, token: UUID, properties: Mapping[str, object] | None = None) -> None:
        """See `api.Messaging`."""
        with self.world:
            queue = self.entities.source(address)
            queue.abandon(queue.locked(token), properties)

    def release(self, address: Address, token: UUID) -> None:
        """See `api.Messaging`."""
        with self.world:
            queue = self.entities.source(address)
            queue.release(queue.locked(token))

    def defer(self, address: Address, token: UUID, properties: Mapping[str, object] | None = None) -> None:
        """See `api.Messaging`."""
        with self.world:
            queue = self.entities.source(address)
            queue.defer(queue.locked(token), properties)

    def dead_letter(
        self,
        address: Address,
        token: UUID,
        *,
        reason: str | None = None,
        description: str | None = None,
        properties: Mapping[str, object] | None = None,
    ) -> None:
        """See `api.Messaging`."""
        for name, text in (("DeadLetterReason", reason), ("DeadLetterErrorDescription", description)):
            if text is not None and len(text) > _MAX_REASON:
                raise BrokerError(
                    Condition.INVALID_FIELD, f"{name} has {len(text)} characters of at most {_MAX_REASON}."
                )
        with self.world:
            queue = self.entities.source(address)
            queue.dead_letter(queue.locked(token), reason, description, properties)

    def renew_locks(self, address: Address, tokens: Sequence[UUID]) -> list[datetime]:
        """See `api.Messaging`."""
        with self.world:
            return self.entities.source(address).renew(tokens)

    # ── sessions ─────────────────────────────────────────────────────────────────────────────────────────

    def renew_session(self, address: Address, session_id: str) -> datetime:
        """See `api.Messaging`."""
        with self.world:
            sessions = self._sessions(self.entities.source(address))
            return sessions.renew(sessions.held(session_id))

    def session_state(self, address: Address, session_id: str) -> bytes | None:
        """See `api.Messaging`."""
        with self.world:
            return self._sessions(self.entities.source(address)).held(session_id).state

    def set_session_state(self, address: Address, session_id: str, state: bytes | None) -> None:
        """See `api.Messaging`."""
        with self.world:
            sessions = self._sessions(self.entities.source(address))
            session = sessions.held(session_id)
            limit = self._message_size(address)
            if state is not None and len(state) > limit:
                raise BrokerError(
                    Condition.INVALID_FIELD, f"A session's state has {len(state)} bytes of at most {limit}."
                )
            sessions.set_state(session, state)

    def session_ids(
        self, address: Address, *, updated_after: datetime | None = None, skip: int = 0, top: int = 100
    ) -> list[str]:
        """See `api.Messaging`."""
        with self.world:
            return self._sessions(self.entities.source(address)).ids(updated_after)[skip : skip + top]

    # ── rules ────────────────────────────────────────────────────────────────────────────────────────────

    def rules(self, address: Address) -> list[Rule]:
        """See `api.Messaging`."""
        with self.world:
            return self.entities.rules(*_subscription(address))

    def add_rule(self, address: Address, rule: NewRule) -> None:
        """See `api.Messaging`."""
        with self.world:
            self.entities.create_rule(*_subscription(address), rule)

    def remove_rule(self, address: Address, name: str) -> None:
        """See `api.Messaging`."""
        with self.world:
            self.entities.delete_rule(*_subscription(address), name)

    # ── the rest ─────────────────────────────────────────────────────────────────────────────────────────

    def _target(self, address: Address) -> Target:
        target = self.entities.target(address)
        check_status(target.settings.status, sends=True, path=target.name)
        return target

    def _source(self, address: Address) -> Queue:
        queue = self.entities.source(address)
        check_status(queue.settings.status, sends=False, path=queue.address.path)
        target = {
            None: queue.settings.forward_path,
            SubQueue.DEAD_LETTER: queue.settings.dead_letter_path,
        }.get(address.sub_queue)
        if target:
            raise BrokerError(
                Condition.NOT_ALLOWED, f"Nothing can be received from {address}: it forwards to {target}."
            )
        return queue

    def _message_size(self, address: Address) -> int:
        parts = address.split_subscription()
        if parts is not None:
            return self.entities.topic(parts[0]).settings.max_message_size
        return self.entities.queue(address.path).settings.max_message_size

    @staticmethod
    def _sessions(queue: Queue) -> Sessions:
        if queue.sessions is None:
            raise BrokerError(Condition.NOT_ALLOWED, f"{queue.address} has no sessions.")
        return queue.sessions


def _subscription(address: Address) -> tuple[str, str]:
    parts = address.split_subscription()
    if parts is None or address.sub_queue is not None:
        raise BrokerError(Condition.NOT_ALLOWED, f"{address} has no rules: it isn't a subscription.")
    return parts


def _check(message: Message, target: Target) -> None:
    limit = target.settings.max_message_size
    if len(message.payload) > limit:
        more = " Premium namespaces take more." if limit == STANDARD_MESSAGE_SIZE else ""
        raise BrokerError(
            Condition.MESSAGE_TOO_LARGE,
            f"The message has {len(message.payload)} bytes; {target.name} takes at most {limit}.{more}",
        )
    _check_id("MessageId", message.message_id)
    _check_id("SessionId", message.session_id)
    _check_id("PartitionKey", message.partition_key)
    if message.session_id is not None and message.partition_key not in {None, message.session_id}:
        raise BrokerError(
            Condition.INVALID_FIELD, "PartitionKey and SessionId differ: where both are set, they are one."
        )


def _check_id(name: str, value: str | None) -> None:
    if value is not None and len(value) > _MAX_ID:
        raise BrokerError(Condition.INVALID_FIELD, f"{name} has {len(value)} characters of at most {_MAX_ID}.")
