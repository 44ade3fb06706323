"""A lease's life while it is in hand: its states, what happens to it, and one table that says what follows.

Rule 1: whatever changes the state of a lease is in this file. The lease keeper (which extends) and the settler (which
settles) say what happened; the table says what that means. What isn't in the table can't happen, and raises.

Rule 2: beside an Ack or a dead-letter that is on its way a lease is extended for real, so that it holds until the
settlement is confirmed. Beside a Release never: an extension that lands after a release would hide the message again.

Rule 3: while a settlement is on its way, the answer to an extension never ends the lease. "There is no such lease" may
mean that the delete has won, or is about to. A lease ends by a confirmed settlement, by a settlement or (with none on
its way) an extension that reports `LeaseLost`, by its end, or by its hard limit.

A settlement is on its way from the first try to its confirmation, the pauses between its tries included.

```
             ┌──────────── in hand ───────────┐    ┌───── settling ─────┐
 attach ──▶ HELD ◀──── extension ────▶ EXTENDING   SETTLING ◀──▶ SETTLING_EXTENDING ──▶ ENDED
             │ └─ Ack, dead-letter ──────────┼──────▶ ┘  │ its end: LATE, one last answer ──▶ ENDED
             │                               └─ Release: RELEASE_WAITS for the extension to land
             └─ Release ──▶ RELEASING ◀───────────────────┘         └──▶ ENDED
   its end, or LeaseLost of an extension: LOST ── an Ack is still tried: LATE ──▶ ENDED
```
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import Enum
from typing import Final


class State(Enum):
    """Where a lease is in its life."""

    # There is one object for each: an Enum's own hash is code in Python, and the table is asked several times a task.
    __hash__ = object.__hash__

    HELD = "held"
    """In hand: its task waits or runs, or its copies are being stored."""
    EXTENDING = "extending"
    """As `HELD`, and an extension is in flight."""
    SETTLING = "settling"
    """An Ack or a dead-letter is on its way."""
    SETTLING_EXTENDING = "settling, extending"
    """As `SETTLING`, and an extension is in flight."""
    RELEASE_WAITS = "release waits"
    """It is to be released as soon as the extension in flight has landed."""
    RELEASING = "releasing"
    """A Release is on its way: never extended any more."""
    LOST = "lost"
    """It is over, and nothing is on its way: someone else may have the message."""
    LATE = "late"
    """It is over, and a settlement is on its way whose answer is the last one: it isn't tried again."""
    ENDED = "ended"
    """Nothing more is done with it here."""


class Event(Enum):
    """What happens to a lease."""

    __hash__ = object.__hash__  # as above

    EXTENSION_SENT = "extension sent"
    EXTENDED = "extended"
    EXTENSION_FAILED = "extension failed"
    """The backend couldn't be reached, or refused: nothing is known of the lease."""
    EXTENSION_LOST = "extension lost"
    """The extension was answered by `LeaseLost`."""
    CUT_OFF = "cut off"
    """The driver says that it ended with its connection. A settlement on its way learns that by itself."""
    SETTLE = "settle"
    """An Ack or a dead-letter begins."""
    RELEASE = "release"
    """A Release is wanted."""
    CONFIRMED = "confirmed"
    SETTLEMENT_FAILED = "settlement failed"
    """A try of the settlement failed otherwise than by `LeaseLost`."""
    SETTLEMENT_LOST = "settlement lost"
    """The settlement was answered by `LeaseLost`."""
    RAN_OUT = "ran out"
    """Its end has passed."""
    GIVEN_UP = "given up"
    """It isn't settled: the message comes back when its lease is over."""


# Nothing is extended more often than this, however little the backend grants.
SHORTEST_PAUSE: Final = timedelta(milliseconds=50)

_S = State
_E = Event

# An extension that was in flight when the lease came to its end lands some time later; that changes nothing any more.
_COMES_TOO_LATE: Final = (Event.EXTENDED, Event.EXTENSION_FAILED, Event.EXTENSION_LOST, Event.CUT_OFF)

TRANSITIONS: Final[Mapping[State, Mapping[Event, State]]] = {
    _S.HELD: {
        _E.EXTENSION_SENT: _S.EXTENDING,
        _E.SETTLE: _S.SETTLING,
        _E.RELEASE: _S.RELEASING,
        _E.RAN_OUT: _S.LOST,
        _E.CUT_OFF: _S.LOST,
        _E.GIVEN_UP: _S.ENDED,
    },
    _S.EXTENDING: {
        _E.EXTENDED: _S.HELD,
        _E.EXTENSION_FAILED: _S.HELD,
        _E.EXTENSION_LOST: _S.LOST,
        _E.SETTLE: _S.SETTLING_EXTENDING,
        _E.RELEASE: _S.RELEASE_WAITS,
        _E.RAN_OUT: _S.LOST,
        _E.CUT_OFF: _S.LOST,
        _E.GIVEN_UP: _S.ENDED,
    },
    _S.SETTLING: {
        _E.EXTENSION_SENT: _S.SETTLING_EXTENDING,
        _E.CONFIRMED: _S.ENDED,
        _E.SETTLEMENT_FAILED: _S.SETTLING,
        _E.SETTLEMENT_LOST: _S.ENDED,
        _E.RAN_OUT: _S.LATE,
        _E.CUT_OFF: _S.SETTLING,
        _E.GIVEN_UP: _S.ENDED,
    },
    _S.SETTLING_EXTENDING: {
        _E.EXTENDED: _S.SETTLING,
        _E.EXTENSION_FAILED: _S.SETTLING,
        _E.EXTENSION_LOST: _S.SETTLING,  # rule 3
        _E.CONFIRMED: _S.ENDED,
        _E.SETTLEMENT_FAILED: _S.SETTLING_EXTENDING,
        _E.SETTLEMENT_LOST: _S.ENDED,
        _E.RAN_OUT: _S.LATE,
        _E.CUT_OFF: _S.SETTLING_EXTENDING,
        _E.GIVEN_UP: _S.ENDED,
    },
    _S.RELEASE_WAITS: {
        _E.EXTENDED: _S.RELEASING,
        _E.EXTENSION_FAILED: _S.RELEASING,
        _E.EXTENSION_LOST: _S.LOST,
        _E.RAN_OUT: _S.LOST,
        _E.CUT_OFF: _S.LOST,
        _E.GIVEN_UP: _S.ENDED,
    },
    _S.RELEASING: {
        _E.CONFIRMED: _S.ENDED,
        _E.SETTLEMENT_FAILED: _S.RELEASING,
        _E.SETTLEMENT_LOST: _S.ENDED,
        _E.RAN_OUT: _S.LATE,
        _E.CUT_OFF: _S.RELEASING,
        _E.GIVEN_UP: _S.ENDED,
    },
    _S.LOST: {
        **dict.fromkeys(_COMES_TOO_LATE, _S.LOST),
        _E.SETTLE: _S.LATE,  # finished work should not run again (semantics 10)
        _E.RELEASE: _S.ENDED,  # there is nothing to give back
        _E.GIVEN_UP: _S.ENDED,
    },
    _S.LATE: {
        **dict.fromkeys(_COMES_TOO_LATE, _S.LATE),
        _E.CONFIRMED: _S.ENDED,
        _E.SETTLEMENT_FAILED: _S.ENDED,
        _E.SETTLEMENT_LOST: _S.ENDED,
        _E.GIVEN_UP: _S.ENDED,
    },
    _S.ENDED: dict.fromkeys(_COMES_TOO_LATE, _S.ENDED),
}
"""What follows: for each state, each event that can happen in it and the state after it."""

EXTENDABLE: Final = frozenset({State.HELD, State.SETTLING})
"""The states in which an extension may be sent."""

RUNNING: Final = frozenset(state for state, after in TRANSITIONS.items() if Event.RAN_OUT in after)
"""The states in which the lease's end is still ahead."""


class LeaseLife:
    """The life of one lease: its state, and the moments by `Clock.elapsed` that decide about it. Not thread-safe.

    Attributes:
        state: Where it is.
        ends: When it ends, as last granted.
        hard_end: When it ends however often it is extended, or `None`.
        settle_by: When extending stops, once the handler has ended; `None` before.
        extend_at: When it is to be extended next; `None` if it isn't.
    """

    __slots__ = ("ends", "extend_at", "hard_end", "settle_by", "state")

    def __init__(
        self, ends: timedelta, *, hard_end: timedelta | None = None, extend_at: timedelta | None = None
    ) -> None:
        self.state = State.HELD
        self.ends = ends
        self.hard_end = hard_end
        self.settle_by: timedelta | None = None
        self.extend_at = extend_at

    def apply(self, event: Event) -> State:
        """The state after `event`.

        Raises:
            RuntimeError: That can't happen in the state it is in: a mistake of the caller's. The state is as before.
        """
        after = TRANSITIONS[self.state].get(event)
        if after is None:
            raise RuntimeError(f"a lease that is {self.state.value!r} can't be told {event.value!r}")
        self.state = after
        return after

    @property
    def running(self) -> bool:
        """Whether it has neither ended nor been found over."""
        return self.state in RUNNING

    def why_over(self, now: timedelta) -> str:
        """Why its end has come, in words.

        Args:
            now: The present time, by `Clock.elapsed`.
        """
        if self.hard_end is not None and self.ends >= self.hard_end:
            return "it reached the longest time that the backend allows"
        if self.settle_by is not None and now >= self.settle_by:
            return "its settlement was not confirmed in time"
        return "it could not be extended in time"

    def over(self, now: timedelta) -> bool:
        """Whether its end has passed, noticed or not."""
        return now >= self.ends

    def due(self, now: timedelta) -> bool:
        """Whether an extension is to be sent now, and may be."""
        return self.extend_at is not None and self.extend_at <= now and self.state in EXTENDABLE

    @property
    def next_look(self) -> timedelta:
        """When something is to be done about it, should nothing happen to it before."""
        if self.extend_at is None or self.state not in EXTENDABLE:
            return self.ends
        return min(self.extend_at, self.ends)

    def plan_extension(self, now: timedelta) -> None:
        """Has it extended half-way to its end, unless nothing more will be granted."""
        if self.hard_end is not None and self.ends >= self.hard_end:
            self.extend_at = None
        else:
            self.extend_at = now + max(SHORTEST_PAUSE, (self.ends - now) / 2)
