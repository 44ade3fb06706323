"""`Publisher`: from rows of an outbox to messages in their queues, in order per key.

```
 rows ─▶ slices ─▶ one call of the backend each ─▶ published | failed | parked
           │                                                    │
           └── no longer tried: what follows on a key that failed, or on a queue that is down
```

A slice is what one call takes: of one queue, within its limits of number and bytes, and one row of an ordering key, the
next one only after that was stored (semantics 18). So a slice ends by the queue's deadline, and before each one the
relay looks whether that much time is left.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Final, NamedTuple

from cloudq.core.driver import SendResult
from cloudq.core.message import Message
from cloudq.core.wire import decode
from cloudq.errors import UndecodableError
from cloudq.outbox.rows import Failed, OutboxRow, Parked
from cloudq.queues.cloud_queue import CloudQueue
from cloudq.relay.resting import LONGEST, Resting
from cloudq.relay.seals import Seals
from cloudq.relay.verdicts import Verdict, verdict, why

# How long a message waits after its first failure; twice that after the next one, and so on. The longest is no shorter
# than that for which its queue rests: else a message that alone fails would be the first to be tried, each time.
FIRST_DELAY: Final = timedelta(seconds=1)
LONGEST_DELAY: Final = LONGEST
# Where the queue couldn't be opened, so that nobody knows its limits.
_UNKNOWN: Final = 100


class Sorted(NamedTuple):
    """What became of rows. Those that are in none of the lists weren't tried."""

    published: list[int]
    failed: list[Failed]
    parked: list[Parked]


class Publisher:
    """Publishes rows through an app's queues. Thread-safe.

    Args:
        queue: The handle of a queue, by its name.
        resting: The queues that are down.
        seals: Looks at signatures.
    """

    def __init__(self, queue: Callable[[str], CloudQueue], resting: Resting, seals: Seals) -> None:
        self._queue = queue
        self._resting = resting
        self._seals = seals

    def publish(self, rows: Sequence[OutboxRow], may_go_on: Callable[[timedelta], bool]) -> Iterator[Sorted]:
        """Publishes rows, in their order for each key, and says after each slice what became of it.

        Args:
            rows: What was taken, in order.
            may_go_on: Whether another slice may begin that takes so long at most. The rest is untried if not.
        """
        broken: set[tuple[str, str | None]] = set()
        down: set[str] = set()
        for queue, handle, rows_of_slice in self._slices(rows):
            tried = [row for row in rows_of_slice if queue not in down and (queue, row.ordering_key) not in broken]
            if not tried:
                continue
            if not may_go_on(_deadline(handle)):
                return
            done = self._publish(queue, handle, tried)
            if len(done.published) < len(tried):
                kept = set(done.published)
                broken.update((queue, row.ordering_key) for row in tried if row.ordering_key and row.id not in kept)
                if not done.published and queue in self._resting.queues():
                    down.add(queue)
            yield done

    def _publish(self, queue: str, handle: CloudQueue | Exception, rows: Sequence[OutboxRow]) -> Sorted:
        """One slice, in as many calls of the backend as failures that pass take."""
        done = Sorted([], [], [])
        messages: list[Message] = []
        sent: list[OutboxRow] = []
        for row in rows:
            try:
                messages.append(self._seals.opened(decode(row.body, queue), row.body))
            except UndecodableError as unreadable:
                done.parked.append(Parked(row.id, why(unreadable)))
            else:
                sent.append(row)
        if not sent:
            return done
        is_down = None
        for row, result in zip(sent, _stored(handle, messages), strict=True):
            error = result.error
            if error is None:
                done.published.append(row.id)
                continue
            decided = verdict(error, row.attempts)
            if decided is Verdict.PARK:
                done.parked.append(Parked(row.id, why(error)))
            else:
                done.failed.append(Failed(row.id, why(error), _delay(row.attempts)))
                is_down = is_down or (decided is Verdict.WAIT and why(error)) or None
        if done.published:
            self._resting.end(queue)
        elif is_down:
            self._resting.begin(queue, is_down)
        return done

    def _slices(self, rows: Sequence[OutboxRow]) -> Iterator[tuple[str, CloudQueue | Exception, list[OutboxRow]]]:
        """Cuts rows into slices. Those of one queue are in the order of its rows."""
        of_queue: dict[str, list[OutboxRow]] = {}
        for row in rows:
            of_queue.setdefault(row.queue, []).append(row)
        for queue, its_rows in of_queue.items():
            handle = self._opened(queue)
            for slice_ in _cut(its_rows, *_limits(handle)):
                yield queue, handle, slice_

    def _opened(self, queue: str) -> CloudQueue | Exception:
        """The queue's handle, or why there is none: the backend can't be opened, or it is no name of a queue."""
        try:
            return self._queue(queue)
        except Exception as error:  # noqa: BLE001 - reported for each of its rows; other queues' are published
            return error


def _stored(handle: CloudQueue | Exception, messages: Sequence[Message]) -> Sequence[SendResult]:
    if isinstance(handle, Exception):
        return [SendResult(error=handle)] * len(messages)
    try:
        return handle.send_all(messages)
    except Exception as error:  # noqa: BLE001 - whatever it is, these rows stay in the outbox, and the relay goes on
        return [SendResult(error=error)] * len(messages)


def _cut(rows: Sequence[OutboxRow], most: int, most_bytes: int) -> list[list[OutboxRow]]:
    """Each row goes to the first slice that has room for it, behind the one that has the row before it of its key."""
    slices: list[list[OutboxRow]] = []
    sizes: list[int] = []
    behind: dict[str, int] = {}
    first = 0  # with room for another one
    for row in rows:
        place = first if row.ordering_key is None else max(first, behind.get(row.ordering_key, 0))
        while place < len(slices) and (len(slices[place]) >= most or sizes[place] + len(row.body) > most_bytes):
            place += 1
        if place == len(slices):
            slices.append([])
            sizes.append(0)
        slices[place].append(row)
        sizes[place] += len(row.body)
        if row.ordering_key is not None:
            behind[row.ordering_key] = place + 1
        while first < len(slices) and len(slices[first]) >= most:
            first += 1
    return slices


def _limits(handle: CloudQueue | Exception) -> tuple[int, int]:
    if isinstance(handle, Exception):
        return _UNKNOWN, sys.maxsize
    most_bytes = handle.capabilities.max_batch_bytes
    return handle.capabilities.max_batch, sys.maxsize if most_bytes is None else most_bytes


def _deadline(handle: CloudQueue | Exception) -> timedelta:
    return timedelta(0) if isinstance(handle, Exception) else handle.deadline


def _delay(failures: int) -> timedelta:
    return min(FIRST_DELAY * (1 << min(failures, 10)), LONGEST_DELAY)
