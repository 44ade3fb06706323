"""The messages of a rehearsal, as a broker keeps them that does all that at-least-once delivery allows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import msgspec

from cloudq.core import wire
from cloudq.core.clock import Clock, later
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.driver import Outgoing
from cloudq.core.message import Message, is_dead_letter_queue
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import UndecodableError

LEASE = timedelta(minutes=2)
_LONGEST_SHOWN = 60


class Mail:
    """One message and what became of it.

    Attributes:
        number: Its place among all that were sent.
        message: What it says.
        deliveries: How often it was delivered.
        counted: How many of these used up an attempt.
        done: Whether it was acknowledged, or is dead.
        reason: Why it is dead.
        is_leased: Whether a run of it ended, or stands, without an end that the broker knows.
        due: When it may be delivered again, by `Clock.elapsed`.
    """

    def __init__(self, number: int, stored: Outgoing, message: Message) -> None:
        self.number = number
        self.message = message
        self.deliveries = 0
        self.counted = 0
        self.done = False
        self.reason: str | None = None
        self.is_leased = False
        self.due = timedelta(0)
        self._stored = stored

    def __str__(self) -> str:
        """The task and its arguments, as a call."""
        payload = self.message.payload
        shown = ", ".join(f"{name}={value!r}" for name, value in payload.items())
        return f"{self.message.task}({shown if len(shown) <= _LONGEST_SHOWN else shown[: _LONGEST_SHOWN - 3] + '...'})"

    @property
    def group(self) -> tuple[str, str] | None:
        """What it keeps its order in, or `None`."""
        return None if self._stored.ordering_key is None else (self._stored.queue, self._stored.ordering_key)

    def redrive(self) -> None:
        """Begins anew, as a message does that comes back from the dead-letter queue."""
        self.done, self.reason = False, None
        self.deliveries = self.counted = 0

    def deliver(self, clock: Clock) -> Delivery:
        """Another delivery of it."""
        self.deliveries += 1
        self.counted += 1
        ends = clock.elapsed() + LEASE
        return Delivery.of(
            self._stored.body,
            native_id=self._stored.id,
            runs=self.counted,
            deliveries=self.deliveries,
            lease=Lease(queue=self._stored.queue, receipt=None, ends=ends, expires_at=later(clock.now(), LEASE)),
            group=self._stored.ordering_key,
            given_back=self.deliveries - self.counted,
        )


class Mails:
    """All messages of a rehearsal: those that were sent to begin with, and those that their tasks send."""

    def __init__(self, driver: MemoryDriver) -> None:
        self._driver = driver
        self._seen = 0
        self._mails: list[Mail] = []

    def __iter__(self) -> Iterator[Mail]:
        """All that were sent so far, those included that are sent meanwhile."""
        number = 0
        while (mail := self.find(number)) is not None:
            yield mail
            number += 1

    def find(self, number: int) -> Mail | None:
        """The one with that number, if it was sent already."""
        stored = self._driver.sent
        for outgoing in stored[self._seen :]:
            self._seen += 1
            if is_dead_letter_queue(outgoing.queue):
                continue
            try:
                message = wire.decode(outgoing.body, outgoing.queue)
            except UndecodableError:
                continue  # some bytes that a task stored by itself
            self._mails.append(Mail(len(self._mails), outgoing, message))
        return self._mails[number] if number < len(self._mails) else None

    def may_come(self, mail: Mail) -> bool:
        """Whether an ordered queue may deliver it now: nothing before it is left, and nothing after it was begun."""
        if mail.group is None:
            return True
        same = [other for other in self if other.group == mail.group and other is not mail]
        return all(other.done if other.number < mail.number else not other.deliveries for other in same)


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened in a rehearsal.

    Attributes:
        task: Of which task.
        text: In words.
        fault: Where something was done to a run, or to the order: what; `None` for a delivery as it is expected.
        point: At which point.
    """

    task: str
    text: str
    fault: str | None = None
    point: str | None = None
