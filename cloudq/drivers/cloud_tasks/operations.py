"""`Ended`: what an operation that is over says of each item of a batch. Pure: no call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from google.cloud.tasks_v2 import BatchCreateTasksResponse
from google.cloud.tasks_v2.types import BatchCreateTasksMetadata, BatchDeleteTasksMetadata
from google.protobuf.message import DecodeError

from cloudq.drivers.cloud_tasks.faults import of_status

_CREATED: Final = BatchCreateTasksResponse.pb(BatchCreateTasksResponse()).DESCRIPTOR
_METADATA: Final = (BatchCreateTasksMetadata, BatchDeleteTasksMetadata)


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """An operation that is over.

    Attributes:
        created: The names of the tasks that it created.
        failed: Why each item that failed did, a `google.rpc.Status`, by its place in the request.
        error: The error of the whole, which comes also where each single item failed.
    """

    created: Sequence[str]
    failed: Mapping[int, Any]
    error: Exception | None


def ended(operation: Any) -> Ended | None:
    """What an operation that is over says, or `None` if that isn't what it should be: it was cut, say.

    Args:
        operation: A `google.longrunning.Operation` that is done.
    """
    result = operation.WhichOneof("result")
    if result is None:
        return None
    try:
        failed = _failed(operation.metadata)
        if result == "error":
            return Ended(created=(), failed=failed, error=of_status(operation.error.code, operation.error.message))
        created: list[str] = []
        if operation.response.Is(_CREATED):
            response = BatchCreateTasksResponse.deserialize(operation.response.value)
            created = [task.name for task in response.tasks]
    except (DecodeError, ValueError):
        return None
    return Ended(created=created, failed=failed, error=None)


def _failed(metadata: Any) -> Mapping[int, Any]:
    for kind in _METADATA:
        if metadata.Is(kind.pb(kind()).DESCRIPTOR):
            return dict(kind.pb(kind.deserialize(metadata.value)).failed_requests)
    return {}
