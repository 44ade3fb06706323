"""A claim's life in a store: what is seen under a key, what happens, and one table that says what follows.

Rule 1: the table is the law for every store, whatever language its server carries it out in. The memory store asks it;
the store conformance kit holds the others to it.

Rule 2: a caller that changes a record shows the token of its own claim. A claim that was taken over has another token,
so a worker that wakes up late can neither complete, release nor renew: fencing.

Rule 3: tokens of a key only grow, also after its record is gone: the next one is at least the store's time in
microseconds since 1970.

Rule 4: a claim that is over is still its owner's until somebody takes it over: finished work is recorded, however late.

```
              claim                        complete
 nothing ───────────────▶ HELD ───────────────────────▶ COMPLETED ── keep is over ──▶ nothing
    ▲                    │ ▲ │ renew ↺                      ▲
    │   keep is over     │ │ └─ its time is over ─▶ LAPSED ─┘ complete, late but not taken over
    └──── RELEASED ◀─────┘ │ claim, by anybody: a greater token  │
             │   release   └─────────────────────────────────────┘
             └──────── claim ──────────▶ HELD
```
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final


class Seen(Enum):
    """What a store finds under a key, at the moment of a call and for its caller."""

    NOTHING = "nothing"
    """No record, or one that was kept for long enough."""
    RELEASED = "released"
    """Its owner gave it back: the task failed. Only the token is remembered."""
    OWN_RELEASED = "own, released"
    """As `RELEASED`, by the caller's own token: the answer to an earlier call was lost."""
    LAPSED = "lapsed"
    """It was claimed by somebody else, and that claim is over."""
    HELD = "held"
    """Somebody else's claim holds."""
    OWN = "own"
    """The caller's own claim, by its token or its owner's name, over or not."""
    COMPLETED = "completed"
    """By another claim than the caller's."""
    OWN_COMPLETED = "own, completed"
    """By the caller's own claim: the answer to an earlier call was lost."""


class Call(Enum):
    """What a caller wants of a record."""

    CLAIM = "claim"
    RENEW = "renew"
    COMPLETE = "complete"
    RELEASE = "release"
    FORGET = "forget"
    """An operator's: away with it, unless its claim holds."""
    FORGET_LIVE = "forget, live or not"
    """As `FORGET`, whatever holds."""


class Does(Enum):
    """What a store does."""

    TAKES = "takes"
    """Claims it for the caller, with a greater token."""
    EXTENDS = "extends"
    """Lets the caller's claim last longer, with its token."""
    COMPLETES = "completes"
    """Records that the work is done."""
    RELEASES = "releases"
    """Leaves the token alone: no owner, no fingerprint, no result."""
    REMOVES = "removes"
    AGREES = "agrees"
    """Changes nothing, and says that it is as the caller wants it."""
    REFUSES = "refuses"
    """Changes nothing, and says what is there instead."""


_S, _D = Seen, Does

TABLE: Final[Mapping[Call, Mapping[Seen, Does]]] = {
    Call.CLAIM: {
        _S.NOTHING: _D.TAKES,
        _S.RELEASED: _D.TAKES,
        _S.OWN_RELEASED: _D.TAKES,
        _S.LAPSED: _D.TAKES,
        _S.HELD: _D.REFUSES,
        _S.OWN: _D.EXTENDS,
        _S.COMPLETED: _D.REFUSES,
        _S.OWN_COMPLETED: _D.REFUSES,
    },
    Call.RENEW: {seen: _D.EXTENDS if seen is _S.OWN else _D.REFUSES for seen in Seen},
    Call.COMPLETE: {
        seen: _D.COMPLETES if seen is _S.OWN else _D.AGREES if seen is _S.OWN_COMPLETED else _D.REFUSES for seen in Seen
    },
    Call.RELEASE: {
        seen: _D.RELEASES if seen is _S.OWN else _D.AGREES if seen is _S.OWN_RELEASED else _D.REFUSES for seen in Seen
    },
    Call.FORGET: {
        seen: _D.AGREES if seen is _S.NOTHING else _D.REFUSES if seen in (_S.HELD, _S.OWN) else _D.REMOVES
        for seen in Seen
    },
    Call.FORGET_LIVE: {seen: _D.AGREES if seen is _S.NOTHING else _D.REMOVES for seen in Seen},
}


def next_token(last: int, now: int) -> int:
    """The token of a new claim: greater than the last one of its key, and than any whose record is gone.

    Args:
        last: The token that is remembered; 0 if none is.
        now: The store's time, in microseconds since 1970.
    """
    return max(last + 1, now)
