"""Turns: at which moments the next tasks of a rate may start. Handed out by the store's clock, several at a time.

```
 the rate     ·───·───·───·───·───·───·───·───·───·      one turn each 1/rate, in one line for all workers
 worker A     A   A   A                                  asks for three: has the first free ones
 worker B                 B   B   B                      asks a moment later: the ones after them
 ✗ A dies     ·   ✗   ✗                                  its turns pass unused: no more than it had asked for
 rest                              ┄┄┄┄┄┄┄┄┄┄┄┄ ·        turns of the past are gone: nothing is saved up
```

It is the generic cell rate algorithm (ITU-T I.371) with no tolerance: all that is kept is when the next turn is free.
So a record is one number, asking costs one look and one write whatever the rate, and there is nothing to give back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Final, Protocol

import msgspec

from cloudq.core.clock import Clock, to_micros
from cloudq.core.notes import Note, Notes
from cloudq.flow.changing import Change, change
from cloudq.flow.rates import Rate

ZERO: Final = timedelta(0)
_MICROSECOND: Final = timedelta(microseconds=1)
# Between a look and the write that follows it, or by how much a store's wall clock is slewed. What differs by more was
# set, and isn't gone by.
_SLACK: Final = 1_000_000
_KEEP: Final = timedelta(hours=1)


class Granted(msgspec.Struct, frozen=True):
    """The caller's own turns, one after the other.

    Attributes:
        first: How far away the first one is.
        count: How many they are.
    """

    first: timedelta
    count: int


class Spent(msgspec.Struct, frozen=True):
    """No turn is free that soon.

    Attributes:
        first: How far away the next one is.
    """

    first: timedelta


class Turns(Protocol):
    """Hands out the turns of one rate."""

    def take(self, count: int, within: timedelta) -> Granted | Spent:
        """The next `count` turns, if the first of them is no further away than `within`.

        Raises:
            BackendError: The store can't be reached, or refuses.
        """
        ...


class _Ahead(msgspec.Struct, frozen=True, array_like=True):
    """What a note says: when the next turn is free.

    Attributes:
        by: How many microseconds after the note was written, or a little less: after its writer had looked.
        at: When exactly, by the store's wall clock in microseconds since 1970; 0 if its writer didn't know.
    """

    by: int
    at: int


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(_Ahead)


class StoredTurns:
    """Turns that all workers of an app share, in its store. Thread-safe.

    Args:
        notes: Gives where it is kept when the next one is free; may open the store, and raise what that does.
        name: Of the rate, and of what its key is.
        rate: How many in which time.
    """

    def __init__(self, notes: Callable[[], Notes], name: str, rate: Rate) -> None:
        self._notes = notes
        self._name = f"rate {name}"
        self._rate = rate

    def take(self, count: int, within: timedelta) -> Granted | Spent:
        """The next turns: a look at the store, and a write if there are some."""
        span = self._rate.per * count / self._rate.count
        keep = max(_KEEP, 2 * (within + span))

        def step(note: Note | None) -> Change[Granted | Spent]:
            ahead, now = (0, 0) if note is None else _ahead(note)
            first = ahead * _MICROSECOND
            if first > within:
                return Change(Spent(first))
            by = ahead + span // _MICROSECOND
            text = _ENCODER.encode(_Ahead(by, now + by if now else 0))
            return Change(Granted(first, count), text)

        return change(self._notes(), self._name, step, keep=keep)


class LocalTurns:
    """Turns of one process. Thread-safe.

    Args:
        rate: How many in which time.
        clock: Where the time comes from.
    """

    def __init__(self, rate: Rate, clock: Clock) -> None:
        self._rate = rate
        self._clock = clock
        self._lock = threading.Lock()
        self._free = ZERO  # when the next one is, by `Clock.elapsed`

    def take(self, count: int, within: timedelta) -> Granted | Spent:
        """The next turns. Asks nobody."""
        with self._lock:
            now = self._clock.elapsed()
            free = max(self._free, now)
            if free - now > within:
                return Spent(free - now)
            self._free = free + self._rate.per * count / self._rate.count
            return Granted(free - now, count)


def _ahead(note: Note) -> tuple[int, int]:
    """In how many microseconds the next turn is free, and what the store's wall clock says now.

    By the note's age alone it would be too late by the time that passed between its writer's look and its write: at 50
    turns a second, and ten at a time, a few milliseconds are a few percent. The wall clock tells them, unless it was
    set; the age is right enough then.
    """
    record = _DECODER.decode(note.text)
    now = to_micros(note.at) + note.age // _MICROSECOND
    by_age = record.by - note.age // _MICROSECOND
    by_wall = record.at - now
    exact = record.at and by_age - _SLACK <= by_wall <= by_age
    return max(0, by_wall if exact else by_age), now
