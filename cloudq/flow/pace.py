"""`Pace`: a rate as one process keeps it: the turns that it has, and when it asks for more.

Where turns are left over, deliveries come first: each poll brings some, and turns are asked for as many. Once the rate
is spent it is the other way round: turns are asked for, and then as many deliveries, just before their time. So nothing
waits in hand for long, and no poll brings what can't start.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from cloudq.flow.limit import Limit
from cloudq.flow.rates import Rate
from cloudq.flow.turns import Granted, Spent, Turns

ZERO: Final = timedelta(0)
_MICROSECOND: Final = timedelta(microseconds=1)

# A process has no more turns at a time than pass within this, or ten: what it loses when it is killed.
_BATCH: Final = 10
_LONG: Final = timedelta(seconds=5)
_SHORT: Final = timedelta(milliseconds=250)
# Deliveries for a turn are received this long before it; further turns are asked for this long before the last one.
_LOOK: Final = timedelta(seconds=1)
_LEAD: Final = timedelta(milliseconds=500)
# No turn is taken that is further away: a worker that starts and dies again and again would use them up for hours.
HORIZON: Final = timedelta(seconds=30)
# While the store fails.
_FIRST_PAUSE: Final = timedelta(seconds=1)
_LONGEST_PAUSE: Final = timedelta(seconds=15)


class Pace(Limit):
    """One rate, or that of one key. A `Limit`.

    Args:
        name: What it limits.
        rate: How many in which time.
        turns: Who hands them out.
        horizon: How far away a turn may be that is taken.
    """

    def __init__(self, name: str, rate: Rate, turns: Turns, *, horizon: timedelta = HORIZON) -> None:
        super().__init__(name)
        self._rate = rate
        self._source = turns
        self._horizon = min(horizon, HORIZON)
        self._batch = max(min(_BATCH, rate.in_time(_LONG)), rate.in_time(_SHORT))
        self._turns: deque[timedelta] = deque()
        self._latest: timedelta | None = None  # the turn that was used last
        self._spent = False
        self._next = ZERO  # when the next free turn is, as far as is known
        self._ask_at = ZERO
        self._pause = ZERO

    def is_as_new(self, now: timedelta) -> bool:
        """Where the store knows which turns are used up; else once they are past."""
        return not self._rate.per_worker or now >= self._next

    @property
    def holds_back(self) -> str | None:
        """While the rate is spent."""
        return "rate" if self._spent else None

    def enter(self, now: timedelta) -> bool:
        """Uses a turn whose time has come."""
        self._drop_late(now)
        if not self._turns or self._turns[0] > now:
            return False
        self._latest = self._turns.popleft()
        return True

    def undo(self) -> None:
        """The turn is free again."""
        if self._latest is not None:
            self._turns.appendleft(self._latest)
            self._latest = None

    def room(self, now: timedelta, waiting: int) -> int:
        """As many as start soon; once the rate is spent, as there are turns for, shortly before the first of them."""
        if not self._spent:
            # One poll for many is cheaper than many for one.
            return 0 if 2 * waiting > self._batch else self._batch - waiting
        self._drop_late(now)
        if not self._turns or self._turns[0] - now > _LOOK:
            return 0
        return max(0, len(self._turns) - waiting)

    def wait(self, now: timedelta, place: int) -> timedelta | None:
        """Until the next free turn, and those of the ones before it, while there is none within the horizon."""
        left = self._next - now
        if not self._spent or self._turns or left <= self._horizon:
            return None
        return left + self._rate.each * place

    def wants(self, now: timedelta, waiting: int, *, polling: bool) -> int:
        """Turns for what waits; once the rate is spent, also for what is to be received."""
        self._drop_late(now)
        if now < self._ask_at:
            return 0
        short = waiting - len(self._turns)
        if short > 0:
            return min(short, self._batch)
        if polling and self._spent and (not self._turns or self._turns[-1] - now <= _LEAD):
            return self._batch
        return 0

    def next_at(self, now: timedelta) -> timedelta | None:
        """When a turn comes, is soon to come or is lost; shortly before the last one; after a pause."""
        moments = [self._ask_at]
        if self._turns:
            first = self._turns[0]
            moments += [first - _LOOK, first, first + self._rate.late + _MICROSECOND, self._turns[-1] - _LEAD]
        return min((moment for moment in moments if moment > now), default=None)

    def ask(self, count: int) -> Callable[[timedelta], None]:
        """Takes the next turns."""
        taken = self._source.take(count, self._horizon)
        return lambda now: self._note(taken, now)

    def note_failure(self, now: timedelta) -> bool:
        """Nothing starts until the store answers."""
        was_fine = not self._pause
        self._pause = min(_LONGEST_PAUSE, self._pause * 2) if self._pause else _FIRST_PAUSE
        self._ask_at = now + self._pause
        return was_fine

    def note_empty(self) -> None:
        """Nobody is kept waiting by the rate."""
        self._spent = False

    def _note(self, taken: Granted | Spent, now: timedelta) -> None:
        self._pause = ZERO
        self._spent = taken.first > ZERO
        self._next = now + taken.first
        if isinstance(taken, Spent):
            # Others ask then, too: not all at once.
            spread = random.uniform(0.0, 1.0) * min(_LOOK, self._rate.each)  # noqa: S311 - as above
            self._ask_at = now + taken.first - self._horizon + spread
            return
        per, count = self._rate.per, self._rate.count
        self._turns.extend(now + taken.first + per * number / count for number in range(taken.count))
        self._next += per * taken.count / count

    def _drop_late(self, now: timedelta) -> None:
        while self._turns and now - self._turns[0] > self._rate.late:
            self._turns.popleft()
