"""`FakeCloudTasks`: a Cloud Tasks of one process that behaves like Google's client, and can be told to fail."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from google.api_core import exceptions as api
from google.cloud.tasks_v2 import BatchCreateTasksResponse, ListTasksResponse, Queue, Task
from google.cloud.tasks_v2.types import BatchCreateTasksMetadata, BatchDeleteTasksMetadata
from google.iam.v1 import iam_policy_pb2
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2
from google.rpc import status_pb2

from cloudq.drivers.cloud_tasks import CloudTasksDriver
from cloudq.testing.clock import FakeClock

LOCATION = "projects/my-project/locations/europe-west1"
URL = "https://worker.example/tasks"


def queue_name(queue: str) -> str:
    return f"{LOCATION}/queues/{queue}"


class FakeCloudTasks:
    """Tasks by queue, which it never pushes. Names that were taken stay so.

    Attributes:
        calls: The methods called, in order.
        fail: Asked before each call; what it returns is raised.
        fail_item: Asked for each task that is created; what it returns is that task's error.
        fail_deletion: Asked for the name of each task that is deleted; what it returns is that task's error.
        pending: How often an operation is asked for before it is done.
        answer: Given each answer by its method; what it returns is the answer.
        forgotten: How many of a batch's tasks its answer says nothing of.
        denied: The queues on which the caller has no permission.
    """

    def __init__(self, *queues: str) -> None:
        self.queues: dict[str, Queue] = {}
        self.tasks: dict[str, dict[str, Task]] = {}
        for queue in queues:
            self._made(Queue(name=queue_name(queue), state=Queue.State.RUNNING))
        self.calls: list[str] = []
        self.fail: Callable[[str], Exception | None] = lambda method: None
        self.fail_item: Callable[[Task], Exception | None] = lambda task: None
        self.fail_deletion: Callable[[str], Exception | None] = lambda name: None
        self.pending = 0
        self.forgotten = 0
        self.denied: set[str] = set()
        self.closed = False
        self.transport = SimpleNamespace(
            close=self._close, operations_client=SimpleNamespace(get_operation=self._get_operation)
        )
        self.answer: Callable[[str, Any], Any] = lambda method, answer: answer
        self._left = 0
        self._taken: set[str] = set()
        self._count = 0

    def driver(self, clock: FakeClock | None = None, **settings: object) -> CloudTasksDriver:
        """A driver on this service."""
        return CloudTasksDriver(
            "my-project",
            "europe-west1",
            clock=clock or FakeClock(),
            make_client=lambda: self,
            **{"target": URL, **settings},
        )

    def stored(self, queue: str) -> list[Task]:
        """What a queue holds, in the order in which it came."""
        return list(self.tasks[queue_name(queue)].values())

    def create_task(self, request, *, retry, timeout):
        self._called("create_task", retry, timeout)
        return self.answer("create_task", self._created(request))

    def batch_create_tasks(self, request, *, retry, timeout):
        self._called("batch_create_tasks", retry, timeout)
        self._tasks(request.parent)
        done, failed = [], {}
        for index, one in enumerate(request.requests):
            try:
                done.append(self._created(one))
            except api.GoogleAPICallError as error:
                failed[index] = error
        done = done[: len(done) - self.forgotten]
        return self._operation(
            BatchCreateTasksResponse(tasks=done) if done else None,
            BatchCreateTasksMetadata,
            failed,
            "batch_create_tasks",
        )

    def get_task(self, request, *, retry, timeout):
        self._called("get_task", retry, timeout)
        tasks = self._tasks(request.name.rpartition("/tasks/")[0])
        if request.name not in tasks:
            raise api.NotFound("Task does not exist.")
        return self.answer("get_task", self._viewed(tasks[request.name], request.response_view))

    def list_tasks(self, request, *, retry, timeout):
        self._called("list_tasks", retry, timeout)
        # In any order, says the service.
        tasks = sorted(self._tasks(request.parent).values(), key=lambda task: task.name)
        found = [self._viewed(task, request.response_view) for task in tasks]
        page = ListTasksResponse(tasks=found)
        return SimpleNamespace(pages=iter([self.answer("list_tasks", page)]))

    def delete_task(self, name, *, retry, timeout):
        self._called("delete_task", retry, timeout)
        self._deleted(name)

    def batch_delete_tasks(self, request, *, retry, timeout):
        self._called("batch_delete_tasks", retry, timeout)
        failed = {}
        for index, name in enumerate(request.names):
            try:
                self._deleted(name)
            except api.GoogleAPICallError as error:
                failed[index] = error
        done = empty_pb2.Empty() if len(failed) < len(request.names) else None
        return self._operation(done, BatchDeleteTasksMetadata, failed, "batch_delete_tasks")

    def purge_queue(self, name, *, retry, timeout):
        self._called("purge_queue", retry, timeout)
        self._tasks(name).clear()
        return self.answer("purge_queue", Queue(name=name))

    def get_queue(self, name, *, retry, timeout):
        self._called("get_queue", retry, timeout)
        self._tasks(name)
        return self.answer("get_queue", self.queues[name])

    def test_iam_permissions(self, request, *, retry, timeout):
        self._called("test_iam_permissions", retry, timeout)
        known = request["resource"] in self.queues and request["resource"] not in self.denied
        return iam_policy_pb2.TestIamPermissionsResponse(permissions=request["permissions"] if known else [])

    def create_queue(self, parent, queue, *, retry, timeout):
        self._called("create_queue", retry, timeout)
        assert queue.name.startswith(parent + "/queues/")
        if queue.name in self.queues:
            raise api.AlreadyExists("Queue already exists")
        queue.state = Queue.State.RUNNING
        return self.answer("create_queue", self._made(queue))

    def pause_queue(self, name, *, retry, timeout):
        self._called("pause_queue", retry, timeout)
        self._tasks(name)
        self.queues[name].state = Queue.State.PAUSED
        return self.answer("pause_queue", self.queues[name])

    def resume_queue(self, name, *, retry, timeout):
        self._called("resume_queue", retry, timeout)
        self._tasks(name)
        self.queues[name].state = Queue.State.RUNNING
        return self.answer("resume_queue", self.queues[name])

    def _called(self, method: str, retry: object, timeout: float) -> None:
        assert retry is None, "the SDK must not try again besides CloudQueue"
        assert 0 < timeout <= 30
        self.calls.append(method)
        error = self.fail(method)
        if error is not None:
            raise error

    def _made(self, queue: Queue) -> Queue:
        self.queues[queue.name] = queue
        self.tasks[queue.name] = {}
        return queue

    def _tasks(self, parent: str) -> dict[str, Task]:
        if parent not in self.tasks:
            raise api.NotFound("Queue does not exist.")
        return self.tasks[parent]

    def _created(self, request) -> Task:
        tasks = self._tasks(request.parent)
        error = self.fail_item(request.task)
        if error is not None:
            raise error
        task = Task(request.task)
        self._count += 1
        task.name = task.name or f"{request.parent}/tasks/{self._count * 7919}"
        assert re.fullmatch(re.escape(request.parent) + r"/tasks/[A-Za-z0-9_-]{1,500}", task.name)
        if task.name in self._taken:
            raise api.AlreadyExists("Requested entity already exists")
        self._taken.add(task.name)
        tasks[task.name] = task
        return task

    def _deleted(self, name: str) -> None:
        error = self.fail_deletion(name)
        if error is not None:
            raise error
        if self._tasks(name.rpartition("/tasks/")[0]).pop(name, None) is None:
            raise api.NotFound("Task does not exist.")

    def _viewed(self, task: Task, view: Task.View) -> Task:
        shown = Task(task)
        if view != Task.View.FULL:
            shown.http_request.body = b""
        return shown

    def _operation(self, response, metadata, failed, method) -> SimpleNamespace:
        statuses = {
            index: status_pb2.Status(code=error.grpc_status_code.value[0], message=str(error.message))
            for index, error in failed.items()
        }
        done = operations_pb2.Operation(name="operations/1", done=True)
        done.metadata.Pack(metadata.pb(metadata(failed_requests=statuses)))
        if response is None:
            done.error.code, done.error.message = 10, "None of the requests succeeded"
        else:
            done.response.Pack(response if isinstance(response, empty_pb2.Empty) else type(response).pb(response))
        self._done = self.answer(method, done)
        self._left = self.pending
        if self.pending:
            return SimpleNamespace(operation=operations_pb2.Operation(name="operations/1", done=False))
        return SimpleNamespace(operation=self._done)

    def _get_operation(self, name, *, retry, timeout) -> operations_pb2.Operation:
        assert name == "operations/1"
        self._called("get_operation", retry, timeout)
        self._left -= 1
        return self._done if self._left <= 0 else operations_pb2.Operation(name=name, done=False)

    def _close(self) -> None:
        self.closed = True
