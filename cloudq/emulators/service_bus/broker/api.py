"""The broker's interface: what the AMQP server and the administration call, and what the broker calls back.

Single-threaded: all calls come from one thread (the event loop's). All are synchronous and none waits. Time comes from
a `Clock`; nothing runs by itself: the broker's owner calls `tick` at `next_due`. Every operation first does what
is due by the clock, so that a late tick is never visible.

What the broker calls back (the sinks in `ends`) is called from inside an operation or `tick`, once the
broker's own state is consistent: the sink may call the broker.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum, IntEnum, StrEnum
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

import msgspec

from cloudq.emulators.service_bus.broker.address import Address

if TYPE_CHECKING:
    from cloudq.emulators.service_bus.broker.ends import Receiver, ReceiverSink, SessionSink, Waiting
    from cloudq.emulators.service_bus.broker.rules import NewRule, Rule


class Clock(Protocol):
    """Where the broker gets its time from."""

    def now(self) -> datetime:
        """The wall-clock time, aware, in UTC."""


# ── errors ───────────────────────────────────────────────────────────────────────────────────────────────


class Condition(StrEnum):
    """The AMQP error conditions that the broker answers with."""

    NOT_FOUND = "amqp:not-found"
    NOT_ALLOWED = "amqp:not-allowed"
    INVALID_FIELD = "amqp:invalid-field"
    OUT_OF_RANGE = "com.microsoft:argument-out-of-range"
    PRECONDITION_FAILED = "amqp:precondition-failed"
    QUOTA_EXCEEDED = "amqp:resource-limit-exceeded"
    MESSAGE_TOO_LARGE = "amqp:link:message-size-exceeded"
    DETACH_FORCED = "amqp:link:detach-forced"
    MESSAGE_LOCK_LOST = "com.microsoft:message-lock-lost"
    MESSAGE_NOT_FOUND = "com.microsoft:message-not-found"
    SESSION_LOCK_LOST = "com.microsoft:session-lock-lost"
    SESSION_CANNOT_BE_LOCKED = "com.microsoft:session-cannot-be-locked"
    TIMEOUT = "com.microsoft:timeout"
    ENTITY_DISABLED = "com.microsoft:entity-disabled"
    ENTITY_ALREADY_EXISTS = "com.microsoft:entity-already-exists"


class BrokerError(Exception):
    """The broker refuses an operation; nothing of it was done.

    Attributes:
        condition: The AMQP error condition.
        status: The status code of a `$management` reply.
        text: What is wrong, for people.
    """

    def __init__(self, condition: Condition, text: str, *, status: int = 400) -> None:
        super().__init__(text)
        self.condition = condition
        self.status = status
        self.text = text


# ── messages ─────────────────────────────────────────────────────────────────────────────────────────────


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A message as a sender gave it: its bytes, which the broker never reads, and what the broker needs of them.

    Attributes:
        payload: The AMQP message, encoded. Its length is the message's size.
        message_id: For duplicate detection; other AMQP types than strings as text.
        session_id: Required by entities with sessions.
        time_to_live: From being enqueued; cut to whole seconds, of which there is at least one.
        scheduled_enqueue_time: When it becomes available; `None` or a time past: at once.
        application_properties: By name. Only rules read it: a mapping that decodes when first asked is enough.
    """

    payload: bytes
    message_id: str | None = None
    session_id: str | None = None
    partition_key: str | None = None
    time_to_live: timedelta | None = None
    scheduled_enqueue_time: datetime | None = None
    correlation_id: str | None = None
    subject: str | None = None
    to: str | None = None
    reply_to: str | None = None
    reply_to_session_id: str | None = None
    content_type: str | None = None
    application_properties: Mapping[str, object] = {}


class MessageState(IntEnum):
    """The annotation `x-opt-message-state`."""

    ACTIVE = 0
    DEFERRED = 1
    SCHEDULED = 2


class ReceiveMode(Enum):
    """What handing over a message does to it."""

    PEEK_LOCK = "peek-lock"
    RECEIVE_AND_DELETE = "receive-and-delete"


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """A message as the broker hands it over: what was sent, and what the broker knows about it.

    Attributes:
        message: What the sender gave.
        sequence_number: The entity's own, from 1. A scheduled message gets a new one when it becomes due.
        enqueued_sequence_number: Of the entity it was sent to first (a topic, the start of a chain of forwarding).
        enqueued_at: When it became available in this entity, or, while it is scheduled, when it was sent.
        state: Active, deferred or scheduled.
        delivery_count: How many deliveries failed before this one: 0 at the first.
        time_to_live: What is in force: the smaller of the message's and the entity's; `None` is without end.
        lock_token: Settles it. `None` if it isn't locked: peeked at, or received and deleted.
        locked_until: Until when it is locked; in a session, until when the session is.
        dead_letter_source: The entity that dead-lettered it.
        set_properties: Application properties set since it was sent (`DeadLetterReason`, ...), over its own.
        removed_properties: The names of its own ones that a rule's action has taken away.
    """

    message: Message
    sequence_number: int
    enqueued_sequence_number: int
    enqueued_at: datetime
    state: MessageState
    delivery_count: int
    time_to_live: timedelta | None = None
    lock_token: UUID | None = None
    locked_until: datetime | None = None
    dead_letter_source: str | None = None
    set_properties: Mapping[str, object] = {}
    removed_properties: frozenset[str] = frozenset()


# ── the broker ───────────────────────────────────────────────────────────────────────────────────────────


class Entity(msgspec.Struct, frozen=True, kw_only=True):
    """What a link needs to know about the entity at its address.

    Attributes:
        requires_session: Receivers have to accept a session; false for dead-letter sub-queues.
        max_message_size: In bytes.
    """

    requires_session: bool
    max_message_size: int


class Messaging(Protocol):
    """What the AMQP server calls.

    Every operation with an address raises `BrokerError` with `NOT_FOUND` if there is no such entity, `ENTITY_DISABLED`
    if its status forbids the operation, and `NOT_ALLOWED` if its kind does: receiving from a topic, sending to a
    subscription or a sub-queue, a session receiver where there are no sessions and the other way round.
    Token arguments settle by lock: `MESSAGE_LOCK_LOST` (410) if it ran out or the message was settled; in entities with
    sessions `SESSION_LOCK_LOST`.
    """

    # Time.

    def next_due(self) -> datetime | None:
        """When `tick` has something to do; `None`: never, as things are."""
        ...

    def tick(self) -> None:
        """Does what is due by the clock: locks, sessions and messages that expire, schedules, waits that end."""
        ...

    def on_due_change(self, callback: Callable[[], None]) -> None:
        """Calls `callback` whenever `next_due` may have become earlier, for the owner to set its timer again."""
        ...

    # Sending.

    def sender_entity(self, address: Address) -> Entity:
        """Checks that a sender may attach to the address, and describes the entity."""
        ...

    def send(self, address: Address, messages: Sequence[Message]) -> None:
        """Stores the messages, all or none; a batch is one call. Those in the future are scheduled.

        Raises:
            BrokerError: `MESSAGE_TOO_LARGE`, `QUOTA_EXCEEDED`, `NOT_ALLOWED` (no session id where it is required),
                `INVALID_FIELD` (an id of more than 128 characters).
        """
        ...

    def schedule(self, address: Address, messages: Sequence[Message]) -> Sequence[int]:
        """Stores the messages as `send` does. Returns their sequence numbers; 0 for a duplicate that was left out."""
        ...

    def cancel_scheduled(self, address: Address, sequence_numbers: Sequence[int]) -> None:
        """Removes scheduled messages, all or none.

        Raises:
            BrokerError: `MESSAGE_NOT_FOUND` (404): one isn't there, or not scheduled any more.
        """
        ...

    # Receiving.

    def receiver_entity(self, address: Address) -> Entity:
        """Checks that a receiver may attach to the address, and describes the entity."""
        ...

    def open_receiver(self, address: Address, mode: ReceiveMode, sink: ReceiverSink) -> Receiver:
        """A receiver of an entity without sessions; it starts without credit."""
        ...

    def accept_session(
        self, address: Address, session_id: str | None, mode: ReceiveMode, sink: SessionSink, timeout: timedelta
    ) -> Waiting:
        """Locks a session for a receiver: the given one (at once, or refused), or the next available (`None`).

        The sink gets the result, possibly before this returns. Only a wait for the next available one takes time:
        it is refused with `TIMEOUT` after `timeout`.
        """
        ...

    def receive_deferred(
        self, address: Address, sequence_numbers: Sequence[int], mode: ReceiveMode, session_id: str | None = None
    ) -> Sequence[Received]:
        """Takes deferred messages, all or none; with a session, under that session's lock.

        Raises:
            BrokerError: `MESSAGE_NOT_FOUND` (404): one isn't there, not deferred or locked; `SESSION_LOCK_LOST`.
        """
        ...

    def peek(
        self, address: Address, from_sequence_number: int, count: int, session_id: str | None = None
    ) -> Sequence[Received]:
        """Up to `count` messages in the order of their sequence numbers, of all states, locked or not."""
        ...

    def delete_messages(self, address: Address, count: int, before: datetime, session_id: str | None = None) -> int:
        """Deletes up to `count` of the oldest messages that were enqueued before a moment. Returns how many.

        Locked ones stay, and so do those that are deferred or scheduled. Of an entity with sessions they are those of
        the session, which has to be held. Nothing is deleted if `count` is more than the namespace's tier takes.
        """
        ...

    # Settling.

    def complete(self, address: Address, token: UUID) -> None:
        """Deletes the message."""
        ...

    def abandon(self, address: Address, token: UUID, properties: Mapping[str, object] | None = None) -> None:
        """Makes the message available at once (a deferred one stays deferred), its delivery count raised by one.

        At the entity's largest count it is dead-lettered with the reason `MaxDeliveryCountExceeded`.
        """
        ...

    def release(self, address: Address, token: UUID) -> None:
        """Gives the message back as if it hadn't been delivered: its count stays."""
        ...

    def defer(self, address: Address, token: UUID, properties: Mapping[str, object] | None = None) -> None:
        """Sets the message aside: only its sequence number gets it. Its delivery count is raised by one."""
        ...

    def dead_letter(
        self,
        address: Address,
        token: UUID,
        *,
        reason: str | None = None,
        description: str | None = None,
        properties: Mapping[str, object] | None = None,
    ) -> None:
        """Moves the message to the dead-letter sub-queue. In such a queue it stays where it is, its lock given up.

        Raises:
            BrokerError: `INVALID_FIELD`: the reason or the description has more than 4,096 characters.
        """
        ...

    def renew_locks(self, address: Address, tokens: Sequence[UUID]) -> Sequence[datetime]:
        """Renews locks by the entity's lock duration, all or none. Returns until when they hold."""
        ...

    # Sessions.

    def renew_session(self, address: Address, session_id: str) -> datetime:
        """Renews a session's lock. Returns until when it holds.

        Raises:
            BrokerError: `SESSION_LOCK_LOST` (410): nobody holds the session.
        """
        ...

    def session_state(self, address: Address, session_id: str) -> bytes | None:
        """What was stored with the session; `None` if nothing was. Raises `SESSION_LOCK_LOST` as `renew_session`."""
        ...

    def set_session_state(self, address: Address, session_id: str, state: bytes | None) -> None:
        """Stores something with the session. `None` removes it. Raises `SESSION_LOCK_LOST` as `renew_session`."""
        ...

    def session_ids(
        self, address: Address, *, updated_after: datetime | None = None, skip: int = 0, top: int = 100
    ) -> Sequence[str]:
        """The sessions with messages or a state, sorted; with a time, those whose state was set after it."""
        ...

    # Rules.

    def rules(self, address: Address) -> Sequence[Rule]:
        """The rules of a subscription, by name. Raises `NOT_ALLOWED` if the address is no subscription's."""
        ...

    def add_rule(self, address: Address, rule: NewRule) -> None:
        """Adds a rule to a subscription. Raises `INVALID_FIELD`, `ENTITY_ALREADY_EXISTS` (409), or as `rules`."""

    def remove_rule(self, address: Address, name: str) -> None:
        """Removes a rule. Raises `NOT_FOUND`, or as `rules`."""
