"""Seats: how many of something run at once, in all workers of an app together.

```
 the note        A: 3 until 12:01:00      B: 2 until 12:00:40      most: 5
 A dies          its seats are free at 12:01:00, and no earlier: what it ran may run on
 B renews        B: 2 until 12:01:20      while it has seats, every 20 s
 B is idle       gives back the seats that it hasn't used for five seconds
```

A process takes seats for what waits there and keeps them from one task to the next. So a busy worker asks the store
every 20 seconds, not for each task.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Final, Protocol

import msgspec

from cloudq.core.clock import Clock
from cloudq.core.notes import Note, Notes
from cloudq.errors import OptionError
from cloudq.flow.changing import Change, change
from cloudq.flow.limit import Limit

ZERO: Final = timedelta(0)
LEASE: Final = timedelta(minutes=1)
"""How long seats are kept for a process of which nothing is heard."""
RENEW_AFTER: Final = LEASE / 3
LINGER: Final = timedelta(seconds=5)
"""How long a worker keeps a seat that it doesn't use."""
MOST: Final = 10_000
# All seats are taken: when to ask again. Nobody says when one gets free.
_ASK_AGAIN: Final = timedelta(seconds=1)
_LONGEST_PAUSE: Final = timedelta(seconds=15)
_FOREVER: Final = timedelta(days=36_500)
_MICROSECOND: Final = timedelta(microseconds=1)


class AtOnce:
    """How many of a task's messages run at once.

    Args:
        most: The number, 1 to 10,000.
        key: Counted apart for each value of it: a template of the task's parameters, `"{customer}"`, or a function of
            them by their names.
        per_worker: Whether each worker counts for itself, which needs no store.

    Raises:
        OptionError: It is no such number.

    Example:
        ```python
        @app.task(at_once=cloudq.AtOnce(1, key="{customer}"))
        def rebuild(customer: str) -> None: ...
        ```
    """

    __slots__ = ("key", "most", "per_worker")

    def __init__(self, most: int, *, key: str | Callable[..., str] | None = None, per_worker: bool = False) -> None:
        if isinstance(most, bool) or not isinstance(most, int) or not 1 <= most <= MOST:
            raise OptionError(f"at_once is a number from 1 to {MOST:,}, not {most!r}", hint="at_once=5")
        if not isinstance(per_worker, bool):
            raise OptionError(f"per_worker of at_once is True or False, not {per_worker!r}", hint="per_worker=True")
        self.most = most
        self.key = key
        self.per_worker = per_worker

    def __repr__(self) -> str:
        """As it is written."""
        key = "" if self.key is None else f", key={self.key!r}"
        return f"AtOnce({self.most}{key}{', per_worker=True' if self.per_worker else ''})"


class Register(Protocol):
    """Says who has which seats."""

    lease: timedelta
    """How long seats last that aren't renewed."""

    def set(self, count: int) -> int:
        """Has this process have this many seats from now on, or as many as are free. Returns how many it has.

        Raises:
            BackendError: The store can't be reached, or refuses.
        """
        ...


class _Taken(msgspec.Struct, frozen=True, array_like=True):
    """The seats of one process.

    Attributes:
        owner: A name that no other process has.
        count: How many.
        left: For how many microseconds more, from the writing of the note.
    """

    owner: str
    count: int
    left: int


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(list[_Taken])


class StoredRegister:
    """Seats that all workers of an app share, in its store. Thread-safe.

    Args:
        notes: Gives where they are noted; may open the store, and raise what that does.
        name: Of what they are for.
        most: How many there are.
    """

    lease = LEASE

    def __init__(self, notes: Callable[[], Notes], name: str, most: int) -> None:
        self._notes = notes
        self._name = f"at once {name}"
        self._most = most
        self._owner = os.urandom(9).hex()

    def set(self, count: int) -> int:
        """A look at the store, and a write, which renews what it has; unless it has nothing and gets nothing."""

        def step(note: Note | None) -> Change[int]:
            age = note.age // _MICROSECOND if note else 0
            kept = [] if note is None else [one for one in _DECODER.decode(note.text) if one.left > age]
            others = [msgspec.structs.replace(one, left=one.left - age) for one in kept if one.owner != self._owner]
            granted = max(0, min(count, self._most - sum(one.count for one in others)))
            if not granted and len(others) == len(kept):
                return Change(0)
            own = [_Taken(self._owner, granted, LEASE // _MICROSECOND)] if granted else []
            return Change(granted, _ENCODER.encode([*others, *own]))

        return change(self._notes(), self._name, step, keep=2 * LEASE)


class LocalRegister:
    """Seats of one process.

    Args:
        most: How many there are.
    """

    lease = _FOREVER

    def __init__(self, most: int) -> None:
        self._most = most

    def set(self, count: int) -> int:
        """Asks nobody."""
        return min(count, self._most)


class Seats(Limit):
    """The seats of one process for a task, or for one key. A `Limit`.

    Args:
        name: What they are for.
        most: How many there are.
        register: Says who has which.
        clock: Where the time comes from.
        linger: How long a seat that isn't used is kept.
    """

    def __init__(self, name: str, most: int, register: Register, *, clock: Clock, linger: timedelta = LINGER) -> None:
        super().__init__(name)
        self._most = most
        self._register = register
        self._clock = clock
        self._linger = linger
        self._have = 0
        self._usable = 0  # those of them that aren't being given back
        self._used = 0
        self._wanted = 0  # how many `ask` is to have
        self._ends = ZERO  # when those that it has are over
        self._renew_at = ZERO
        self._idle_since: timedelta | None = None  # since when there are more than are used
        self._idle_before: timedelta | None = None
        self._full = False  # whether fewer were free than it asked for
        self._ask_at = ZERO
        self._pause = ZERO

    @property
    def is_idle(self) -> bool:
        """Whether it has no seats, which had to be renewed or given back."""
        return not self._have

    def is_as_new(self, now: timedelta) -> bool:
        """Once nobody sits, and it has no seats, or they are over."""
        return not self._used and (not self._have or now >= self._ends)

    @property
    def holds_back(self) -> str | None:
        """While others have all other seats."""
        return "at once" if self._full else None

    def enter(self, now: timedelta) -> bool:
        """Sits down, if it has a seat that is free."""
        if self._used >= self._usable or now >= self._ends:
            return False
        self._idle_before = self._idle_since
        self._used += 1
        self._note_idle(now)
        return True

    def undo(self) -> None:
        """Stands up again."""
        self._used -= 1
        self._idle_since = self._idle_before

    def leave(self, now: timedelta, *, entered: timedelta, failed: bool | None) -> None:
        """Stands up."""
        del entered, failed
        self._used -= 1
        self._note_idle(now)

    def room(self, now: timedelta, waiting: int) -> int:
        """As many as there are seats that nobody is known to have."""
        del now
        return max(0, (self._have if self._full else self._most) - self._used - waiting)

    def wants(self, now: timedelta, waiting: int, *, polling: bool) -> int:
        """Seats for what waits; the same again before they are over; fewer, once some aren't used."""
        if now < self._ask_at:
            return 0
        need = min(self._most, self._used + max(waiting, int(polling and self._full)))
        idle = self._idle_since is not None and now - self._idle_since >= self._linger
        self._wanted = need if need > self._usable or idle else self._have
        is_due = self._have > 0 and now >= self._renew_at
        if not is_due and self._wanted == self._have == self._usable:
            return 0
        # What is given back is somebody else's before the answer is here, and also if that never comes.
        self._usable = min(self._usable, self._wanted)
        return 1

    def next_at(self, now: timedelta) -> timedelta | None:
        """When to ask again, to renew, or to give back."""
        moments = [self._ask_at]
        if self._have:
            moments.append(self._renew_at)
        if self._idle_since is not None:
            moments.append(self._idle_since + self._linger)
        return min((moment for moment in moments if moment > now), default=None)

    def ask(self, count: int) -> Callable[[timedelta], None]:
        """Has as many as it needs, or as are free."""
        del count
        wanted, since = self._wanted, self._clock.elapsed()
        have = self._register.set(wanted)
        return lambda now: self._note(have, wanted, since, now)

    def note_failure(self, now: timedelta) -> bool:
        """What sits goes on; once its seats are over, nothing sits down until the store answers."""
        was_fine = not self._pause
        self._pause = min(_LONGEST_PAUSE, self._pause * 2) if self._pause else _ASK_AGAIN
        self._ask_at = now + self._pause
        return was_fine

    def close(self) -> None:
        """Gives back all seats: nothing runs any more, or nobody waits for what does. Else they are over in a minute.

        Raises:
            BackendError: The store can't be reached, or refuses.
        """
        if self._have:
            self._register.set(0)

    def _note(self, have: int, wanted: int, since: timedelta, now: timedelta) -> None:
        self._pause, self._have, self._usable = ZERO, have, have
        self._full = have < wanted
        if self._full:
            self._ask_at = now + _ASK_AGAIN
        self._ends = since + self._register.lease
        self._renew_at = since + self._register.lease / 3
        self._note_idle(now)

    def _note_idle(self, now: timedelta) -> None:
        if self._used >= self._have:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = now
