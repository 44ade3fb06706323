"""`Flow`: how fast a queue fills and empties, what is left for each worker, and how many workers that asks for.

No backend says its rates: SQS and Service Bus leave them to CloudWatch and Azure Monitor, which a look doesn't call,
Cloud Tasks and SQLite keep none. So they come from two looks. What leaves a queue its workers count; what arrives is
what left and by how much the queue has grown: nothing else changes its length.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

import msgspec

from cloudq.cli.counted import QueueCounts, WorkerCounts
from cloudq.core.inspection import QueueStats

ONE_LOOK: Final = "one look says no rate: --over 30s takes two"
NO_WORKER: Final = "no worker was named that counts what leaves the queue: --worker HOST:PORT, of its --metrics-port"
NO_COUNTS: Final = "the backend doesn't say how many messages there are"
NO_TARGET: Final = "no age was given that is to be kept: --target-age 1m"
NO_WORKERS: Final = "how many workers there are isn't known: --worker HOST:PORT for each, or --workers N"
NO_TIME: Final = "how long a task takes isn't known: no worker that was named has run one; --task-time 2s"
NO_SLOTS: Final = "how many tasks a worker runs at once isn't known: --worker HOST:PORT, or --concurrency N"
RESTARTED: Final = "a worker was started anew between the two looks, and counts from zero"
# So that 3.0000000000000004 workers are three.
_ROUNDING: Final = 1e-9


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """One queue, and the workers that were named, at one moment.

    Attributes:
        at: When, by a clock that only runs forwards.
        stats: How full the queue is.
        workers: What each worker has counted.
    """

    at: timedelta
    stats: QueueStats
    workers: Sequence[WorkerCounts] = ()


class Assumed(msgspec.Struct, frozen=True, kw_only=True):
    """What was said, and so isn't looked for.

    Attributes:
        target_age: How long a message may wait; `None`: no workers are recommended.
        task_time: How long a task takes.
        slots: How many tasks a worker runs at once.
        workers: How many workers there are.
    """

    target_age: timedelta | None = None
    task_time: timedelta | None = None
    slots: int | None = None
    workers: int | None = None


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """What two looks say. Rates are messages a second; `None` where nothing can be said.

    Attributes:
        growth_rate: By how much what isn't done grows, or shrinks (less than zero).
        arrival_rate: How many messages arrive.
        service_rate: How many leave the queue: done, dead-lettered, expired or cancelled.
        workers: How many workers serve the queue.
        backlog_per_worker: How many messages, ready or in flight, there are for each.
        recommended_workers: How many would keep the target age.
        unknown: Why those that are `None` aren't known, by their names.
    """

    growth_rate: float | None = None
    arrival_rate: float | None = None
    service_rate: float | None = None
    workers: int | None = None
    backlog_per_worker: float | None = None
    recommended_workers: int | None = None
    unknown: Mapping[str, str] = {}


def flow(queue: str, before: Look | None, now: Look, assumed: Assumed) -> Flow:
    """What the looks say of a queue. Pure.

    Args:
        queue: Its name.
        before: The earlier look; `None`: there was none.
        now: The later one.
        assumed: What was said besides.
    """
    unknown: dict[str, str] = {}

    def known(name: str, found: float | str) -> float | None:
        if isinstance(found, str):
            unknown[name] = found
            return None
        return found

    service = _service_rate(queue, before, now)
    growth = _growth_rate(before, now)
    arrival = service if isinstance(service, str) else growth
    if not isinstance(arrival, str) and not isinstance(service, str):
        # Counts of a hosted queue lag behind what its workers did; less than nothing doesn't arrive.
        arrival = max(0.0, arrival + service)
    workers = _workers(queue, now, assumed)
    waiting = _unfinished(now.stats)
    recommended = _recommended(queue, before, now, assumed, None if isinstance(arrival, str) else arrival)
    backlog: float | str
    if isinstance(workers, str) or isinstance(waiting, str):
        backlog = workers if isinstance(workers, str) else str(waiting)
    else:
        backlog = waiting / workers if workers else "there is no worker"
    counted = known("workers", workers)
    asked = known("recommended_workers", recommended)
    return Flow(
        growth_rate=known("growth_rate", growth),
        arrival_rate=known("arrival_rate", arrival),
        service_rate=known("service_rate", service),
        workers=None if counted is None else int(counted),
        backlog_per_worker=known("backlog_per_worker", backlog),
        recommended_workers=None if asked is None else int(asked),
        unknown=unknown,
    )


def _service_rate(queue: str, before: Look | None, now: Look) -> float | str:
    if not now.workers:
        return NO_WORKER
    if (silent := _silent(now)) is not None:
        return silent
    if before is None:
        return ONE_LOOK
    if (silent := _silent(before)) is not None:
        return silent
    change = _change(queue, before, now)
    if isinstance(change, str):
        return change
    return change.left / _seconds(before, now)


def _growth_rate(before: Look | None, now: Look) -> float | str:
    if before is None:
        return ONE_LOOK
    was, is_now = _undone(before.stats), _undone(now.stats)
    return NO_COUNTS if was is None or is_now is None else (is_now - was) / _seconds(before, now)


def _workers(queue: str, now: Look, assumed: Assumed) -> int | str:
    if assumed.workers is not None:
        return assumed.workers
    if not now.workers:
        return NO_WORKERS
    return _silent(now) or sum(queue in worker.serves for worker in now.workers)


def _recommended(queue: str, before: Look | None, now: Look, assumed: Assumed, arrival: float | None) -> int | str:
    if assumed.target_age is None:
        return NO_TARGET
    waiting = _unfinished(now.stats)
    if isinstance(waiting, str):
        return waiting
    slots = assumed.slots or max(
        (worker.slots for worker in now.workers if worker.slots and queue in worker.serves), default=None
    )
    if slots is None:
        return NO_SLOTS
    seconds = _task_seconds(queue, before, now) if assumed.task_time is None else assumed.task_time.total_seconds()
    if seconds is None:
        return NO_TIME
    for_the_backlog = waiting * seconds / (slots * assumed.target_age.total_seconds())
    for_what_arrives = (arrival or 0.0) * seconds / slots
    least = 1 if waiting else 0
    return max(least, math.ceil(max(for_the_backlog, for_what_arrives) - _ROUNDING))


def _task_seconds(queue: str, before: Look | None, now: Look) -> float | None:
    """The mean run time, between the looks where a run ended then, else since the workers started."""
    if before is not None:
        change = _change(queue, before, now)
        if not isinstance(change, str) and change.runs:
            return change.run_seconds / change.runs
    counts = [worker.queues[queue] for worker in now.workers if queue in worker.queues]
    runs = sum(count.runs for count in counts)
    return sum(count.run_seconds for count in counts) / runs if runs else None


def _change(queue: str, before: Look, now: Look) -> QueueCounts | str:
    """What the workers have counted between the looks."""
    earlier = {worker.address: worker for worker in before.workers}
    change = QueueCounts()
    for worker in now.workers:
        counts = worker.queues.get(queue, QueueCounts())
        was = earlier[worker.address].queues.get(queue, QueueCounts())
        if counts.left < was.left or counts.runs < was.runs:
            return RESTARTED
        change.left += counts.left - was.left
        change.runs += counts.runs - was.runs
        change.run_seconds += counts.run_seconds - was.run_seconds
    return change


def _silent(look: Look) -> str | None:
    """Why one of the workers said nothing: what it did is missing in a sum."""
    said = (f"the worker at {worker.address}: {worker.unreachable}" for worker in look.workers if worker.unreachable)
    return next(said, None)


def _unfinished(stats: QueueStats) -> int | str:
    """What workers have before them or in hand; what is delayed isn't."""
    return NO_COUNTS if stats.ready is None else stats.ready + (stats.in_flight or 0)


def _undone(stats: QueueStats) -> int | None:
    """All that is in the queue."""
    return None if stats.ready is None else stats.ready + (stats.delayed or 0) + (stats.in_flight or 0)


def _seconds(before: Look, now: Look) -> float:
    return (now.at - before.at).total_seconds()
