"""Addresses of entities: `orders`, `orders/$DeadLetterQueue`, `news/Subscriptions/all`."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

import msgspec

_SUBSCRIPTIONS = "subscriptions"


class SubQueue(StrEnum):
    """A queue that belongs to another entity, as the last part of its address."""

    DEAD_LETTER = "$DeadLetterQueue"
    TRANSFER_DEAD_LETTER = "$Transfer/$DeadLetterQueue"


class Address(msgspec.Struct, frozen=True):
    """The address of an entity. Names are compared without regard to case, as the service does.

    Attributes:
        path: The entity's path, as it was given: `orders`, `news/Subscriptions/all`.
        sub_queue: Which of its sub-queues, or `None` for the entity itself.
    """

    path: str
    sub_queue: SubQueue | None = None

    @property
    def key(self) -> str:
        """The same for all spellings of an entity's path."""
        return self.path.lower()

    def __str__(self) -> str:
        return self.path if self.sub_queue is None else f"{self.path}/{self.sub_queue}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads an address: a path, without the scheme and host of a link's address and without `/$management`.

        Anything is an address; whether there is an entity is the broker's to say.
        """
        path = text.strip("/")
        for sub_queue in (SubQueue.TRANSFER_DEAD_LETTER, SubQueue.DEAD_LETTER):
            if path.lower().endswith("/" + sub_queue.lower()):
                return cls(path[: -len(sub_queue) - 1], sub_queue)
        return cls(path)

    @classmethod
    def subscription(cls, topic: str, name: str) -> Self:
        """The address of a topic's subscription."""
        return cls(f"{topic}/Subscriptions/{name}")

    def split_subscription(self) -> tuple[str, str] | None:
        """The names of the topic and of the subscription, if the path is a subscription's."""
        topic, separator, rest = self.path.rpartition("/")
        parent, _, middle = topic.rpartition("/")
        if separator and parent and middle.lower() == _SUBSCRIPTIONS:
            return parent, rest
        return None
