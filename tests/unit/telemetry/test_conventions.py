"""What the operations of services do, and what errors are called."""

from __future__ import annotations

import pytest

from cloudq.errors import Throttled
from cloudq.telemetry.conventions import error_type, operation_type


@pytest.mark.parametrize(
    ("operation", "type_"),
    [
        ("SendMessage", "send"),
        ("SendMessageBatch", "send"),
        ("CreateTask", "send"),
        ("BatchCreateTasks", "send"),
        ("CreateSchedule", "send"),
        ("Send", "send"),
        ("ReceiveMessage", "receive"),
        ("Receive", "receive"),
        ("DeleteMessageBatch", "settle"),
        ("ChangeMessageVisibilityBatch", "settle"),
        ("Settle", "settle"),
        ("GetQueueUrl", None),
        ("PurgeQueue", None),
        ("DeleteTask", None),
        ("RenewLock", None),
    ],
)
def test_an_operation_sends_receives_or_settles(operation: str, type_: str | None) -> None:
    """By the service's own name of it; what does neither has no type."""
    assert type_ == operation_type(operation)


@pytest.mark.parametrize(
    ("error", "name"), [(ValueError("x"), "ValueError"), (Throttled("x"), "cloudq.errors.Throttled")]
)
def test_an_error_is_called_by_its_class(error: BaseException, name: str) -> None:
    """Python's own without a module, as in a traceback."""
    assert name == error_type(error)
