"""What an operation that is over says of each item of a batch."""

from __future__ import annotations

from typing import Any

import pytest
from google.api_core import exceptions as api
from google.cloud.tasks_v2 import BatchCreateTasksResponse, Task
from google.cloud.tasks_v2.types import BatchCreateTasksMetadata, BatchDeleteTasksMetadata
from google.longrunning import operations_pb2
from google.protobuf import any_pb2, empty_pb2
from google.rpc import code_pb2, status_pb2

from cloudq.drivers.cloud_tasks.operations import ended


def packed(message: Any) -> any_pb2.Any:
    made = any_pb2.Any()
    made.Pack(type(message).pb(message) if hasattr(type(message), "pb") else message)
    return made


def done(*, metadata: Any = None, **result: Any) -> operations_pb2.Operation:
    return operations_pb2.Operation(done=True, metadata=None if metadata is None else packed(metadata), **result)


CREATED = packed(BatchCreateTasksResponse(tasks=[Task(name="a"), Task(name="b")]))
REFUSED = status_pb2.Status(code=code_pb2.ALREADY_EXISTS, message="it is there")


def test_what_was_created_is_named() -> None:
    """By the tasks' own names."""
    over = ended(done(response=CREATED))
    assert over is not None
    assert (["a", "b"], {}, None) == (over.created, over.failed, over.error)


@pytest.mark.parametrize("kind", [BatchCreateTasksMetadata, BatchDeleteTasksMetadata])
def test_items_that_failed_are_told_by_their_place(kind: Any) -> None:
    """Of a batch that creates, and of one that deletes; the rest succeeded."""
    over = ended(done(response=CREATED, metadata=kind(failed_requests={1: REFUSED})))
    assert over is not None
    assert [(1, "it is there")] == [(place, status.message) for place, status in over.failed.items()]
    assert over.error is None


@pytest.mark.parametrize(
    ("code", "kind"), [(code_pb2.UNAVAILABLE, api.ServiceUnavailable), (code_pb2.INVALID_ARGUMENT, api.InvalidArgument)]
)
def test_an_operation_that_failed_as_a_whole_has_an_error(code: int, kind: type[Exception]) -> None:
    """The SDK's own for that status; which item failed, and why, is told beside it."""
    metadata = BatchCreateTasksMetadata(failed_requests={0: REFUSED})
    over = ended(done(error=status_pb2.Status(code=code, message="no"), metadata=metadata))
    assert over is not None
    assert isinstance(over.error, kind)
    assert ((), [0]) == (over.created, list(over.failed))


def test_a_delete_creates_nothing() -> None:
    """Its response is empty."""
    over = ended(done(response=packed(empty_pb2.Empty())))
    assert over is not None
    assert ([], {}, None) == (over.created, over.failed, over.error)


def test_an_operation_without_a_result_says_nothing() -> None:
    """It was cut: nothing of the batch counts as stored."""
    assert ended(operations_pb2.Operation(done=True)) is None


def test_a_result_that_is_cut_says_nothing() -> None:
    """At whatever byte: either it can't be read, or it names no more than was created."""
    for size in range(len(CREATED.value)):
        cut = any_pb2.Any(type_url=CREATED.type_url, value=CREATED.value[:size])
        over = ended(done(response=cut))
        assert over is None or "b" not in over.created, size
