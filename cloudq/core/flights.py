"""Who and what flies in a `Batcher`: entries, pilots, and how an entry gets its result. The words are in `batching`."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from concurrent.futures import Future, InvalidStateError
from datetime import timedelta
from typing import Generic, TypeVar

from cloudq.core.own_copy import own_copy
from cloudq.errors import BackendUnavailable

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


class Entry(Generic[ItemT, ResultT]):
    """An item that waits for its result."""

    __slots__ = ("future", "item", "key", "since", "size", "until")

    def __init__(self, item: ItemT, size: int, key: Hashable, since: timedelta, until: timedelta | None) -> None:
        self.item = item
        self.size = size
        self.key = key
        self.since = since  # since when it may fly
        self.until = until  # until when it may wait for its flight
        self.future: Future[ResultT] = Future()
        # From now on it can't be cancelled: cancelling a caller doesn't unsend.
        self.future.set_running_or_notify_cancel()


class Pilot(Generic[ItemT, ResultT]):
    """One thread that makes calls, the batch that it flies now (none: empty), and what it leaves behind as too late."""

    __slots__ = ("batch", "flies", "late", "stays")

    def __init__(self, *, stays: bool = False) -> None:
        self.batch: list[Entry[ItemT, ResultT]] = []
        self.late: list[Entry[ItemT, ResultT]] = []
        self.flies = False  # whether its call has begun, so that what it carries may be stored
        self.stays = stays  # a flusher, which looks for more by itself


def resolve(batch: Sequence[Entry[ItemT, ResultT]], outcome: Sequence[ResultT] | Exception) -> None:
    """Hands out the results of a flight, or the error that all of its entries share."""
    for index, entry in enumerate(batch):
        try:
            if isinstance(outcome, Exception):
                # Each caller raises its own: raising writes the traceback, which threads must not do to one object.
                entry.future.set_exception(outcome if len(batch) == 1 else own_copy(outcome))
            else:
                entry.future.set_result(outcome[index])
        except InvalidStateError:
            continue  # resolved before an interruption; to ask each first would take its lock a second time


def waited_too_long(longest: timedelta | None) -> BackendUnavailable:
    """The error of an entry whose flight didn't begin in time."""
    waited = 0.0 if longest is None else longest.total_seconds()
    return BackendUnavailable(
        f"not sent: for {waited:g} s the calls before it got no answer",
        hint="send it again later; the backend URL's parameter `timeout` says how long to try",
    )
