"""The gRPC face: the service's methods over the client package's own messages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import grpc
import grpc.aio
from google.cloud import tasks_v2
from google.iam.v1 import iam_policy_pb2
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2
from google.protobuf.message import DecodeError
from google.rpc import code_pb2, error_details_pb2, status_pb2

from cloudq.emulators.cloud_tasks.access import Policies
from cloudq.emulators.cloud_tasks.dispatcher import Dispatcher
from cloudq.emulators.cloud_tasks.faults import Faults
from cloudq.emulators.cloud_tasks.operations import Operations
from cloudq.emulators.cloud_tasks.problems import Problem, invalid

SERVICE: Final = "google.cloud.tasks.v2.CloudTasks"
OPERATIONS: Final = "google.longrunning.Operations"
_ListQueuesResponse: Any = tasks_v2.ListQueuesResponse.pb()
_ListTasksResponse: Any = tasks_v2.ListTasksResponse.pb()
_DETAILS: Final = "grpc-status-details-bin"


class Service:
    """The service's methods, each from a request to a response.

    Args:
        dispatcher: Has the queues and dispatches their tasks.
        operations: Carries out batches.
        policies: Keeps access policies.
        faults: What is to go wrong.
    """

    def __init__(self, dispatcher: Dispatcher, operations: Operations, policies: Policies, faults: Faults) -> None:
        self._dispatcher = dispatcher
        self._store = dispatcher.store
        self._operations = operations
        self._policies = policies
        self._faults = faults

    def handlers(self) -> list[Any]:
        """What a gRPC server needs to know of them."""
        store, operations, policies = self._store, self._operations, self._policies
        queues: dict[str, tuple[Any, Callable[[Any], Any]]] = {
            "ListQueues": (tasks_v2.ListQueuesRequest, self._list_queues),
            "GetQueue": (tasks_v2.GetQueueRequest, lambda r: store.queue(r.name).pb),
            "CreateQueue": (tasks_v2.CreateQueueRequest, lambda r: store.create_queue(r.parent, r.queue).pb),
            "UpdateQueue": (tasks_v2.UpdateQueueRequest, lambda r: store.update_queue(r.queue, r.update_mask).pb),
            "DeleteQueue": (tasks_v2.DeleteQueueRequest, lambda r: _empty(store.delete_queue, r.name)),
            "PurgeQueue": (tasks_v2.PurgeQueueRequest, lambda r: store.purge_queue(r.name).pb),
            "PauseQueue": (tasks_v2.PauseQueueRequest, lambda r: store.pause_queue(r.name).pb),
            "ResumeQueue": (tasks_v2.ResumeQueueRequest, lambda r: store.resume_queue(r.name).pb),
            "ListTasks": (tasks_v2.ListTasksRequest, self._list_tasks),
            "GetTask": (tasks_v2.GetTaskRequest, lambda r: store.task(r.name)[1].view(r.response_view)),
            "CreateTask": (tasks_v2.CreateTaskRequest, lambda r: self._creating(self._create_task, r)),
            "DeleteTask": (tasks_v2.DeleteTaskRequest, lambda r: _empty(store.delete_task, r.name)),
            "RunTask": (tasks_v2.RunTaskRequest, self._run_task),
            "BatchCreateTasks": (tasks_v2.BatchCreateTasksRequest, lambda r: self._creating(operations.create, r)),
            "BatchDeleteTasks": (tasks_v2.BatchDeleteTasksRequest, operations.delete),
        }
        plain: dict[str, tuple[Any, Callable[[Any], Any]]] = {
            "GetIamPolicy": (iam_policy_pb2.GetIamPolicyRequest, lambda r: policies.get(r.resource)),
            "SetIamPolicy": (iam_policy_pb2.SetIamPolicyRequest, lambda r: policies.set(r.resource, r.policy)),
            "TestIamPermissions": (
                iam_policy_pb2.TestIamPermissionsRequest,
                lambda r: iam_policy_pb2.TestIamPermissionsResponse(
                    permissions=policies.test(r.resource, r.permissions)
                ),
            ),
        }
        long: dict[str, tuple[Any, Callable[[Any], Any]]] = {
            "GetOperation": (operations_pb2.GetOperationRequest, lambda r: operations.get(r.name)),
            "WaitOperation": (operations_pb2.WaitOperationRequest, lambda r: operations.get(r.name)),
            "ListOperations": (
                operations_pb2.ListOperationsRequest,
                lambda r: operations_pb2.ListOperationsResponse(operations=operations.list(r.name)),
            ),
            "DeleteOperation": (operations_pb2.DeleteOperationRequest, lambda r: _empty(operations.forget, r.name)),
            "CancelOperation": (
                operations_pb2.CancelOperationRequest,
                lambda r: _empty(operations.get, r.name),  # the work is done: nothing is left to cancel
            ),
        }
        methods = {name: _method(kind.pb(), answer) for name, (kind, answer) in queues.items()}
        methods |= {name: _method(kind, answer) for name, (kind, answer) in plain.items()}
        of_operations = {name: _method(kind, answer) for name, (kind, answer) in long.items()}
        return [
            grpc.method_handlers_generic_handler(SERVICE, methods),
            grpc.method_handlers_generic_handler(OPERATIONS, of_operations),
        ]

    def _list_queues(self, request: Any) -> Any:
        page, token = self._store.list_queues(request.parent, request.filter, request.page_size, request.page_token)
        return _ListQueuesResponse(queues=[queue.pb for queue in page], next_page_token=token)

    def _list_tasks(self, request: Any) -> Any:
        page, token = self._store.list_tasks(request.parent, request.page_size, request.page_token)
        view = request.response_view
        return _ListTasksResponse(tasks=[task.view(view) for task in page], next_page_token=token)

    def _create_task(self, request: Any) -> Any:
        return self._store.create_task(request.parent, request.task).view(request.response_view)

    def _run_task(self, request: Any) -> Any:
        queue, task = self._store.task(request.name)
        self._dispatcher.run(queue, task)
        # "contains the status after the task is dispatched but before the task is received by its target"
        return task.view(request.response_view)

    def _creating(self, create: Callable[[Any], Any], request: Any) -> Any:
        failing = self._faults.next_create()
        if failing is not None and not failing.stored:
            raise Problem(failing.code, "A fault on demand: nothing was stored.")
        created = create(request)
        if failing is not None:
            raise Problem(failing.code, "A fault on demand: the answer was lost.")
        return created


def _empty(do: Callable[[str], object], name: str) -> Any:
    do(name)
    return empty_pb2.Empty()


def _method(kind: Any, answer: Callable[[Any], Any]) -> Any:
    async def handle(data: bytes, context: Any) -> bytes | None:
        try:
            answered: bytes = answer(_decoded(kind, data)).SerializeToString()
        except Problem as problem:
            await _refuse(context, problem)
            return None
        return answered

    method: Callable[[bytes, Any], Awaitable[bytes | None]] = handle
    return grpc.unary_unary_rpc_method_handler(method)


def _decoded(kind: Any, data: bytes) -> Any:
    # Here rather than by gRPC, which takes what is no message for a fault of the service's.
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise invalid(f"The request is no {kind.DESCRIPTOR.name}.") from error


async def _refuse(context: Any, problem: Problem) -> None:
    if problem.help is not None:
        description, url = problem.help
        details = status_pb2.Status(code=code_pb2.Code.Value(problem.code), message=problem.message)
        link = error_details_pb2.Help.Link(description=description, url=url)
        details.details.add().Pack(error_details_pb2.Help(links=[link]))
        context.set_trailing_metadata(((_DETAILS, details.SerializeToString()),))
    await context.abort(grpc.StatusCode[problem.code], problem.message)
