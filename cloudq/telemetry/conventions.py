"""The names of spans, metrics and attributes: OpenTelemetry's where it has one, else ours, which begin with `cloudq.`.

OpenTelemetry's are those of its semantic conventions for messaging, version 1.44.0 of August 2026
(docs/messaging/messaging-spans.md and messaging-metrics.md in open-telemetry/semantic-conventions). They are still in
development there; a change of theirs comes with a line in our CHANGELOG. They are written out here because the package
`opentelemetry-semantic-conventions` keeps what isn't stable under a private name.
"""

from __future__ import annotations

from typing import Final

# Attributes.
SYSTEM: Final = "messaging.system"
OPERATION_NAME: Final = "messaging.operation.name"
OPERATION_TYPE: Final = "messaging.operation.type"
DESTINATION: Final = "messaging.destination.name"
MESSAGE_ID: Final = "messaging.message.id"
BATCH_COUNT: Final = "messaging.batch.message_count"
SERVER: Final = "server.address"
ERROR_TYPE: Final = "error.type"
EXCEPTION: Final = "exception"
EXCEPTION_TYPE: Final = "exception.type"
EXCEPTION_MESSAGE: Final = "exception.message"
EXCEPTION_STACKTRACE: Final = "exception.stacktrace"
TASK: Final = "cloudq.task"
OUTCOME: Final = "cloudq.outcome"
ATTEMPT: Final = "cloudq.attempt"
WHERE: Final = "cloudq.where"
REASON: Final = "cloudq.reason"

OTHER: Final = "_OTHER"
"""In the place of a value that could be anything: the convention's word for errors, ours for unknown tasks, too."""

# Metrics.
SENT: Final = "messaging.client.sent.messages"
CONSUMED: Final = "messaging.client.consumed.messages"
PROCESS_DURATION: Final = "messaging.process.duration"
OPERATION_DURATION: Final = "messaging.client.operation.duration"
ENDED: Final = "cloudq.deliveries.ended"
IN_FLIGHT: Final = "cloudq.deliveries.in_flight"
AGE: Final = "cloudq.queue.age"
RENEWALS: Final = "cloudq.lease.renewals"
LOSSES: Final = "cloudq.lease.losses"
DUPLICATES: Final = "cloudq.duplicates.stopped"
HELD_BACK: Final = "cloudq.queue.held_back"

DURATION_BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""Seconds: what the convention advises for its durations."""
AGE_BOUNDS: Final = (0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600, 14400, 86400)
"""Seconds: from a queue that is empty to one that loses messages by its retention."""

# What an operation of a service does, for `messaging.operation.type`; those that aren't here do neither.
_TYPES: Final = (
    ("send", ("Send", "CreateTask", "BatchCreateTasks", "CreateSchedule", "ScheduleMessages")),
    ("receive", ("Receive", "Peek")),
    ("settle", ("DeleteMessage", "ChangeMessageVisibility", "Complete", "Abandon", "DeadLetter", "Settle")),
)


def operation_type(operation: str) -> str | None:
    """`send`, `receive` or `settle`, by a service's own name of one of its operations; `None` for what is none."""
    return next((kind for kind, starts in _TYPES if operation.startswith(starts)), None)


def error_type(error: BaseException) -> str:
    """The class of an error, as `error.type` has it: by its module, unless it is Python's own."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
