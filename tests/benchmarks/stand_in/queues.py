"""What the stand-in keeps: messages in queues."""

from __future__ import annotations

import heapq
import itertools
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import md5
from typing import Any, Final, TypeAlias

ACCOUNT: Final = "000000000000"
_numbers: Final = itertools.count(1)

Parameters: TypeAlias = Mapping[str, Any]
Answer: TypeAlias = dict[str, Any]


class Refused(Exception):
    """A call, or an entry of one, that is refused.

    Args:
        code: The code of the JSON protocol.
        query_code: The code of the query protocol, by which botocore names its exceptions.
    """

    def __init__(self, code: str, query_code: str | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.query_code = query_code or code


@dataclass(slots=True, eq=False)
class Message:
    """A message, wherever it is."""

    id: str
    body: str
    attributes: Any
    sent: int
    receives: int = 0
    first_received: int = 0
    receipt: str = ""
    due: float = 0
    """When it becomes visible, 0 while it is."""

    @property
    def md5(self) -> str:
        """Of the body."""
        return md5(self.body.encode(), usedforsecurity=False).hexdigest()

    def received(self, asked: Parameters) -> Answer:
        """As a receive with these parameters answers it."""
        answer: Answer = {
            "MessageId": self.id,
            "ReceiptHandle": self.receipt,
            "MD5OfBody": self.md5,
            "Body": self.body,
        }
        if asked.get("MessageSystemAttributeNames") or asked.get("AttributeNames"):
            answer["Attributes"] = {
                "ApproximateReceiveCount": str(self.receives),
                "ApproximateFirstReceiveTimestamp": str(self.first_received),
                "SentTimestamp": str(self.sent),
            }
        if self.attributes and asked.get("MessageAttributeNames"):
            answer["MessageAttributes"] = self.attributes
        return answer


@dataclass(eq=False)
class Queue:
    """A queue: its messages, and the receives that wait for one."""

    name: str
    attributes: dict[str, str] = field(default_factory=dict)
    ready: deque[Message] = field(default_factory=deque)
    in_flight: dict[str, Message] = field(default_factory=dict)
    hidden: list[tuple[float, int, Message]] = field(default_factory=list)
    waiting: deque[Callable[[], None]] = field(default_factory=deque)

    def send(self, entry: Parameters) -> Answer:
        """Stores a message."""
        number = next(_numbers)
        made = Message(
            id=f"{number:08x}-0000-4000-8000-{number:012x}",
            body=entry["MessageBody"],
            attributes=entry.get("MessageAttributes"),
            sent=time.time_ns() // 1_000_000,
        )
        if delay := entry.get("DelaySeconds"):
            self._hide(made, delay)
        else:
            self.ready.append(made)
        return {"MessageId": made.id, "MD5OfMessageBody": made.md5}

    def take(self, count: int, visibility: float) -> list[Message]:
        """Takes up to `count` messages out of sight."""
        taken = [self.ready.popleft() for _ in range(min(count, len(self.ready)))]
        for message in taken:
            message.receives += 1
            message.first_received = message.first_received or time.time_ns() // 1_000_000
            message.receipt = f"{message.id}#{message.receives}"
            self.in_flight[message.receipt] = message
            self._hide(message, visibility)
        return taken

    def delete(self, entry: Parameters) -> Answer:
        """Deletes what was received; an old receipt deletes nothing, and is no error."""
        message = self.in_flight.pop(entry["ReceiptHandle"], None)
        if message is not None:
            message.due = 0  # what `hidden` still holds of it is passed over
        return {}

    def change(self, entry: Parameters) -> Answer:
        """Changes when what was received becomes visible again."""
        message = self.in_flight.get(entry["ReceiptHandle"])
        if message is None:
            raise Refused("InvalidParameterValue")
        self._hide(message, entry["VisibilityTimeout"])
        return {}

    def sweep(self, now: float) -> None:
        """Makes visible what is due."""
        while self.hidden and self.hidden[0][0] <= now:
            due, _, message = heapq.heappop(self.hidden)
            if message.due == due:
                self.in_flight.pop(message.receipt, None)
                message.due = 0
                self.ready.append(message)

    def purge(self) -> Answer:
        """Forgets every message."""
        self.ready.clear()
        self.in_flight.clear()
        self.hidden.clear()
        return {}

    def described(self) -> Answer:
        """What `GetQueueAttributes` answers."""
        delayed = sum(message.due == due and message.receipt not in self.in_flight for due, _, message in self.hidden)
        return {
            "Attributes": {
                **self.attributes,
                "QueueArn": f"arn:aws:sqs:us-east-1:{ACCOUNT}:{self.name}",
                "ApproximateNumberOfMessages": str(len(self.ready)),
                "ApproximateNumberOfMessagesNotVisible": str(len(self.in_flight)),
                "ApproximateNumberOfMessagesDelayed": str(delayed),
            }
        }

    def _hide(self, message: Message, seconds: float) -> None:
        message.due = time.monotonic() + seconds
        heapq.heappush(self.hidden, (message.due, next(_numbers), message))
