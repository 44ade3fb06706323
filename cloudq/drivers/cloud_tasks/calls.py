"""`Calls`: the methods of the service that the driver uses, within the time of one call and without the SDK's retries.

To gRPC an empty answer is a valid message, and so is one that a proxy cut in half. So each answer is checked: an item
that it doesn't name as stored, deleted or changed may or may not be, and is an error.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final, cast

from google.api_core import exceptions as api
from google.cloud.tasks_v2 import (
    BatchCreateTasksRequest,
    BatchDeleteTasksRequest,
    CloudTasksClient,
    CreateTaskRequest,
    GetTaskRequest,
    ListTasksRequest,
    Queue,
    Task,
)

from cloudq.core.call_reports import CallReports
from cloudq.core.capabilities import CALL_TIMEOUT
from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.core.driver import SendResult
from cloudq.drivers.cloud_tasks.faults import lacks_method, of_status, translate, unknown
from cloudq.drivers.cloud_tasks.operations import Ended, ended
from cloudq.drivers.cloud_tasks.told import Told

MOST_DELETED: Final = 1_000  # by one call of batch_delete_tasks
PAGE: Final = 1_000

STORED: Final = SendResult(duplicate=False)
DUPLICATE: Final = SendResult(duplicate=True)
# While an operation isn't over it is asked for again after this, and then after longer and longer.
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0


class Service:
    """The service, as one process calls it.

    Args:
        client: Returns the client; given the number of seconds that this may take.
        timeout: How long one call of the driver may take.

    Attributes:
        reports: Where each call is reported; `None`: nowhere.
    """

    def __init__(self, client: Callable[[float], CloudTasksClient], timeout: timedelta = CALL_TIMEOUT) -> None:
        self.client = client
        self.timeout = timeout
        self.has_batches = True
        self.reports: CallReports | None = None

    def calls(self, *, most: timedelta | None = None, times: int = 1) -> Calls:
        """For one call of a driver's method: all that is called by them ends within its time.

        Args:
            most: A shorter time.
            times: For what takes many calls: that many times as long, though each only as long as usual.
        """
        return Calls(self, self.timeout if most is None else min(most, self.timeout), times)


class Calls:
    """Calls of the service. Errors come as those of cloudq. Made by `Service.calls`.

    Args:
        service: The service.
        each: How long one may take.
        times: How many times as long all of them together may take.
    """

    def __init__(self, service: Service, each: timedelta, times: int) -> None:
        self._service = service
        self._each = each
        self._until = SYSTEM_CLOCK.elapsed() + times * each

    # ── tasks ────────────────────────────────────────────────────────────────────────────────────────────

    def create(self, parent: str, task: Task, queue: str) -> SendResult:
        """Stores one task. Never raises."""
        try:
            request = CreateTaskRequest(parent=parent, task=task)
            made = self._client(queue).create_task(request=request, retry=None, timeout=self._left())
        except Exception as error:  # noqa: BLE001 - reported, whatever the SDK raised
            return _result_of(error, queue)
        # One without a name is given one.
        named = _id(made)
        return STORED if named and named == (_id(task) or named) else SendResult(error=unknown(queue))

    def create_all(self, parent: str, tasks: Sequence[Task], queue: str) -> list[SendResult]:
        """Stores several, which have names, by one operation, or, where the service has none, one by one.

        One result each, in order. Never raises.
        """
        if self._service.has_batches and len(tasks) > 1:
            try:
                return self._create_by_batch(parent, tasks, queue)
            except Exception as error:  # noqa: BLE001 - whatever the SDK raised, each item of the call has it
                if not lacks_method(error):
                    return [_result_of(error, queue)] * len(tasks)
                self._service.has_batches = False
        return [self.create(parent, task, queue) for task in tasks]

    def get(self, name: str, queue: str) -> Task | None:
        """A task with its body, or `None` if it isn't there (any more)."""
        with _translating(queue):
            request = GetTaskRequest(name=name, response_view=Task.View.FULL)
            try:
                found = self._client(queue).get_task(request=request, retry=None, timeout=self._left())
            except (api.NotFound, api.InvalidArgument):
                return None
            if _id(found) != _last_part(name):
                raise unknown(queue, "which task that is")
            return found

    def list_tasks(self, parent: str, queue: str, *, bodies: bool = False, page: int = PAGE) -> Iterator[Task]:
        """Lists the tasks of a queue, in the order in which the service gives them; with `bodies`, whole."""
        view = Task.View.FULL if bodies else Task.View.BASIC
        request = ListTasksRequest(parent=parent, response_view=view, page_size=page)
        while True:
            with _translating(queue):
                pages = self._client(queue).list_tasks(request=request, retry=None, timeout=self._left()).pages
                found = next(iter(pages))
                if not all(_id(task) for task in found.tasks):
                    raise unknown(queue, "which tasks there are")
            yield from found.tasks
            if not found.next_page_token:
                return
            request.page_token = found.next_page_token

    def delete(self, name: str, queue: str) -> bool:
        """Deletes a task. `False`: it wasn't there."""
        with _translating(queue):
            try:
                self._client(queue).delete_task(name=name, retry=None, timeout=self._left())
            except api.NotFound:
                return False
        return True

    def delete_all(self, parent: str, names: Sequence[str], queue: str) -> int:
        """Deletes tasks; how many were there. Ends at the first batch with an error, which it raises."""
        count = 0
        for there in self.delete_each(parent, names, queue):
            if isinstance(there, Exception):
                raise there
            count += there
        return count

    def delete_each(self, parent: str, names: Sequence[str], queue: str) -> Iterator[bool | Exception]:
        """Deletes tasks, a thousand by an operation, or, where the service has none, one by one.

        Of each, in order, whether it was there, or the error. Never raises.
        """
        for start in range(0, len(names), MOST_DELETED):
            some = names[start : start + MOST_DELETED]
            answers = None
            if self._service.has_batches and len(some) > 1:
                try:
                    answers = self._delete_by_batch(parent, some, queue)
                except Exception as error:  # noqa: BLE001 - whatever the SDK raised, each item of the call has it
                    if lacks_method(error):
                        self._service.has_batches = False
                    else:
                        answers = [translate(error, queue)] * len(some)
            yield from (self._delete(name, queue) for name in some) if answers is None else answers

    def _delete(self, name: str, queue: str) -> bool | Exception:
        try:
            return self.delete(name, queue)
        except Exception as error:  # noqa: BLE001 - reported
            return error

    # ── queues: control calls, made only where somebody asks for them ────────────────────────────────────

    def purge(self, parent: str, queue: str) -> None:
        """Deletes all tasks of a queue."""
        with _translating(queue):
            purged = self._client(queue).purge_queue(name=parent, retry=None, timeout=self._left())
            _check_named(purged, queue, "whether the queue is purged")

    def get_queue(self, parent: str, queue: str) -> Queue | None:
        """The queue's settings and state, or `None` if there is none."""
        with _translating(queue):
            try:
                found = self._client(queue).get_queue(name=parent, retry=None, timeout=self._left())
            except api.NotFound:
                return None
            _check_named(found, queue, "how the queue is set up")
            return found

    def permissions(self, parent: str, asked: Sequence[str], queue: str) -> list[str]:
        """Those of the asked permissions that this account has on a queue; none, too, where there is no such queue."""
        with _translating(queue):
            answer = self._client(queue).test_iam_permissions(
                request={"resource": parent, "permissions": list(asked)}, retry=None, timeout=self._left()
            )
            return list(answer.permissions)

    def create_queue(self, location: str, made: Queue, queue: str) -> bool:
        """Makes a queue. `False`: it was there, and is as it was."""
        with _translating(queue):
            try:
                created = self._client(queue).create_queue(
                    parent=location, queue=made, retry=None, timeout=self._left()
                )
            except api.AlreadyExists:
                return False
            _check_named(created, queue, "whether the queue was made")
        return True

    def pause_queue(self, parent: str, queue: str) -> None:
        """Makes a queue push nothing."""
        with _translating(queue):
            paused = self._client(queue).pause_queue(name=parent, retry=None, timeout=self._left())
            if getattr(paused, "state", None) != Queue.State.PAUSED:
                raise unknown(queue, "whether the queue is paused")

    def resume_queue(self, parent: str, queue: str) -> None:
        """Makes a queue push again."""
        with _translating(queue):
            resumed = self._client(queue).resume_queue(name=parent, retry=None, timeout=self._left())
            if getattr(resumed, "state", None) != Queue.State.RUNNING:
                raise unknown(queue, "whether the queue is resumed")

    # ── operations ───────────────────────────────────────────────────────────────────────────────────────

    def _create_by_batch(self, parent: str, tasks: Sequence[Task], queue: str) -> list[SendResult]:
        request = BatchCreateTasksRequest(
            parent=parent, requests=[CreateTaskRequest(parent=parent, task=task) for task in tasks]
        )
        done = self._wait_for_end(
            self._client(queue).batch_create_tasks(request=request, retry=None, timeout=self._left()), queue
        )
        named = set(map(_last_part, done.created))
        doubt = SendResult(error=unknown(queue) if done.error is None else translate(done.error, queue))
        results = []
        for index, task in enumerate(tasks):
            status = done.failed.get(index)
            if status is not None:
                results.append(_result_of(of_status(status.code, status.message), queue))
            else:
                # An item named neither as stored nor as failed may be either. It doesn't count as stored.
                results.append(STORED if _id(task) in named else doubt)
        return results

    def _delete_by_batch(self, parent: str, names: Sequence[str], queue: str) -> list[bool | Exception]:
        request = BatchDeleteTasksRequest(parent=parent, names=names)
        done = self._wait_for_end(
            self._client(queue).batch_delete_tasks(request=request, retry=None, timeout=self._left()), queue
        )
        # An error of the whole may come also where each item has its own.
        rest: bool | Exception = True if done.error is None else translate(done.error, queue)
        return [_was_there(done.failed[at], queue) if at in done.failed else rest for at in range(len(names))]

    def _wait_for_end(self, begun: Any, queue: str) -> Ended:
        """Waits for an operation that a call has begun."""
        operation = getattr(begun, "operation", None)
        pause = _FIRST_PAUSE
        while operation is not None and not operation.done:
            if not operation.name:
                operation = None
                break
            time.sleep(min(pause, self._left()))
            pause = min(_LONGEST_PAUSE, 1.5 * pause)
            operations = self._client(queue).transport.operations_client
            operation = operations.get_operation(operation.name, retry=None, timeout=self._left())
        done = None if operation is None else ended(operation)
        if done is None:
            raise unknown(queue)
        return done

    # ── time ─────────────────────────────────────────────────────────────────────────────────────────────

    def _client(self, queue: str) -> CloudTasksClient:
        client = self._service.client(self._left())
        return (
            client
            if self._service.reports is None
            else cast("CloudTasksClient", Told(client, self._service.reports, queue))
        )

    def _left(self) -> float:
        """How many seconds the next call may take.

        Raises:
            DeadlineExceeded: None.
        """
        left = (self._until - SYSTEM_CLOCK.elapsed()).total_seconds()
        if left <= 0:
            raise api.DeadlineExceeded("it took too long")
        return min(left, self._each.total_seconds())


def _id(named: object) -> str:
    """The last part of a task's name, or nothing where it has none."""
    return _last_part(getattr(named, "name", None) or "")


def _last_part(name: str) -> str:
    # The project before it may be named in one way in what we send, and in another in the answer.
    return name.rpartition("/tasks/")[2]


def _check_named(queue: object, name: str, what: str) -> None:
    if not getattr(queue, "name", None):
        raise unknown(name, what)


def _was_there(status: Any, queue: str) -> bool | Exception:
    """What the status of a deletion that failed says."""
    error = of_status(status.code, status.message)
    return False if isinstance(error, api.NotFound) else translate(error, queue)


def _result_of(error: Exception, queue: str) -> SendResult:
    if isinstance(error, api.AlreadyExists):
        return DUPLICATE
    return SendResult(error=translate(error, queue))


@contextmanager
def _translating(queue: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        meant = translate(error, queue)
        if meant is error:
            raise
        raise meant from error
