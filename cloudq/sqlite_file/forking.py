"""A fork waits until no thread of ours is inside SQLite.

```
 thread A   SQLite: lock taken ................ freed
 thread B              fork ─▶ the child has the lock too, taken, and no thread A that would free it: it hangs
```

SQLite keeps locks of its own for each file of a process, also across connections. So before a fork all transactions and
openings of this process are let end; a child then opens the file anew without meeting a lock that nobody holds.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable
from typing import Final, Protocol
from weakref import WeakSet

from cloudq.sqlite_file.mutex import Mutex

# A transaction takes milliseconds. If one waits for another program for longer than this, the fork goes ahead.
PATIENCE_SECONDS: Final = 2.0


class HasMutexes(Protocol):
    """Something that is inside SQLite only while one of its mutexes is held."""

    @property
    def mutexes(self) -> Iterable[Mutex]:
        """In the order in which they are taken."""
        ...


class _Held(threading.local):
    """By the thread that forks: two may do so at once."""

    mutexes: tuple[Mutex, ...] = ()


opening = Mutex()
"""Held while a file is opened. A child process has another one: a thread that doesn't exist there may hold this."""
_known: Final[WeakSet[HasMutexes]] = WeakSet()
_held: Final = _Held()


def let_end_before_forks(database: HasMutexes) -> None:
    """From now on a fork waits for its mutexes to be free, though not forever."""
    _known.add(database)


def forget(database: HasMutexes) -> None:
    """In a child process: its mutexes may be held by threads that don't exist here, so no fork waits for them."""
    _known.discard(database)


def _before() -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    wanted = [opening, *(mutex for database in list(_known) for mutex in database.mutexes)]
    # A thread may fork while it holds one itself, from a signal handler; then it isn't ours to free.
    _held.mutexes = tuple(
        mutex for mutex in wanted if not mutex.mine() and mutex.acquire(max(0.0, deadline - time.monotonic()))
    )


def _after() -> None:
    mutexes, _held.mutexes = _held.mutexes, ()
    for mutex in mutexes:
        mutex.free()


def _after_in_child() -> None:
    global opening  # noqa: PLW0603 - see there
    _after()
    opening = Mutex()


os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after_in_child)
