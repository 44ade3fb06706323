"""`OpenPolls`: the polls of one queue that are under way, and how many there may be; guarded by the intake's lock.

```
 the queue's own poll   always one, while there is credit; it alone waits for messages
 polls beside it        none ─ 8 full answers ─▶ one ─ 8 more ─▶ two ─ ... ─▶ as many as the worker's setting allows
                          ▲                       │
                          └───────────────────────┘ the own poll brought less than it could: the queue runs dry
```
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final, NamedTuple

from cloudq.core.capabilities import Capabilities

# A poll that has waited for this long found its queue empty: what it asked for is free for others again.
FRESH: Final = timedelta(milliseconds=250)
# A burst looks again after this at queues that were empty, while tasks, which may send more, are still running.
BURST_PAUSE: Final = timedelta(milliseconds=500)
# Each poll beside another is earned by this many full answers. One that brings little costs a call: where each of them
# does, there are an eighth more calls, and no more.
EARNED_BY: Final = 8
ZERO: Final = timedelta(0)


class Reach(NamedTuple):
    """How much the polls of a queue bring.

    Attributes:
        each: The most that one brings; `None` for as many as are asked for.
        polls: The most that may be under way at once.
    """

    each: int | None = None
    polls: int = 1


def reach(capabilities: Capabilities, polls: int) -> Reach:
    """What polls of a queue reach, where its worker may have `polls` of them under way.

    One at a time where it brings all that is asked for, and where an order is kept: what a second one brought could
    begin before what the first one is about to bring (semantics 18).
    """
    several = capabilities.max_receive is not None and not capabilities.ordering
    return Reach(capabilities.max_receive, polls if several else 1)


class Poll:
    """One that is under way.

    Attributes:
        queue: What it asks.
        limit: How many it asks for.
        beside: Whether it is one beside the queue's own.
        began: When, by `Clock.elapsed`.
        epoch: The worker's epoch then.
        started: How many of the queue had been started by then.
    """

    __slots__ = ("began", "beside", "epoch", "limit", "queue", "started")

    def __init__(
        self, queue: str, limit: int, *, began: timedelta, epoch: int, started: int = 0, beside: bool = False
    ) -> None:
        self.queue = queue
        self.limit = limit
        self.beside = beside
        self.began = began
        self.epoch = epoch
        self.started = started


class OpenPolls:
    """The polls of one queue, and what those before them found.

    Args:
        reach: How much they bring.

    Attributes:
        reach: How much they bring.
        empty_in: The worker's epoch in which one found the queue empty, with nothing in the worker's hands and no other
            one under way. Set by the intake.
    """

    def __init__(self, reach: Reach) -> None:
        self.reach = reach
        self.empty_in = -1
        self._open: set[Poll] = set()
        self._beside = 0
        self._earned = 0
        self._starts = 0  # how many were started while the latest full answer was under way
        self._epoch = -1  # in which the latest one began
        self._found_nothing = False  # whether the latest one that worked found the queue empty
        self._resting_since: timedelta | None = None  # in a burst
        # When the first of those began that found nothing, one after the other, up to now; `None`: the latest did not.
        self._dry_since: timedelta | None = None

    def __len__(self) -> int:
        """How many are under way."""
        return len(self._open)

    def begin(self, poll: Poll) -> None:
        """It begins."""
        self._open.add(poll)
        self._beside += poll.beside
        self._epoch, self._resting_since = poll.epoch, None

    def end(self, poll: Poll, brought: int | None, started: int) -> None:
        """It is over; a second time changes nothing.

        Args:
            poll: The poll.
            brought: How many it brought; `None`: it failed, which says nothing about the queue.
            started: How many of the queue have been started by now.
        """
        if poll not in self._open:
            return
        self._open.discard(poll)
        self._beside -= poll.beside
        each, polls = self.reach
        if brought is not None:
            self._found_nothing = not brought
            if brought:
                self._dry_since = None
            elif self._dry_since is None:
                self._dry_since = poll.began
            if brought == each:
                self._starts = started - poll.started
                self._earned = min(self._earned + 1, EARNED_BY * (polls - 1))
                return
        if brought is None or brought < poll.limit:
            # One that doesn't wait may have looked at a part of the queue only: what it didn't find may be there.
            self._earned = self._earned // EARNED_BY // 2 * EARNED_BY if poll.beside else 0

    def widen(self, waiting: int, now: timedelta) -> bool:
        """Whether another poll beside those under way is worth it: they don't bring what is started meanwhile.

        Args:
            waiting: How many of the queue wait for a slot.
            now: `Clock.elapsed`.
        """
        each = self.reach.each
        if each is None or self._beside >= self._earned // EARNED_BY:
            return False
        # Twice what was started during the latest full answer: started faster than they came, they would be more.
        return waiting + self.fresh(now) < 2 * self._starts + each

    def fresh(self, now: timedelta) -> int:
        """How many those under way may still bring at once."""
        return sum(poll.limit for poll in self._open if now < self._stale_at(poll))

    def until_stale(self, now: timedelta) -> timedelta | None:
        """How long until one of them has found its queue empty; `None` if none can."""
        moments = (self._stale_at(poll) for poll in self._open)
        return min((moment - now for moment in moments if now < moment), default=None)

    def _stale_at(self, poll: Poll) -> timedelta:
        # Polls that wait for less find an empty queue no fuller: else they would keep the slots from all others.
        return (poll.began if self._dry_since is None else self._dry_since) + FRESH

    def rest(self, now: timedelta, epoch: int) -> timedelta | None:
        """In a burst, how long to leave an empty queue alone: until something moved, but not forever."""
        if not self._found_nothing or self._epoch != epoch:
            return None
        if self._resting_since is None:
            self._resting_since = now
        left = self._resting_since + BURST_PAUSE - now
        return left if left > ZERO else None
