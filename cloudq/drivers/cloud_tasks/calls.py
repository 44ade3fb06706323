"""`Calls`: the methods of the service that the driver uses, each with a bound on its time and no retry of the SDK's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from google.api_core import exceptions as api
from google.api_core.future.polling import DEFAULT_POLLING
from google.api_core.operation import Operation
from google.api_core.retry import Retry
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

from cloudq.core.driver import SendResult
from cloudq.drivers.cloud_tasks.faults import of_status, translate, unknown

# In seconds. A caller waits meanwhile, and CloudQueue tries again: these are what one call may take.
TIMEOUT: Final = 10.0
BATCH_TIMEOUT: Final = 20.0
# For an operation that isn't over when its call returns.
PATIENCE: Final = 30.0
MOST_DELETED: Final = 1_000  # by one call of batch_delete_tasks
PAGE: Final = 1_000

STORED: Final = SendResult(duplicate=False)
DUPLICATE: Final = SendResult(duplicate=True)
# CloudQueue, the worker and the edges try again, and two of them would multiply.
_ONCE: Final = Retry(predicate=lambda _: False)
_POLLING: Final = DEFAULT_POLLING.with_delay(initial=0.05, multiplier=1.5, maximum=1.0).with_timeout(PATIENCE)


class Calls:
    """Calls of the service. Errors come as those of cloudq.

    Args:
        client: Gives the client to call.
    """

    def __init__(self, client: Callable[[], CloudTasksClient]) -> None:
        self._client = client
        self._has_batches = True

    # ── tasks ────────────────────────────────────────────────────────────────────────────────────────────

    def create(self, parent: str, task: Task, queue: str) -> SendResult:
        """Stores one task. Never raises."""
        try:
            self._client().create_task(request=CreateTaskRequest(parent=parent, task=task), retry=None, timeout=TIMEOUT)
        except Exception as error:  # noqa: BLE001 - reported, whatever the SDK raised
            return _refused(error, queue)
        return STORED

    def create_all(self, parent: str, tasks: Sequence[Task], queue: str) -> list[SendResult]:
        """Stores several by one operation, or, where the service has none, one by one. One result each, in order."""
        if self._has_batches and len(tasks) > 1:
            try:
                return self._created_by_batch(parent, tasks, queue)
            except api.MethodNotImplemented:
                self._has_batches = False
            except Exception as error:  # noqa: BLE001 - whatever the SDK raised, each item of the call has it
                return [_refused(error, queue)] * len(tasks)
        return [self.create(parent, task, queue) for task in tasks]

    def get(self, name: str, queue: str) -> Task | None:
        """A task with its body, or `None` if it isn't there (any more)."""
        with _translating(queue):
            try:
                return self._client().get_task(
                    request=GetTaskRequest(name=name, response_view=Task.View.FULL), retry=None, timeout=TIMEOUT
                )
            except (api.NotFound, api.InvalidArgument):
                return None

    def listed(self, parent: str, queue: str, *, bodies: bool = False, page: int = PAGE) -> Iterator[Task]:
        """The tasks of a queue, in the order in which the service gives them; with `bodies`, whole."""
        view = Task.View.FULL if bodies else Task.View.BASIC
        request = ListTasksRequest(parent=parent, response_view=view, page_size=page)
        with _translating(queue):
            yield from self._client().list_tasks(request=request, retry=None, timeout=BATCH_TIMEOUT)

    def delete(self, name: str, queue: str) -> bool:
        """Deletes a task. `False`: it wasn't there."""
        with _translating(queue):
            try:
                self._client().delete_task(name=name, retry=None, timeout=TIMEOUT)
            except api.NotFound:
                return False
        return True

    def delete_all(self, parent: str, names: Sequence[str], queue: str) -> int:
        """Deletes tasks; how many were there."""
        count = 0
        for start in range(0, len(names), MOST_DELETED):
            some = names[start : start + MOST_DELETED]
            if self._has_batches and len(some) > 1:
                try:
                    with _translating(queue, but=api.MethodNotImplemented):
                        count += self._deleted_by_batch(parent, some, queue)
                    continue
                except api.MethodNotImplemented:
                    self._has_batches = False
            count += sum(self.delete(name, queue) for name in some)
        return count

    # ── queues: control calls, made only where somebody asks for them ────────────────────────────────────

    def purge(self, parent: str, queue: str) -> None:
        """Deletes all tasks of a queue."""
        with _translating(queue):
            self._client().purge_queue(name=parent, retry=None, timeout=TIMEOUT)

    def get_queue(self, parent: str, queue: str) -> Queue | None:
        """The queue's settings and state, or `None` if there is none."""
        with _translating(queue):
            try:
                return self._client().get_queue(name=parent, retry=None, timeout=TIMEOUT)
            except api.NotFound:
                return None

    def create_queue(self, location: str, made: Queue, queue: str) -> bool:
        """Makes a queue. `False`: it was there, and is as it was."""
        with _translating(queue):
            try:
                self._client().create_queue(parent=location, queue=made, retry=None, timeout=TIMEOUT)
            except api.AlreadyExists:
                return False
        return True

    def pause_queue(self, parent: str, queue: str) -> None:
        """Makes a queue push nothing."""
        with _translating(queue):
            self._client().pause_queue(name=parent, retry=None, timeout=TIMEOUT)

    # ── operations ───────────────────────────────────────────────────────────────────────────────────────

    def _created_by_batch(self, parent: str, tasks: Sequence[Task], queue: str) -> list[SendResult]:
        request = BatchCreateTasksRequest(
            parent=parent, requests=[CreateTaskRequest(parent=parent, task=task) for task in tasks]
        )
        operation = self._client().batch_create_tasks(request=request, retry=None, timeout=BATCH_TIMEOUT)
        response, failed, error = _ended(operation)
        results = [STORED] * len(tasks)
        for index, status in failed.items():
            results[index] = _refused(of_status(status.code, status.message), queue)
        if len(failed) < len(tasks) and (error is not None or len(response.tasks) + len(failed) < len(tasks)):
            # What is neither reported as stored nor as failed may be either. It isn't stored until that is said.
            doubt = SendResult(error=unknown(queue) if error is None else translate(error, queue))
            named = {task.name for task in response.tasks} if response is not None else set()
            for index, task in enumerate(tasks):
                if index not in failed and not (task.name and task.name in named):
                    results[index] = doubt
        return results

    def _deleted_by_batch(self, parent: str, names: Sequence[str], queue: str) -> int:
        request = BatchDeleteTasksRequest(parent=parent, names=names)
        operation = self._client().batch_delete_tasks(request=request, retry=None, timeout=BATCH_TIMEOUT)
        _, failed, error = _ended(operation)
        if error is not None and len(failed) < len(names):
            raise error
        errors = [of_status(status.code, status.message) for status in failed.values()]
        for one in errors:
            if not isinstance(one, api.NotFound):
                raise translate(one, queue)
        return len(names) - len(failed)


def _ended(operation: Operation) -> tuple[Any, Mapping[int, Any], Exception | None]:
    """Waits for an operation. Its response, the status of each item that failed, and the error of the whole.

    An error of the whole comes also where each single item failed.
    """
    response, failure = None, None
    try:
        response = operation.result(timeout=PATIENCE, retry=_ONCE, polling=_POLLING)
    except api.GoogleAPICallError as error:
        if not operation.operation.done:
            raise
        failure = error
    metadata = operation.metadata
    return response, {} if metadata is None else metadata.failed_requests, failure


def _refused(error: Exception, queue: str) -> SendResult:
    if isinstance(error, api.AlreadyExists):
        return DUPLICATE
    return SendResult(error=translate(error, queue))


@contextmanager
def _translating(queue: str, *, but: type[Exception] | tuple[type[Exception], ...] = ()) -> Iterator[None]:
    try:
        yield
    except but:
        raise
    except Exception as error:
        meant = translate(error, queue)
        if meant is error:
            raise
        raise meant from error
