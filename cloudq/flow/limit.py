"""`Limit`: what a task may have to wait for before it starts, as a worker and the other edges see it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta


class Limit:
    """One limit of an app, in one process: what it has of it, and when it is to ask for more.

    Only `ask` and `close` may block. All others are called under one lock of their caller, and ask nobody. All moments
    are `Clock.elapsed`'s. Those that a limit doesn't override are those of one that asks no store.

    Attributes:
        name: What it limits, for log lines.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def is_idle(self) -> bool:
        """Whether it needs no look while nothing waits for it: it has nothing to renew or to give back."""
        return True

    def is_as_new(self, now: timedelta) -> bool:
        """Whether another one, made now, would do the same, if nobody uses this one. Read without the lock."""
        del now
        return False

    @property
    def holds_back(self) -> str | None:
        """Why less of it starts than could, in a word or two; `None`: it doesn't."""
        return None

    def enter(self, now: timedelta) -> bool:
        """Takes a place for a task that starts now, if there is one."""
        raise NotImplementedError

    def undo(self) -> None:
        """The latest `enter` was for nothing: another limit is in the way. Called before any other one."""
        raise NotImplementedError

    def leave(self, now: timedelta, *, entered: timedelta, failed: bool | None) -> None:
        """A task that entered has ended.

        Args:
            now: The present time.
            entered: When it entered.
            failed: `None`: its end says nothing of the task, e.g. as it was interrupted.
        """

    def room(self, now: timedelta, waiting: int) -> int:
        """How many more deliveries there is something for, or will be soon, beside those that wait already."""
        raise NotImplementedError

    def wants(self, now: timedelta, waiting: int, *, polling: bool) -> int:
        """How many places it is to `ask` for now; 0 for none.

        Args:
            now: The present time.
            waiting: How many deliveries wait here.
            polling: Whether its queue is to be asked for more.
        """
        del now, waiting, polling
        return 0

    def next_at(self, now: timedelta) -> timedelta | None:
        """The next moment after `now` at which any of these may answer otherwise by itself; `None`: none is known."""
        del now
        return None

    def wait(self, now: timedelta, place: int) -> timedelta | None:
        """How long the delivery at this place among those that wait has to, where that is too long in hand.

        `None`: not too long, or it isn't known.
        """
        del now, place
        return None

    def ask(self, count: int) -> Callable[[timedelta], None]:
        """Asks the store for this many. May block. What it returns is to be called with the time now, under the lock.

        Raises:
            BackendError: The store can't be reached, or refuses.
        """
        del count
        return lambda _: None

    def note_failure(self, now: timedelta) -> bool:
        """`ask` failed: it is to be called again, after a growing pause. Whether it had worked before."""
        del now
        return False

    def note_empty(self) -> None:
        """A poll of its queue brought nothing."""

    def close(self) -> None:
        """Gives back what others can use. May block.

        Raises:
            BackendError: The store can't be reached, or refuses: what it has lapses.
        """


def enter(limits: Sequence[Limit], now: timedelta) -> Limit | None:
    """Enters all of them, or none. The one in the way."""
    for place, limit in enumerate(limits):
        if not limit.enter(now):
            for entered in reversed(limits[:place]):
                entered.undo()
            return limit
    return None
