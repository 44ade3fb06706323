"""What a child process counts for its parent."""

from __future__ import annotations

from cloudq.core.driver import SendResult
from cloudq.core.message import Message
from cloudq.errors import BackendUnavailable
from cloudq.telemetry.reported import CallCount, Report, Reports, SentCount


def message(task: str = "shop.mail") -> Message:
    return Message(id="m", task=task, queue="emails")


def test_nothing_is_no_report() -> None:
    """A task that sends nothing adds nothing to what its child says."""
    assert Reports().take() is None


def test_what_is_alike_is_added_up() -> None:
    """By queue, task and what became of it; calls by operation, with their time."""
    reports = Reports()
    for result in (SendResult(), SendResult(), SendResult(duplicate=True), SendResult(error=BackendUnavailable("no"))):
        reports.sent(message(), result)
    reports.called("SendMessageBatch", "emails", 0.25, None)
    reports.called("SendMessageBatch", "emails", 0.5, None)
    reports.called("GetQueueUrl", None, 0.5, BackendUnavailable("no"))
    assert reports.take() == Report(
        sent=[
            SentCount("emails", "shop.mail", "stored", 2),
            SentCount("emails", "shop.mail", "duplicate", 1),
            SentCount("emails", "shop.mail", "failed", 1),
        ],
        calls=[
            CallCount("SendMessageBatch", "emails", False, 2, 0.75),
            CallCount("GetQueueUrl", "", True, 1, 0.5),
        ],
    )


def test_a_report_is_made_once() -> None:
    """What was taken isn't told again."""
    reports = Reports()
    reports.sent(message(), SendResult())
    assert reports.take()
    assert reports.take() is None
