"""`Sampler`: one look at all that `cloudq top` shows. What fails is part of the look: that is when people want one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Final

import msgspec

from cloudq.cli.top.workers import WorkerNow
from cloudq.core.inspection import DeadMessage, QueueStats
from cloudq.errors import CloudqError
from cloudq.queues.cloud_queue import CloudQueue

# Dead letters that are read for the groups: enough to tell what is going on, and few enough for each look.
READ_DEAD: Final = 100


class QueueNow(msgspec.Struct, frozen=True, kw_only=True):
    """One queue at one moment.

    Attributes:
        name: Its name.
        stats: How full it is; `None`: it couldn't be asked.
        error: Why not.
    """

    name: str
    stats: QueueStats | None = None
    error: CloudqError | None = None


class DeadNow(msgspec.Struct, frozen=True, kw_only=True):
    """Dead letters of a queue that died alike.

    Attributes:
        queue: The queue.
        task: Their task; empty where the body says none.
        error: The type of the error, or the reason where there was none.
        count: How many, of the oldest that were read.
    """

    queue: str
    task: str
    error: str
    count: int


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """All of it at one moment.

    Attributes:
        at: When, by a clock that only runs forwards.
        queues: The queues.
        workers: The workers that were named.
        dead: The dead letters, by what they died of, the most frequent first.
        unread: Queues whose dead letters can't be looked at without hiding them from others.
    """

    at: timedelta
    queues: Sequence[QueueNow]
    workers: Sequence[WorkerNow] = ()
    dead: Sequence[DeadNow] = ()
    unread: Sequence[str] = ()


class Sampler:
    """Takes the looks.

    Args:
        queues: What is looked at.
        workers: The addresses of their workers' health pages.
        ask: Asks the worker at an address.
        elapsed: The time.
    """

    def __init__(
        self,
        queues: Sequence[CloudQueue],
        workers: Sequence[str],
        *,
        ask: Callable[[str], WorkerNow],
        elapsed: Callable[[], timedelta],
    ) -> None:
        self._queues = queues
        self._workers = workers
        self._ask = ask
        self._elapsed = elapsed
        # Of each queue: how many were dead when they were read last, and what was found. They are read anew only then.
        self._dead: dict[str, tuple[int, list[DeadNow]]] = {}

    def look(self) -> Sample:
        """One look. Raises nothing of the backend's."""
        queues = [_look_at(queue) for queue in self._queues]
        counts = {now.name: now.stats.dead or 0 for now in queues if now.stats is not None}
        readable = [queue for queue in self._queues if queue.dead_letters.hides_for is None]
        for queue in readable:
            self._read_dead(queue, counts)
        dead = [one for queue in readable for one in self._dead.get(queue.name, (0, []))[1]]
        return Sample(
            at=self._elapsed(),
            queues=queues,
            workers=[self._ask(address) for address in self._workers],
            dead=sorted(dead, key=lambda one: -one.count),
            unread=[queue.name for queue in self._queues if queue not in readable and counts.get(queue.name)],
        )

    def _read_dead(self, queue: CloudQueue, counts: Mapping[str, int]) -> None:
        count = counts.get(queue.name)
        if count is None or self._dead.get(queue.name, (None,))[0] == count:
            return  # it can't be asked, or nothing has changed
        try:
            letters = queue.dead_letters.peek(limit=READ_DEAD) if count else ()
        except CloudqError:
            return  # the row of the queue says so, unless it was for a moment
        groups = Counter(map(_of, letters))
        self._dead[queue.name] = (
            count,
            [DeadNow(queue=queue.name, task=task, error=error, count=n) for (task, error), n in groups.items()],
        )


def _look_at(queue: CloudQueue) -> QueueNow:
    try:
        return QueueNow(name=queue.name, stats=queue.stats())
    except CloudqError as error:
        return QueueNow(name=queue.name, error=error)


def _of(letter: DeadMessage) -> tuple[str, str]:
    """What a dead letter is counted under."""
    failure = letter.failure
    why = "" if failure is None else failure.error_type or failure.reason
    return letter.message.task if letter.message else "", why
