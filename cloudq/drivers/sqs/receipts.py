"""`Receipt`: what this process knows of a lease. SQS often doesn't say that a lease is over, so it is tracked here.

```
 held ──take──▶ deleting, releasing ──confirm──▶ settled
  ▲                     │
  └──────give_back──────┘  the settlement failed, and may be tried again
```
"""

from __future__ import annotations

from datetime import timedelta
from enum import Enum
from threading import Lock


class State(Enum):
    """What this process is doing, or has done, about a lease."""

    HELD = "held"
    DELETING = "deleting"
    RELEASING = "releasing"
    SETTLED = "settled"
    """The service confirmed it, or said that the lease is over."""


class Receipt:
    """A message's receipt handle, and until when it holds. Moments are by `Clock.elapsed`.

    Attributes:
        url: The queue's URL.
        handle: The service's receipt handle.
        since: When the lease began, at the latest.
        ends: When it ends, extensions included.
        hard_end: When it ends however often it is extended.
    """

    __slots__ = ("_lock", "_state", "ends", "handle", "hard_end", "since", "url")

    def __init__(self, url: str, handle: str, *, since: timedelta, ends: timedelta, hard_end: timedelta) -> None:
        self.url = url
        self.handle = handle
        self.since = since
        self.ends = ends
        self.hard_end = hard_end
        self._lock = Lock()
        self._state = State.HELD

    @property
    def state(self) -> State:
        """What is being done, or was done, about it."""
        return self._state

    def take(self, state: State) -> bool:
        """Begins to settle. `False`: somebody else does, or did."""
        with self._lock:
            if self._state is not State.HELD:
                return False
            self._state = state
            return True

    def confirm(self) -> None:
        """Notes that, by the service's word, it is settled or over."""
        self._state = State.SETTLED

    def give_back(self) -> None:
        """Notes that the settlement wasn't confirmed, and may be tried again. Changes nothing if it was confirmed."""
        if self._state is not State.SETTLED:
            self._state = State.HELD

    def over(self, elapsed: timedelta) -> bool:
        """Whether the lease has run out."""
        return elapsed >= self.ends
