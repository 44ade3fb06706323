"""The long-running operations of the batch calls. The work is done at once; only the word of it may come later."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

from google.cloud import tasks_v2
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2
from google.rpc import code_pb2

from cloudq.emulators.cloud_tasks.messages import set_moment
from cloudq.emulators.cloud_tasks.names import location_of
from cloudq.emulators.cloud_tasks.problems import Problem, invalid, not_found
from cloudq.emulators.cloud_tasks.store import Store

MOST_CREATED: Final = 100
MOST_DELETED: Final = 1_000
_KEPT: Final = 1_000  # the newest; nobody asks for older ones
_CreateMetadata: Any = tasks_v2.BatchCreateTasksMetadata.pb()
_CreateResponse: Any = tasks_v2.BatchCreateTasksResponse.pb()
_DeleteMetadata: Any = tasks_v2.BatchDeleteTasksMetadata.pb()


class Operations:
    """Carries out batches and remembers their operations.

    Args:
        store: What the batches change.
        now: Gives the present moment.
        pending_polls: How often an operation is said to be under way still.
    """

    def __init__(self, store: Store, now: Callable[[], datetime], pending_polls: int) -> None:
        self._store = store
        self._now = now
        self._pending_polls = pending_polls
        self._done: dict[str, Any] = {}
        self._polls: dict[str, int] = {}
        self._requests: dict[tuple[str, str] | None, str] = {}
        self._asked: dict[str, tuple[str, str]] = {}

    def create(self, request: Any) -> Any:
        """Carries out a `BatchCreateTasksRequest`. Not atomic: each task is stored or has its error."""
        if len(request.requests) > MOST_CREATED:
            raise invalid(f"The maximum number of requests is {MOST_CREATED}.")
        if any(one.parent != request.parent for one in request.requests):
            raise invalid("The parent of each request must be the same as the parent of the batch.")
        self._store.queue(request.parent)
        known = self._known(request)
        if known is not None:
            return known
        began = self._now()
        response = _CreateResponse()
        failed: dict[int, Problem] = {}
        for index, one in enumerate(request.requests):
            try:
                task = self._store.create_task(request.parent, one.task)
                response.tasks.append(task.view(one.response_view))
            except Problem as problem:
                failed[index] = problem
        done = self._over(_CreateMetadata(), began, failed)
        all_failed = bool(failed) and len(failed) == len(request.requests)
        return self._remember(request, done, None if all_failed else response)

    def delete(self, request: Any) -> Any:
        """Carries out a `BatchDeleteTasksRequest`. Not atomic either."""
        if len(request.names) > MOST_DELETED:
            raise invalid(f"The maximum number of names is {MOST_DELETED}.")
        if any(not name.startswith(f"{request.parent}/tasks/") for name in request.names):
            raise invalid("All tasks must be in the queue that is the parent of the batch.")
        self._store.queue(request.parent)
        known = self._known(request)
        if known is not None:
            return known
        began = self._now()
        failed: dict[int, Problem] = {}
        for index, name in enumerate(request.names):
            try:
                self._store.delete_task(name)
            except Problem as problem:
                failed[index] = problem
        done = self._over(_DeleteMetadata(), began, failed)
        all_failed = bool(failed) and len(failed) == len(request.names)
        return self._remember(request, done, None if all_failed else empty_pb2.Empty())

    def get(self, name: str) -> Any:
        """The operation, done or not yet."""
        done = self._done.get(name)
        if done is None:
            raise not_found()
        left = self._polls.get(name, 0)
        if left:
            self._polls[name] = left - 1
            return _pending(done)
        return done

    def list(self, parent: str) -> Sequence[Any]:
        """The operations of a location."""
        return [done for name, done in self._done.items() if name.startswith(f"{parent}/operations/")]

    def forget(self, name: str) -> None:
        """Forgets the operation; what it did stays done."""
        if self._done.pop(name, None) is None:
            raise not_found()
        self._requests.pop(self._asked.pop(name, None), None)

    def _known(self, request: Any) -> Any | None:
        # "This field will be used to identify the long running operation, avoiding duplication when user retries."
        name = self._requests.get((request.parent, request.request_id)) if request.request_id else None
        return None if name is None else self.get(name)

    def _over(self, metadata: Any, began: datetime, failed: dict[int, Problem]) -> Any:
        set_moment(metadata.start_time, began)
        set_moment(metadata.end_time, self._now())
        for index, problem in failed.items():
            metadata.failed_requests[index].code = code_pb2.Code.Value(problem.code)
            metadata.failed_requests[index].message = problem.message
        metadata.state = metadata.State.Value("PARTIALLY_SUCCEEDED" if failed else "SUCCEEDED")
        return metadata

    def _remember(self, request: Any, metadata: Any, response: Any | None) -> Any:
        identity = request.request_id or str(uuid.uuid4())
        name = f"{location_of(request.parent)}/operations/{uuid.uuid5(uuid.NAMESPACE_OID, request.parent + identity)}"
        done = operations_pb2.Operation(name=name, done=True)
        done.metadata.Pack(metadata)
        if response is None:
            done.error.code = code_pb2.ABORTED
            done.error.message = (
                f"None of the requests succeeded, refer to {metadata.DESCRIPTOR.name}.failed_requests "
                "for individual error details"
            )
        else:
            done.response.Pack(response)
        while len(self._done) >= _KEPT:
            oldest = next(iter(self._done))
            del self._done[oldest]
            self._polls.pop(oldest, None)
            self._requests.pop(self._asked.pop(oldest, None), None)
        self._done[name] = done
        if request.request_id:
            key = (request.parent, request.request_id)
            self._requests[key] = name
            self._asked[name] = key
        if not self._pending_polls:
            return done
        self._polls[name] = self._pending_polls
        return _pending(done)


def _pending(done: Any) -> Any:
    """The operation as it is while it is under way: its metadata say since when."""
    kind = _CreateMetadata if done.metadata.Is(_CreateMetadata.DESCRIPTOR) else _DeleteMetadata
    metadata = kind()
    done.metadata.Unpack(metadata)
    metadata.ClearField("end_time")
    metadata.ClearField("failed_requests")
    metadata.state = metadata.State.Value("RUNNING")
    pending = operations_pb2.Operation(name=done.name)
    pending.metadata.Pack(metadata)
    return pending
