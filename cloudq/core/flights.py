"""Who and what flies in a `Batcher`: entries, pilots, and how an entry gets its result. The words are in `batching`.

An entry is no `Future`: that has a lock and a condition of its own, which took nearly a tenth of the CPU that a worker
on SQLite needs for a short task. A thread that waits for an entry waits on the batcher's condition; others give
a function that is called.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from datetime import timedelta
from typing import Generic, TypeAlias, TypeVar

from cloudq.core.own_copy import own_copy
from cloudq.core.safe_log import SafeLogger
from cloudq.errors import BackendUnavailable

logger = SafeLogger("cloudq")

_ZERO = timedelta(0)

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


class Entry(Generic[ItemT, ResultT]):
    """An item that waits for its result.

    Attributes:
        item: The item.
        size: Its bytes.
        key: Its ordering key, or `None`.
        since: Since when it may fly; zero for one that flew at once.
        until: Until when it may wait for its flight, or `None`.
        then: Told of it once it has landed, in the thread that flew it; `None`: nobody, or it was told already.
        landed: Whether it has its result, or its error. Both stay as they are from then on.
        result: What the call gave for it; there is none before it landed, nor beside an error.
        error: Why there is no result, or `None`.
    """

    __slots__ = ("error", "item", "key", "landed", "result", "since", "size", "then", "until")

    result: ResultT

    def __init__(self, item: ItemT, size: int, key: Hashable) -> None:
        self.item = item
        self.size = size
        self.key = key
        self.since = _ZERO
        self.until: timedelta | None = None
        self.then: Then[ItemT, ResultT] | None = None
        self.landed = False
        self.error: Exception | None = None


Then: TypeAlias = Callable[[Entry[ItemT, ResultT]], object]
"""Called with an entry that has landed, under no lock; a second time if the first call was interrupted."""


class Pilot(Generic[ItemT, ResultT]):
    """One thread that makes calls, the batch that it flies now (none: empty), and what it leaves behind as too late."""

    __slots__ = ("alone", "batch", "flies", "late", "stays")

    def __init__(self, *, stays: bool = False) -> None:
        self.batch: list[Entry[ItemT, ResultT]] = []
        self.late: list[Entry[ItemT, ResultT]] = []
        self.flies = False  # whether its call has begun, so that what it carries may be stored
        self.stays = stays  # a flusher, which looks for more by itself
        self.alone = False  # whether its batch is its own item, so that nobody waits for what it carries


def fill(
    pilot: Pilot[ItemT, ResultT],
    waiting: deque[Entry[ItemT, ResultT]],
    max_items: int,
    max_bytes: int | None,
    now: timedelta | None,
) -> int:
    """Takes as many of those that wait, in their order, as one call carries; beside them those that waited too long.

    Args:
        pilot: Whose batch it becomes.
        waiting: Those that wait.
        max_items: The most items a call.
        max_bytes: The most bytes a call, or `None`. A larger single item flies alone.
        now: The time, where there is a bound to how long an item may wait.

    Returns:
        How many bytes no longer wait.
    """
    size = left = 0
    while waiting and len(pilot.batch) < max_items:
        entry = waiting[0]
        late = now is not None and entry.until is not None and now > entry.until
        if not late:
            if pilot.batch and max_bytes is not None and size + entry.size > max_bytes:
                break
            size += entry.size
        (pilot.late if late else pilot.batch).append(entry)
        waiting.popleft()
        left += entry.size
    return left


def resolve(
    batch: Sequence[Entry[ItemT, ResultT]], outcome: Sequence[ResultT] | Exception, *, again: bool = False
) -> None:
    """Hands out the results of a flight, or the error that all of its entries share.

    Args:
        batch: The entries.
        outcome: The results in their order, or the error.
        again: Whether this follows an interruption. Whatever ends a call of `then` now is its own, and is logged: it
            must keep neither the others from being told nor the batcher from clearing up.
    """
    for index, entry in enumerate(batch):
        if not entry.landed:  # else it landed before an interruption
            if isinstance(outcome, Exception):
                # Each caller raises its own: raising writes the traceback, which threads must not do to one object.
                entry.error = outcome if len(batch) == 1 else own_copy(outcome)
            else:
                entry.result = outcome[index]
            entry.landed = True
        if entry.then is not None:
            _tell(entry, entry.then, BaseException if again else Exception)


def _tell(entry: Entry[ItemT, ResultT], then: Then[ItemT, ResultT], logged: type[BaseException]) -> None:
    try:
        then(entry)
    except logged:
        logger.exception("what follows a call has failed")  # the others are to be told, too
    entry.then = None


def set_future(future: Future[ResultT], entry: Entry[ItemT, ResultT]) -> None:
    """Passes on what an entry has landed with. A second time changes nothing."""
    with suppress(InvalidStateError):
        if entry.error is not None:
            future.set_exception(entry.error)
        else:
            future.set_result(entry.result)


def sort_anew(
    entries: Iterable[Entry[ItemT, ResultT]], airborne: Collection[Pilot[ItemT, ResultT]]
) -> tuple[
    dict[Entry[ItemT, ResultT], None],
    deque[Entry[ItemT, ResultT]],
    dict[Hashable, deque[Entry[ItemT, ResultT]]],
]:
    """Decides anew which entries wait and which stand behind others: an interruption may have left it half done.

    Args:
        entries: All that are known, by arrival.
        airborne: Who flies.

    Returns:
        Those that haven't landed; those that wait; for each key those that stand behind another.
    """
    flying = {entry for pilot in airborne for entry in (*pilot.batch, *pilot.late)}
    waiting: deque[Entry[ItemT, ResultT]] = deque()
    behind: dict[Hashable, deque[Entry[ItemT, ResultT]]] = {
        entry.key: deque() for entry in flying if entry.key is not None
    }
    left = {entry: None for entry in entries if entry in flying or not entry.landed}
    for entry in left:
        if entry in flying:
            continue
        if entry.key in behind:
            behind[entry.key].append(entry)
            continue
        waiting.append(entry)
        if entry.key is not None:
            behind[entry.key] = deque()
    return left, waiting, behind


def waited_too_long(longest: timedelta | None) -> BackendUnavailable:
    """The error of an entry whose flight didn't begin in time."""
    waited = 0.0 if longest is None else longest.total_seconds()
    return BackendUnavailable(
        f"not sent: for {waited:g} s the calls before it got no answer",
        hint="send it again later; the backend URL's parameter `timeout` says how long to try",
    )
