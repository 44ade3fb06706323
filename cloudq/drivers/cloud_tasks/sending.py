"""From an `Outgoing` to a task: its name, its request with the body as it is, its time and its deadline."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from threading import Lock
from typing import Final

import msgspec
from google.cloud.tasks_v2 import HttpMethod, HttpRequest, OidcToken, Task
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from cloudq.core.clock import Clock
from cloudq.core.driver import Outgoing, SendResult
from cloudq.core.message import is_dead_letter_queue
from cloudq.drivers.cloud_tasks import headers
from cloudq.drivers.cloud_tasks.calls import STORED, Service
from cloudq.drivers.cloud_tasks.cancelling import receipt_of
from cloudq.drivers.cloud_tasks.limits import (
    CANCEL_NOTICE,
    LARGEST,
    MAX_DELAY,
    MAX_RETRY_FAILURE,
    ROOM,
    SKEW,
    deadline_for,
)
from cloudq.drivers.cloud_tasks.names import Names, task_id
from cloudq.errors import CloudqError, MessageTooLarge, TransientError, UnsupportedError

_MICROSECOND: Final = timedelta(microseconds=1)
_MOST_DOUBTFUL: Final = 10_000


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where tasks are pushed to, and with which token.

    Attributes:
        url: The worker's URL.
        service_account: The account that the token is for, or `None` for no token.
        audience: What the token is for; the URL unless something else is set.
    """

    url: str
    service_account: str | None
    audience: str


class Sending:
    """Stores messages.

    Args:
        service: The service.
        names: The queues' resource names.
        target: Where to push.
        clock: Where the time comes from.
    """

    def __init__(self, service: Service, names: Names, target: Target, clock: Clock) -> None:
        self._service = service
        self._names = names
        self._target = target
        self._clock = clock
        self._lock = Lock()
        # Guarded by the lock: the last time of a death that was given, and the ids of what may have been stored.
        self._last_death: datetime | None = None
        self._doubtful: dict[str, None] = {}

    def store(self, items: Sequence[Outgoing]) -> list[SendResult]:
        """Stores the items of one queue by one call. One result each, in order."""
        queue = items[0].queue
        try:
            parent = self._names.queue(queue)
        except UnsupportedError as error:
            return [SendResult(error=error)] * len(items)
        results = [STORED] * len(items)
        tasks: list[tuple[int, Task]] = []
        for index, item in enumerate(items):
            made = self.task(item, parent)
            if isinstance(made, Task):
                tasks.append((index, made))
            else:
                results[index] = SendResult(error=made)
        self._name_what_may_be_sent_again(parent, [(items[index], task) for index, task in tasks])
        stored = self._service.calls().create_all(parent, [task for _, task in tasks], queue)
        for (index, task), result in zip(tasks, stored, strict=True):
            results[index] = self._note(items[index], task, result)
        return results

    def task(self, item: Outgoing, parent: str) -> Task | CloudqError:
        """The item in the form in which it is stored, or why it can't be."""
        refused = _refusal(item)
        if refused is not None:
            return refused
        now = self._clock.now()
        dead = is_dead_letter_queue(item.queue)
        deadline = deadline_for(item.time_limit)
        beside = headers.stored(deadline)
        if item.failure is not None:
            beside[headers.FAILURE] = headers.failure_text(item.failure, ROOM if dead else MAX_RETRY_FAILURE)
        delay = item.delay
        if dead:
            beside[headers.DEAD_AT] = headers.dead_at_text(self._death(now))
            delay = MAX_DELAY  # should somebody resume the queue, nothing is run at once (semantics 5)
        size = len(item.body) + len(beside.get(headers.FAILURE, ""))
        if size > LARGEST:  # whatever a producer may send: what the service delivered it takes as a copy, too
            return MessageTooLarge(
                f"message {item.id!r} has {size:,} bytes; at most {LARGEST:,} are stored", size=size, limit=LARGEST
            )
        task = Task(
            http_request=HttpRequest(url=self._target.url, http_method=HttpMethod.POST, headers=beside, body=item.body),
            dispatch_deadline=_duration(deadline),
        )
        if self._target.service_account is not None:
            task.http_request.oidc_token = OidcToken(
                service_account_email=self._target.service_account, audience=self._target.audience
            )
        if item.native_id is not None:
            task.name = f"{parent}/tasks/{task_id(item.native_id)}"
        elif _scheduled(item):
            task.name = _name_of(item, parent)  # by which it is cancelled
        if delay > timedelta(0):
            task.schedule_time = _timestamp(now + min(delay, MAX_DELAY - SKEW))
        return task

    def _name_what_may_be_sent_again(self, parent: str, tasks: Sequence[tuple[Outgoing, Task]]) -> None:
        """Names what is to be stored once however often it is sent: each task of a batch, and what is in doubt.

        A batch's answer may be lost, and with it those of many tasks; and it names tasks, but not in their order. The
        API has a `request_id` for that, too, but it stands for the whole of a request, with what failed in it: some of
        its tasks sent again, or in another company, would be stored twice.

        A single task is stored without a name, as the service takes longer for one that has.
        """
        for item, task in tasks:
            if not task.name and (len(tasks) > 1 or item.id in self._doubtful):
                task.name = _name_of(item, parent)

    def _note(self, item: Outgoing, task: Task, result: SendResult) -> SendResult:
        """The result, with what cancels the task. Remembers what may have been stored."""
        with self._lock:
            if not isinstance(result.error, TransientError):
                self._doubtful.pop(item.id, None)
            elif item.native_id is None:
                self._doubtful[item.id] = None
                while len(self._doubtful) > _MOST_DOUBTFUL:
                    del self._doubtful[next(iter(self._doubtful))]
        return _with_receipt(item, task, result)

    def _death(self, now: datetime) -> datetime:
        """The time of a death, later than that of each before: dead letters of one moment keep their order."""
        with self._lock:
            if self._last_death is not None and self._last_death >= now:
                now = self._last_death + _MICROSECOND
            self._last_death = now
            return now


def _refusal(item: Outgoing) -> CloudqError | None:
    if item.ordering_key is not None:
        return UnsupportedError(f"queue {item.queue!r} keeps no order, so an ordering key is refused")
    if item.fairness_key is not None:
        return UnsupportedError(f"queue {item.queue!r} doesn't share its capacity by fairness_key")
    if item.delay > MAX_DELAY:
        return UnsupportedError(f"a delay of {item.delay} is longer than Cloud Tasks' {MAX_DELAY}")
    return None


def _scheduled(item: Outgoing) -> bool:
    """Whether it is to be cancellable, and can be."""
    return item.cancellable and item.delay > CANCEL_NOTICE and not is_dead_letter_queue(item.queue)


def _with_receipt(item: Outgoing, task: Task, result: SendResult) -> SendResult:
    """The result with what cancels the task."""
    if result.error is not None or (result.duplicate and item.native_id is not None):
        return result
    # Known by its own id: it was stored by a call whose answer was lost.
    return SendResult(duplicate=False, receipt=receipt_of(task.name, task.schedule_time) if _scheduled(item) else None)


def _name_of(item: Outgoing, parent: str) -> str:
    """The name of a task whose message has no native id."""
    return f"{parent}/tasks/{task_id(f'id {item.id}')}"


def _timestamp(moment: datetime) -> Timestamp:
    made = Timestamp()
    made.FromDatetime(moment)
    return made


def _duration(span: timedelta) -> Duration:
    made = Duration()
    made.FromTimedelta(span)
    return made
