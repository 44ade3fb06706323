"""SQS's own redrive over a fake SQS: what is asked of the service, and how its answers are read."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloudq.core.driver import DeadLetterMover, Outgoing
from cloudq.core.moving import MoveProgress, MoveState
from cloudq.drivers.sqs import SQSDriver
from cloudq.errors import (
    BackendError,
    ConfigurationError,
    PermissionDenied,
    QueueNotFound,
    Throttled,
    TransientError,
    UnsupportedError,
)
from cloudq.queues.cloud_queue import CloudQueue
from tests.unit.drivers.sqs.fakes import FakeSqs, client_error

SOURCE, DESTINATION = "arn:aws:sqs:test:1:q-dlq", "arn:aws:sqs:test:1:q"


@pytest.fixture
def sqs():
    fake = FakeSqs("q", "q-dlq", "q.fifo", "q-dlq.fifo")
    fake.sources.add(SOURCE)
    return fake


@pytest.fixture
def driver(sqs):
    return SQSDriver("test", client=sqs, look_wait=timedelta(0))


@pytest.fixture
def letters(driver):
    driver.send([Outgoing(id=str(number), queue="q-dlq", body=b"{}") for number in range(5)])
    return CloudQueue("q", driver).dead_letters


def stored(sqs, queue):
    return len(sqs.queues[f"http://sqs.test/1/{queue}"])


def test_the_destination_is_named(letters, sqs):
    """One task from the dead-letter queue to its queue, by name: dead letters of ours have no source to go back to."""
    letters.move_all()
    started = [given for called, given in sqs.calls if called == "StartMessageMoveTask"]
    assert [{"SourceArn": SOURCE, "DestinationArn": DESTINATION}] == started


def test_progress_until_all_are_moved(letters, sqs):
    """What was moved and what there was to move, then that it is done."""
    move = letters.move_all()
    assert MoveProgress(state=MoveState.RUNNING, moved=0, total=5) == move.progress()
    sqs.move(3)
    assert MoveProgress(state=MoveState.RUNNING, moved=3, total=5) == move.progress()
    sqs.move(3)
    assert MoveProgress(state=MoveState.COMPLETED, moved=5, total=5) == move.progress()
    assert (5, 0) == (stored(sqs, "q"), stored(sqs, "q-dlq"))


def test_a_task_that_is_not_listed_yet_is_running(letters, sqs):
    """The one before, which has ended, isn't taken for it; nor one that somebody starts after it."""
    letters.move_all()
    sqs.move(5)
    move = letters.move_all()
    hidden = sqs.tasks.pop()
    assert MoveProgress(state=MoveState.RUNNING) == move.progress()
    sqs.tasks.append(hidden)
    sqs.move(5)
    letters.move_all()
    assert MoveProgress(state=MoveState.COMPLETED, moved=0, total=0) == move.progress()


def test_a_task_that_failed_says_why(letters, sqs):
    """The service's own reason."""
    move = letters.move_all()
    sqs.tasks[-1].update(Status="FAILED", FailureReason="AccessDenied")
    assert (MoveState.FAILED, "AccessDenied") == (move.progress().state, move.progress().reason)
    assert move.progress().state.ended


def test_cancelling(letters, sqs):
    """What was moved stays moved, the rest stays dead; a second cancel changes nothing and is no error."""
    move = letters.move_all()
    sqs.move(2)
    move.cancel()
    assert (MoveState.CANCELLING, False) == (move.progress().state, move.progress().state.ended)
    sqs.move(2)
    move.cancel()
    assert (MoveState.CANCELLED, 2) == (move.progress().state, move.progress().moved)
    assert (2, 3) == (stored(sqs, "q"), stored(sqs, "q-dlq"))


def test_one_task_at_a_time(letters):
    """A second one is refused, saying so; it isn't a failure that passes by trying again at once."""
    letters.move_all()
    with pytest.raises(BackendError, match="already moves the dead letters of queue 'q'") as raised:
        letters.move_all()
    assert not isinstance(raised.value, TransientError)
    assert "list-message-move-tasks" in raised.value.hint


def test_a_queue_that_no_redrive_policy_names(letters, sqs):
    """The service moves nothing from it: the error names the policy, and the redrive that needs none."""
    sqs.sources.clear()
    with pytest.raises(ConfigurationError, match="no queue's redrive policy names it") as raised:
        letters.move_all()
    assert "cloudq dlq redrive q --all" in raised.value.hint


def test_an_ordered_queue_is_refused(driver, sqs):
    """With the redrive that it has; the service isn't called."""
    letters = CloudQueue("q.fifo", driver).dead_letters
    assert not letters.movable
    with pytest.raises(UnsupportedError, match=r"'q\.fifo'.* keeps an order") as raised:
        letters.move_all()
    assert r"cloudq dlq redrive q.fifo --all" in raised.value.hint
    assert [] == sqs.calls


@pytest.mark.parametrize("operation", ["StartMessageMoveTask", "ListMessageMoveTasks", "GetQueueAttributes"])
@pytest.mark.parametrize(
    ("code", "error"), [("AccessDenied", PermissionDenied), ("RequestThrottled", Throttled), ("Odd", BackendError)]
)
def test_failures_to_start_are_translated(letters, sqs, operation, code, error):
    """Whichever call fails; no task is left behind."""
    sqs.fail = lambda called: client_error(code) if called == operation else None
    with pytest.raises(error):
        letters.move_all()
    assert [] == sqs.tasks


def test_a_failure_to_cancel_is_translated(letters, sqs):
    """Only a task that is gone is no error."""
    move = letters.move_all()
    sqs.fail = lambda called: client_error("AccessDenied") if called == "CancelMessageMoveTask" else None
    with pytest.raises(PermissionDenied):
        move.cancel()


def test_without_a_dead_letter_queue(sqs):
    """It is the queue that isn't found."""
    del sqs.queues["http://sqs.test/1/q-dlq"]
    with pytest.raises(QueueNotFound, match="'q-dlq'"):
        CloudQueue("q", SQSDriver("test", client=sqs)).dead_letters.move_all()


def test_the_driver_says_that_it_can(driver):
    """It has the optional part of the contract."""
    assert isinstance(driver, DeadLetterMover)
