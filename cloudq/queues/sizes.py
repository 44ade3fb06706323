"""`LearntSizes`: how much each queue takes, learnt from what it refused. No call asks for it."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import msgspec

from cloudq.core.clock import Clock
from cloudq.core.driver import Outgoing
from cloudq.errors import MessageTooLarge

# Somebody may have changed the queue meanwhile.
REMEMBERED: Final = timedelta(hours=1)
# Kept free for the details of a failure when a payload goes to the claim-check store (semantics 6); of a small queue a
# quarter.
ROOM: Final = 16 * 1024
_LARGEST_PART: Final = 4
# What tracers add. More is this one message's own: attributes of others, base64; the next has none of it.
_MOST_BESIDE: Final = 1024


class LearntSize(msgspec.Struct, frozen=True, kw_only=True):
    """How much a queue takes.

    Attributes:
        limit: The most bytes of a message, of the body and of what lies beside it.
        beside: How many of these the service counts besides the body and the failure.
        hint: What its backend advises.
        until: When it is forgotten, by `Clock.elapsed`.
    """

    limit: int
    beside: int
    hint: str | None
    until: timedelta

    @property
    def roomy(self) -> int:
        """The most bytes of a body that leaves room for the details of its failures."""
        return self.limit - min(ROOM, self.limit // _LARGEST_PART)


class LearntSizes:
    """What is known of the queues, each by itself: a dead-letter queue may take less than its queue. Thread-safe.

    Args:
        clock: Where the time comes from.

    Attributes:
        learnt: By queue, what is known. Empty, as nearly always, it says that there is nothing to ask for.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # Each is replaced as a whole, so that no lock is needed.
        self.learnt: dict[str, LearntSize] = {}

    def of(self, queue: str) -> LearntSize | None:
        """What the queue takes, if it has refused a message in the last hour and taken no larger one since."""
        learnt = self.learnt.get(queue)
        if learnt is not None and self._clock.elapsed() >= learnt.until:
            self.learnt.pop(queue, None)
            return None
        return learnt

    def note_refused(self, item: Outgoing, error: MessageTooLarge) -> None:
        """Learns from a refusal: what the backend says that it takes, or less than what it refused."""
        known = len(item.body) + (0 if item.failure is None else len(item.failure.encode()))
        size = known if error.size is None else error.size
        limit = size - 1 if error.limit is None else error.limit
        self.learnt[item.queue] = LearntSize(
            limit=limit,
            beside=min(_MOST_BESIDE, max(0, size - known)),
            hint=error.hint,
            until=self._clock.elapsed() + REMEMBERED,
        )

    def note_stored(self, item: Outgoing) -> None:
        """Forgets what a success disproves."""
        learnt = self.learnt.get(item.queue) if self.learnt else None
        if learnt is not None and len(item.body) > learnt.limit:
            self.learnt.pop(item.queue, None)
