"""Reading how a queue is set up, and what this process may do with it: calls that change nothing.

By `Queue` of the Cloud Tasks RPC reference (2026-11).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from google.cloud.tasks_v2 import HttpTarget, Queue, UriOverride

from cloudq.core.message import dead_letter_queue
from cloudq.core.queue_settings import QueueSettings
from cloudq.drivers.cloud_tasks.calls import Calls
from cloudq.drivers.cloud_tasks.limits import RETENTION
from cloudq.drivers.cloud_tasks.names import Names

_UNLIMITED: Final = -1
_CREATE: Final = "cloudtasks.tasks.create"


def settings(calls: Calls, names: Names, queue: str) -> QueueSettings | None:
    """How the queue is set up, or `None` if there is none. A call."""
    resource = names.queue(queue)
    found = calls.get_queue(resource, queue)
    if found is None:
        return None
    retry, state = found.retry_config, Queue.State(found.state)
    return QueueSettings(
        name=resource.rpartition("/")[2],
        stopped=None if state == Queue.State.RUNNING else state.name.lower(),
        max_deliveries=None if retry.max_attempts == _UNLIMITED else retry.max_attempts,
        gives_up_after=_span(retry.max_retry_duration),
        retention=RETENTION,
        # Unset is the service's own default, an hour.
        max_backoff=_span(retry.max_backoff) or None,
        max_concurrent=found.rate_limits.max_concurrent_dispatches,
        pushes_to=_overridden(found.http_target),
    )


def missing_permissions(calls: Calls, names: Names, queue: str, *, works: bool) -> Iterator[str]:
    """The permissions that the service says this account lacks, with the queue's name: its own dry run.

    A worker sends copies to its queue and to the dead-letter queue; to be pushed to takes no permission.
    """
    for name in (queue, dead_letter_queue(queue)) if works else (queue,):
        resource = names.queue(name)
        if calls.get_queue(resource, name) is None:
            continue  # of what isn't there the service says "no permission"
        if _CREATE not in calls.permissions(resource, [_CREATE], name):
            yield f"{_CREATE} on {resource.rpartition('/')[2]}"


def _overridden(target: HttpTarget) -> str | None:
    """The host that the queue itself has all tasks pushed to."""
    override = target.uri_override
    always = override.uri_override_enforce_mode != UriOverride.UriOverrideEnforceMode.IF_NOT_EXISTS
    return (override.host or None) if always else None


def _span(duration: timedelta | None) -> timedelta:
    return duration or timedelta(0)
