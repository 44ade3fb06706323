"""Making queues, a convenience for development. In production they belong to the infrastructure's own code."""

from __future__ import annotations

from typing import Final

from google.cloud.tasks_v2 import Queue, RateLimits, RetryConfig
from google.protobuf.duration_pb2 import Duration

from cloudq.core.message import dead_letter_queue
from cloudq.drivers.cloud_tasks.calls import Calls
from cloudq.drivers.cloud_tasks.limits import LONGEST_BACKOFF
from cloudq.drivers.cloud_tasks.names import Names

# Without end: after the last attempt the service deletes a task. The retry policy decides (semantics 4).
UNLIMITED: Final = -1
# For what the service pushes again by itself: a worker that died or couldn't be reached.
_MIN_BACKOFF: Final = 1
# As many as one worker runs by default: what is above that, it refuses with 429, at which the queue slows down.
_CONCURRENT: Final = 10


def make(calls: Calls, names: Names, queue: str) -> bool:
    """Makes the queue and its paused dead-letter queue, if they aren't there. Returns whether the queue was made."""
    dead = dead_letter_queue(queue)
    if calls.create_queue(names.location, _settings(names.queue(dead)), dead):
        calls.pause_queue(names.queue(dead), dead)
    return calls.create_queue(names.location, _settings(names.queue(queue)), queue)


def _settings(name: str) -> Queue:
    return Queue(
        name=name,
        rate_limits=RateLimits(max_concurrent_dispatches=_CONCURRENT),
        retry_config=RetryConfig(
            max_attempts=UNLIMITED,
            min_backoff=Duration(seconds=_MIN_BACKOFF),
            max_backoff=Duration(seconds=int(LONGEST_BACKOFF.total_seconds())),
            max_doublings=16,
        ),
    )
