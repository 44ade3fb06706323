"""What the tasks' declarations ask of their queues, and the modules' `queues` map that says so to Terraform."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Final, Protocol

import msgspec

from cloudq.core.message import FIFO_SUFFIX, is_ordered
from cloudq.core.policy import RetryPolicy
from cloudq.drivers.cloud_tasks.limits import MAX_DEADLINE, MAX_QUEUE_NAME, SETTLE_MARGIN, deadline_for
from cloudq.drivers.service_bus.limits import MAX_LOCK, MIN_LOCK
from cloudq.worker.settings import WorkerSettings, queue_leases

# The modules' own defaults, which are what `cloudq queues create` sets: more is written only where a policy needs it.
SQS_RECEIVES: Final = 21
SQS_RECEIVES_FIFO: Final = 100
SERVICE_BUS_DELIVERIES: Final = 100

MAX_SQS_RECEIVES: Final = 1000
MAX_SERVICE_BUS_DELIVERIES: Final = 2000
MAX_VISIBILITY: Final = timedelta(hours=12)
# 2026-11: 1,800 s for functions that events start; SDKs and Terraform providers of before still say 900.
MAX_LAMBDA_TIMEOUT: Final = timedelta(seconds=1800)
# Lambda's advice: a throttled batch is tried again meanwhile.
VISIBILITY_PER_TIMEOUT: Final = 6
# Tasks are stopped this long before the function's end (docs/how-to/aws-lambda.md).
LAMBDA_MARGIN: Final = timedelta(seconds=3)

_SQS_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,76}(\.fifo)?")
_CLOUD_TASKS_NAME: Final = re.compile(rf"[A-Za-z0-9-]{{1,{MAX_QUEUE_NAME - len('-dlq')}}}")
_SERVICE_BUS_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,258}[A-Za-z0-9])?")


class Cloud(StrEnum):
    """Whose queues."""

    AWS = "aws"
    GOOGLE = "google"
    AZURE = "azure"


CLOUDS: Final[Mapping[str, Cloud]] = {"sqs": Cloud.AWS, "cloudtasks": Cloud.GOOGLE, "servicebus": Cloud.AZURE}
"""By the scheme of a backend's URL."""


class Declared(Protocol):
    """A task, as far as its queue goes."""

    @property
    def name(self) -> str: ...  # noqa: D102 - a task's own, like the others
    @property
    def queues(self) -> Sequence[str]: ...  # noqa: D102 - see name
    @property
    def lease(self) -> timedelta | None: ...  # noqa: D102 - see name
    @property
    def time_limit(self) -> timedelta | None: ...  # noqa: D102 - see name
    @property
    def retry_policy(self) -> RetryPolicy: ...  # noqa: D102 - see name
    @property
    def keys(self) -> Mapping[str, object]: ...  # noqa: D102 - see name


class Needs(msgspec.Struct, frozen=True, kw_only=True):
    """What the tasks of one queue ask of it.

    Attributes:
        queue: Its name.
        lease: The longest lease of its tasks; a task that says nothing has the worker's, two minutes.
        deliveries: How often a message may be handed over, by the most patient of the policies.
        limits: Each task's time limit by its name, `None` where it has none.
        keyed: The tasks that declare an ordering key.
    """

    queue: str
    lease: timedelta
    deliveries: int
    limits: Mapping[str, timedelta | None]
    keyed: tuple[str, ...] = ()

    @property
    def unlimited(self) -> list[str]:
        """The tasks without a time limit."""
        return [task for task, limit in self.limits.items() if limit is None]

    @property
    def longest(self) -> timedelta | None:
        """The longest time limit, if all tasks have one."""
        limits = [limit for limit in self.limits.values() if limit is not None]
        return max(limits) if len(limits) == len(self.limits) and limits else None


def needs_of(tasks: Iterable[Declared]) -> list[Needs]:
    """The needs of each queue that the tasks declare, by name."""
    by_queue: dict[str, list[Declared]] = {}
    for task in tasks:
        for queue in task.queues:
            by_queue.setdefault(queue, []).append(task)
    leases = queue_leases(WorkerSettings(), by_queue, (task for them in by_queue.values() for task in them))
    return [
        Needs(
            queue=queue,
            lease=leases[queue],
            deliveries=max(task.retry_policy.max_deliveries for task in them),
            limits={task.name: task.time_limit for task in them},
            keyed=tuple(task.name for task in them if "ordering_key" in task.keys),
        )
        for queue, them in sorted(by_queue.items())
    ]


def unfit(cloud: Cloud, needs: Needs, *, function: str | None = None) -> Iterator[str]:
    """Why a service can't have the queue, in words; nothing if it can.

    Args:
        cloud: Which service.
        needs: The queue's needs.
        function: The Lambda function that is to run the tasks, if any.
    """
    queue = needs.queue
    if not NAMES[cloud].fullmatch(queue) or (cloud is Cloud.AWS and len(queue) > 76):
        yield f"{queue!r} can't be the name of a queue there"
    if needs.keyed and not is_ordered(queue):
        yield f"queue {queue!r} doesn't end in {FIFO_SUFFIX}, and task {needs.keyed[0]!r} has an ordering_key"
    if cloud is Cloud.GOOGLE:
        yield from _unfit_for_cloud_tasks(needs)
    elif cloud is Cloud.AZURE:
        if needs.deliveries >= MAX_SERVICE_BUS_DELIVERIES:
            yield f"queue {queue!r}: {needs.deliveries} deliveries are more than the service's limit allows"
    else:
        if needs.deliveries >= MAX_SQS_RECEIVES:
            yield f"queue {queue!r}: {needs.deliveries} deliveries are more than the service's limit allows"
        if needs.lease > MAX_VISIBILITY:
            yield f"queue {queue!r}: a lease of {needs.lease} is longer than the 12 hours that SQS has"
        for task, limit in needs.limits.items():
            if limit is not None and limit > MAX_VISIBILITY:
                yield f"task {task!r} may take {limit}, and SQS leases a message for {MAX_VISIBILITY} in all"
        if function is not None:
            yield from _unfit_for_lambda(needs)


def _unfit_for_cloud_tasks(needs: Needs) -> Iterator[str]:
    if is_ordered(needs.queue):
        yield f"queue {needs.queue!r} keeps an order, which Cloud Tasks doesn't"
    for task, limit in needs.limits.items():
        if limit is not None and limit + SETTLE_MARGIN > MAX_DEADLINE:
            yield f"task {task!r} may take {limit}, and Cloud Tasks waits for {MAX_DEADLINE - SETTLE_MARGIN} at most"


def _unfit_for_lambda(needs: Needs) -> Iterator[str]:
    if needs.unlimited:
        yield f"task {needs.unlimited[0]!r} has no time_limit, so how long its function may take isn't known"
    elif needs.longest is not None and function_timeout(needs.longest) > seconds(MAX_LAMBDA_TIMEOUT):
        yield f"{needs.queue!r}: a time_limit of {needs.longest} is more than a function has, {MAX_LAMBDA_TIMEOUT}"


NAMES: Final = {Cloud.AWS: _SQS_NAME, Cloud.GOOGLE: _CLOUD_TASKS_NAME, Cloud.AZURE: _SERVICE_BUS_NAME}


def entry(
    cloud: Cloud, needs: Needs, *, function: str | None = None, concurrency: int | None = None
) -> dict[str, object]:
    """The queue's entry in the `queues` map of that cloud's module.

    Args:
        cloud: Which.
        needs: The queue's needs, which fit.
        function: The Lambda function that is to run the tasks, if any.
        concurrency: How many tasks all workers run at once, for Cloud Tasks: no declaration says it.
    """
    if cloud is Cloud.GOOGLE:
        return {} if concurrency is None else {"max_concurrent_dispatches": concurrency}
    if cloud is Cloud.AZURE:
        return {
            "lock_seconds": lock_seconds(needs),
            "max_delivery_count": max(needs.deliveries + 1, SERVICE_BUS_DELIVERIES),
        }
    made: dict[str, object] = {
        "visibility_timeout_seconds": seconds(needs.lease),
        "max_receive_count": least_receives(needs.queue, needs),
    }
    if function is not None and needs.longest is not None:
        timeout = function_timeout(needs.longest)
        made["visibility_timeout_seconds"] = max(seconds(needs.lease), VISIBILITY_PER_TIMEOUT * timeout)
        made["lambda"] = {"function_name": function, "function_timeout_seconds": timeout}
    return made


def least_receives(queue: str, needs: Needs | None) -> int:
    """How often SQS may hand a message over before it moves it: the policy, or the default one, decides before."""
    least = SQS_RECEIVES_FIFO if is_ordered(queue) else SQS_RECEIVES
    return least if needs is None else max(needs.deliveries + 1, least)


def lock_seconds(needs: Needs) -> int:
    """A lock of Service Bus as long as the lease, as far as there are any."""
    return min(max(seconds(needs.lease), seconds(MIN_LOCK)), seconds(MAX_LOCK))


def function_timeout(limit: timedelta) -> int:
    """How long a Lambda function may take whose longest task takes `limit`, in seconds."""
    return seconds(limit + LAMBDA_MARGIN)


def request_timeout(needs: Iterable[Needs]) -> int:
    """How long a request to the push worker may take, in seconds: a queue of Cloud Tasks doesn't say it."""
    limits = [limit for one in needs for limit in one.limits.values()]
    return seconds(max(map(deadline_for, limits), default=deadline_for(None)))


def seconds(span: timedelta) -> int:
    """Whole seconds, rounded up."""
    return math.ceil(span.total_seconds())
