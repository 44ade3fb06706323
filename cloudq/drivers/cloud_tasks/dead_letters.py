"""`CloudTasksDeadLetters`: the dead letters of one queue, which are the tasks of the paused queue `q-dlq`.

Cloud Tasks lists tasks in any order and leases none. So:

* A list reads the whole dead-letter queue, up to `MOST` dead letters or `MOST_BYTES` of bodies; pages behind the first
  are of the same look. `unseen` says whether it ended at its bound.
* Of many that a look has read, those that are taken aren't read again: a call for each 1,000 of the queue says which of
  them are there still. A task's body and headers never change.
* What is taken isn't kept from others. Two redrives at once make the same copies, and a copy's name by generation lets
  one of each be stored; only of a body that can't be decoded, which has no such name, there may be two.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final

import msgspec
from google.cloud.tasks_v2 import Task

from cloudq.core import wire
from cloudq.core.clock import Clock, to_micros
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.driver import Ack, DeadMessage, NativeDeadLetter, SettleResult
from cloudq.core.driver import Final as FinalCall
from cloudq.core.message import Message, dead_letter_queue
from cloudq.drivers.cloud_tasks import headers
from cloudq.drivers.cloud_tasks.calls import PAGE as LISTED
from cloudq.drivers.cloud_tasks.calls import Calls, Service
from cloudq.drivers.cloud_tasks.names import Names
from cloudq.errors import LeaseLost, UndecodableError, UnsupportedError

# The most that one look holds, and of how many bodies a page of it is.
MOST: Final = 10_000
MOST_BYTES: Final = 64 * 1024 * 1024
PAGE: Final = 100
# A look takes many calls: it may take as long as a whole send with its retries.
_MANY: Final = 3

_KEY: Final = re.compile(r"[0-9a-f]{14}-([A-Za-z0-9_-]{1,500})")


class _Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """A taken dead letter's receipt."""

    task: str


class CloudTasksDeadLetters:
    """Implements `cloudq.core.driver.DeadLetterQueue`.

    A key is a dead letter's time of death and the name of its task.

    Args:
        queue: The queue that the messages died in.
        service: The service.
        names: The queues' resource names.
        clock: Where the time comes from.
    """

    def __init__(self, queue: str, *, service: Service, names: Names, clock: Clock) -> None:
        self._queue = queue
        self._name = dead_letter_queue(queue)
        self._service = service
        self._names = names
        self._clock = clock
        self._looked: dict[str, Task] | None = None
        self._looked_at_all = False
        self.unseen = False

    def peek(self, *, limit: int, after: str | None = None) -> Sequence[DeadMessage]:
        """By time of death. The first page is a new look; those behind it, asked of this object, are of the same."""
        if after is None or self._looked is None:
            self._looked = {_key(task): task for task in self._look()}
            self._looked_at_all = not self.unseen
        behind = (task for key, task in self._looked.items() if after is None or key > after)
        return [self._dead_message(task) for task in islice(behind, max(0, limit))]

    def get(self, key: str) -> DeadMessage | None:
        """By the task's name, which the key holds."""
        self.unseen = False
        task = self._task(key, self._service.calls())
        return None if task is None else self._dead_message(task)

    def take(self, keys: Sequence[str] | None, *, limit: int, lease: timedelta) -> Sequence[Delivery]:
        """Reads up to `limit`. Nobody else is kept from taking them: Cloud Tasks has no leases."""
        limit = max(0, limit)
        expires_at, ends = self._clock.now() + lease, self._clock.elapsed() + lease
        tasks = self._look() if keys is None else self._chosen(list(dict.fromkeys(keys)))
        return [self._delivery(task, expires_at, ends) for task in islice(tasks, limit)]

    def settle(self, finals: Sequence[FinalCall]) -> Sequence[SettleResult]:
        """`Ack` deletes, by batches; `Release` does nothing. A late `Ack` still deletes, and is reported as late."""
        receipts = [final.lease.receipt for final in finals if isinstance(final.step, Ack)]
        names = list(dict.fromkeys(receipt.task for receipt in receipts if isinstance(receipt, _Receipt)))
        deleted = self._service.calls().delete_each(self._names.queue(self._name), names, self._name)
        there = dict(zip(names, deleted, strict=True))
        return [SettleResult(error=self._settled(final, there)) for final in finals]

    def purge(self, keys: Sequence[str] | None) -> int:
        """Deletes by name, so that the number is exact."""
        parent = self._names.queue(self._name)
        calls = self._service.calls(times=_MANY)
        if keys is None:
            names = [task.name for task in calls.list_tasks(parent, self._name)]
        else:
            self.unseen = False
            ids = (_KEY.fullmatch(key) for key in dict.fromkeys(keys))
            names = [f"{parent}/tasks/{match.group(1)}" for match in ids if match is not None]
        return calls.delete_all(parent, names, self._name)

    def _look(self) -> list[Task]:
        """The dead letters, oldest first."""
        found = self._service.calls(times=_MANY).list_tasks(
            self._names.queue(self._name), self._name, bodies=True, page=PAGE
        )
        tasks: list[Task] = []
        size = 0
        self.unseen = False
        for task in found:
            if len(tasks) >= MOST or size >= MOST_BYTES:
                self.unseen = True
                break
            tasks.append(task)
            size += len(task.http_request.body)
        return sorted(tasks, key=_key)

    def _chosen(self, keys: Sequence[str]) -> Iterator[Task]:
        """Those of these keys that are there still, in their order."""
        calls, looked = self._service.calls(times=_MANY), self._looked
        self.unseen = False
        # What a look at its bound has read is of a queue of any length: it isn't listed for a few.
        known = looked if looked is not None and self._looked_at_all and all(key in looked for key in keys) else None
        if known is not None and len(keys) > 1 + len(known) // LISTED:
            parent = self._names.queue(self._name)
            there = {_id(task) for task in calls.list_tasks(parent, self._name)}
            yield from (known[key] for key in keys if _id(known[key]) in there)
        else:
            yield from (task for key in keys if (task := self._task(key, calls)) is not None)

    def _task(self, key: str, calls: Calls) -> Task | None:
        match = _KEY.fullmatch(key)
        return None if match is None else calls.get(self._names.task(self._name, match.group(1)), self._name)

    def _settled(self, final: FinalCall, there: Mapping[str, bool | Exception]) -> Exception | None:
        """What to report of a step, by what became of the deletions."""
        receipt = final.lease.receipt
        if isinstance(final.step, NativeDeadLetter):
            return UnsupportedError("a dead letter can't be dead-lettered again")
        if not isinstance(receipt, _Receipt):
            return self._lost()
        late = self._clock.elapsed() >= final.lease.ends
        deleted = there[receipt.task] if isinstance(final.step, Ack) else True
        if isinstance(deleted, Exception):
            return deleted
        return None if deleted and not late else self._lost()

    def _lost(self) -> LeaseLost:
        return LeaseLost(f"the dead letter of queue {self._queue!r} is gone, or was taken too long ago")

    def _delivery(self, task: Task, expires_at: datetime, ends: timedelta) -> Delivery:
        lease = Lease(
            queue=self._queue,
            receipt=_Receipt(task=task.name),
            expires_at=expires_at,
            hard_limit=expires_at,
            ends=ends,
            hard_end=ends,
        )
        return Delivery.of(
            task.http_request.body,
            native_id=_id(task),
            copy=_id(task),
            runs=1,
            deliveries=1,
            lease=lease,
            failure=headers.failure_of(task.http_request.headers),
            raw=task,
        )

    def _dead_message(self, task: Task) -> DeadMessage:
        body = task.http_request.body
        message = _decoded(body, self._queue)
        return DeadMessage(
            key=_key(task),
            id=message.id if message else _id(task),
            queue=self._queue,
            body=body,
            message=message,
            failure=headers.failure_of(task.http_request.headers),
            dead_at=_dead_at(task),
        )


def _id(task: Task) -> str:
    name: str = task.name
    return name.rpartition("/")[2]


def _key(task: Task) -> str:
    # Fixed in width, so that keys are ordered as the times are.
    return f"{to_micros(_dead_at(task)):014x}-{_id(task)}"


def _dead_at(task: Task) -> datetime:
    """When it came here: by the header that its copier set, or by the service, to the second."""
    said = headers.dead_at_of(task.http_request.headers)
    if said is not None:
        return said
    made: datetime = task.create_time
    return datetime.fromtimestamp(made.timestamp(), UTC)


def _decoded(body: bytes, queue: str) -> Message | None:
    try:
        return wire.decode(body, queue)
    except UndecodableError:
        return None  # which is what `DeadMessage.message` says of it
