"""Making queues, a convenience for development, and checking those that your infrastructure's code made."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from google.cloud.tasks_v2 import Queue, RateLimits, RetryConfig
from google.protobuf.duration_pb2 import Duration

from cloudq.core.message import dead_letter_queue
from cloudq.drivers.cloud_tasks.calls import Calls
from cloudq.drivers.cloud_tasks.names import Names

# Without end: after the last attempt the service deletes a task. The retry policy decides (semantics 4).
UNLIMITED: Final = -1
# For what the service pushes again by itself: a worker that died or couldn't be reached.
_MIN_BACKOFF: Final = 1
_MAX_BACKOFF: Final = 300
# As many as one worker runs by default: what is above that, it refuses with 429, at which the queue slows down.
_CONCURRENT: Final = 10
# What the service sets by itself ("Queue", Cloud Tasks RPC reference, 2026-11). 0 is unset.
_ITS_OWN_CONCURRENT: Final = (0, 1000)
# With a shorter one, a target that is down for minutes uses up the deliveries after which a message is given up.
_SHORTEST_BACKOFF: Final = timedelta(minutes=1)


def make(calls: Calls, names: Names, queue: str) -> bool:
    """Makes the queue and its paused dead-letter queue, if they aren't there. Returns whether the queue was made."""
    dead = dead_letter_queue(queue)
    if calls.create_queue(names.location, _settings(names.queue(dead)), dead):
        calls.pause_queue(names.queue(dead), dead)
    return calls.create_queue(names.location, _settings(names.queue(queue)), queue)


def check(calls: Calls, names: Names, queue: str) -> Iterator[str]:
    """What is wrong with the queue, or with its dead-letter queue, in words."""
    found = calls.get_queue(names.queue(queue), queue)
    if found is None:
        yield f"there is no queue {queue!r}: cloudq queues create {queue}"
    else:
        yield from _of_queue(found, queue)
    dead = dead_letter_queue(queue)
    letters = calls.get_queue(names.queue(dead), dead)
    if letters is None:
        yield f"there is no dead-letter queue {dead!r}: cloudq queues create {queue}"
    elif letters.state != Queue.State.PAUSED:
        yield f"the dead-letter queue {dead!r} isn't paused: once its dead letters are due, it would push them"


def _of_queue(found: Queue, queue: str) -> Iterator[str]:
    if found.state != Queue.State.RUNNING:
        yield f"queue {queue!r} is {Queue.State(found.state).name.lower()}: it pushes nothing"
    retry = found.retry_config
    if retry.max_attempts != UNLIMITED:
        yield (
            f"queue {queue!r} has max_attempts={retry.max_attempts}: after that many pushes it deletes a message; "
            f"set it to {UNLIMITED}"
        )
    if retry.max_retry_duration > timedelta(0):
        yield f"queue {queue!r} has max_retry_duration={retry.max_retry_duration}: set it to 0, which is without end"
    # Unset is the service's own default, an hour ("Queue", Cloud Tasks RPC reference, 2026-11).
    if timedelta(0) < retry.max_backoff < _SHORTEST_BACKOFF:
        yield (
            f"queue {queue!r} has max_backoff={retry.max_backoff}: while the worker can't be reached, messages use up "
            f"their deliveries fast and are dead-lettered without a run; set it to {_MAX_BACKOFF} s"
        )
    concurrent = found.rate_limits.max_concurrent_dispatches
    if concurrent in _ITS_OWN_CONCURRENT:
        yield (
            f"queue {queue!r} has max_concurrent_dispatches={concurrent}, the service's own default: workers refuse "
            "what they can't run, and the queue slows down; set it to what all of them run (--concurrency of each)"
        )


def _settings(name: str) -> Queue:
    return Queue(
        name=name,
        rate_limits=RateLimits(max_concurrent_dispatches=_CONCURRENT),
        retry_config=RetryConfig(
            max_attempts=UNLIMITED,
            min_backoff=Duration(seconds=_MIN_BACKOFF),
            max_backoff=Duration(seconds=_MAX_BACKOFF),
            max_doublings=16,
        ),
    )
