"""What a queue keeps its messages in: the messages, what they take, those that are ready, and the ids it has seen."""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from cloudq.emulators.service_bus.broker.api import BrokerError, Condition, Message, MessageState, Received
from cloudq.emulators.service_bus.broker.sql_actions import Change
from cloudq.emulators.service_bus.broker.timers import Timer

# A message counts its bytes and this: about what keeping one takes, so that an entity's largest size bounds memory,
# also with messages of a few bytes.
OVERHEAD: Final = 512
_WORTH_IT: Final = 64


class Stored(msgspec.Struct, kw_only=True, eq=False):
    """A message in a queue. Only its queue changes it.

    Attributes:
        sequence: Its number in this queue.
        enqueued_sequence: Its number in the first entity.
        expires_at: When its time to live ends, if it has one.
        timer: For its schedule or its end.
        ready: Whether it stands in line to be delivered.
        properties: Application properties that were set since it was sent.
        removed: The names of those that were taken away.
        hops: How often it was forwarded.
    """

    message: Message
    sequence: int = 0
    enqueued_sequence: int = 0
    enqueued_at: datetime
    state: MessageState = MessageState.ACTIVE
    deliveries: int = 0
    time_to_live: timedelta | None = None
    expires_at: datetime | None = None
    timer: Timer | None = None
    ready: bool = False
    token: UUID | None = None
    locked_until: datetime | None = None
    lock_timer: Timer | None = None
    source: str | None = None
    properties: dict[str, object] | None = None
    removed: frozenset[str] = frozenset()
    hops: int = 0

    @property
    def size(self) -> int:
        """What it counts towards the entity's largest size."""
        return len(self.message.payload) + OVERHEAD

    def set(self, properties: Mapping[str, object] | None) -> None:
        """Sets application properties, over those that there are."""
        if properties:
            self.properties = {**(self.properties or {}), **properties}

    def set_reason(self, reason: str | None, description: str | None) -> None:
        """Sets why it is a dead letter; what is `None` stays as it is."""
        named = {"DeadLetterReason": reason, "DeadLetterErrorDescription": description}
        self.set({name: text for name, text in named.items() if text is not None})

    def received(self) -> Received:
        """The message as it is now, for a client."""
        return Received(
            message=self.message,
            sequence_number=self.sequence,
            enqueued_sequence_number=self.enqueued_sequence,
            enqueued_at=self.enqueued_at,
            state=self.state,
            delivery_count=self.deliveries,
            time_to_live=self.time_to_live,
            lock_token=self.token,
            locked_until=self.locked_until,
            dead_letter_source=self.source,
            set_properties=dict(self.properties) if self.properties else {},
            removed_properties=self.removed,
        )

    def copy(self, now: datetime) -> Stored:
        """The message for another queue: what it has become, without this queue's number, lock and timers."""
        return Stored(
            message=self.message,
            enqueued_sequence=self.enqueued_sequence,
            enqueued_at=now,
            deliveries=self.deliveries,
            source=self.source,
            properties=dict(self.properties) if self.properties else None,
            removed=self.removed,
            hops=self.hops,
        )

    def changed(self, change: Change | None, now: datetime) -> Stored:
        """Another copy, with what a rule's action makes of the message; as it is with `None`."""
        copy = self.copy(now)
        copy.time_to_live = self.time_to_live
        if change is not None:
            # Rules of a topic that it is forwarded to see what it has become.
            copy.message = msgspec.structs.replace(self.message, application_properties=change.properties)
            copy.set(change.added)
            copy.removed = (self.removed - frozenset(change.added)) | change.removed
        return copy


class Quota:
    """What an entity and its sub-queues may take together, in bytes."""

    __slots__ = ("limit", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def check(self, size: int, entity: str) -> None:
        """Raises `BrokerError` with `QUOTA_EXCEEDED` if that many more bytes don't fit."""
        if self.used + size > self.limit:
            raise BrokerError(
                Condition.QUOTA_EXCEEDED,
                f"{entity} holds {self.used} bytes of at most {self.limit}: {size} more don't fit. "
                "Receive messages, or raise MaxSizeInMegabytes.",
                status=403,
            )


class Messages:
    """Messages by sequence number, in its order."""

    __slots__ = ("_by_number", "_numbers")

    def __init__(self) -> None:
        self._by_number: dict[int, Stored] = {}
        # Rising, as numbers are given; those of messages that are gone stay for a while.
        self._numbers: list[int] = []

    def __len__(self) -> int:
        return len(self._by_number)

    def __iter__(self) -> Iterator[Stored]:
        return iter(self._by_number.values())

    def get(self, number: int) -> Stored | None:
        """The message, if it is there."""
        return self._by_number.get(number)

    def add(self, stored: Stored) -> None:
        """Adds a message whose number is larger than all before."""
        self._by_number[stored.sequence] = stored
        self._numbers.append(stored.sequence)

    def remove(self, stored: Stored) -> None:
        """Removes a message that is there."""
        del self._by_number[stored.sequence]
        if len(self._numbers) > 2 * len(self._by_number) + _WORTH_IT:
            self._numbers = list(self._by_number)

    def since(self, number: int) -> Iterator[Stored]:
        """The messages from that number on."""
        for index in range(bisect_left(self._numbers, number), len(self._numbers)):
            stored = self._by_number.get(self._numbers[index])
            if stored is not None:
                yield stored


class Line:
    """Messages that are ready to be delivered, the smallest sequence number first."""

    __slots__ = ("_heap", "_length")

    def __init__(self) -> None:
        self._heap: list[tuple[int, Stored]] = []
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def push(self, stored: Stored) -> None:
        """Puts a message in line, by its number."""
        stored.ready = True
        self._length += 1
        heapq.heappush(self._heap, (stored.sequence, stored))

    def pop(self) -> Stored:
        """Takes the first; there has to be one."""
        while True:
            stored = heapq.heappop(self._heap)[1]
            if stored.ready:
                stored.ready = False
                self._length -= 1
                return stored

    def discard(self, stored: Stored) -> None:
        """Takes a message out of line that stands in it."""
        stored.ready = False
        self._length -= 1
        if len(self._heap) > 2 * self._length + _WORTH_IT:
            self._heap = [entry for entry in self._heap if entry[1].ready]
            heapq.heapify(self._heap)


class Seen:
    """The message ids of a window of time."""

    __slots__ = ("_until",)

    def __init__(self) -> None:
        self._until: OrderedDict[str, datetime] = OrderedDict()

    def __len__(self) -> int:
        return len(self._until)

    def is_duplicate(self, message_id: str, now: datetime, window: timedelta) -> bool:
        """Whether the id was seen within the window; else it is from now on."""
        while self._until and next(iter(self._until.values())) <= now:
            self._until.popitem(last=False)
        if self._until.get(message_id, now) > now:
            return True
        self._until[message_id] = now + window
        self._until.move_to_end(message_id)
        return False
