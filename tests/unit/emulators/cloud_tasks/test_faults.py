"""Faults on demand, through the real client and to a real worker."""

from __future__ import annotations

import pytest
from google.api_core import exceptions as api

from cloudq.emulators.cloud_tasks import Cut, End
from tests.unit.emulators.cloud_tasks.bench import QUEUE


def test_creates_fail_before_they_store(lab):
    """So many calls fail with nothing stored, and the next one works."""
    lab.emulator.faults.fail_creates(2)
    for _ in range(2):
        with pytest.raises(api.ServiceUnavailable, match="nothing was stored"):
            lab.create()
    lab.settle()
    assert lab.worker.received == []
    lab.create()
    lab.settle()
    assert len(lab.worker.received) == 1


def test_creates_fail_after_they_stored(lab):
    """The task is stored and runs, though the client hears of a failure: its name is taken when it tries again."""
    lab.emulator.faults.fail_creates(stored=True, code="DEADLINE_EXCEEDED")
    with pytest.raises(api.DeadlineExceeded, match="the answer was lost"):
        lab.create("once")
    with pytest.raises(api.AlreadyExists):
        lab.create("once")
    lab.settle()
    assert len(lab.worker.received) == 1


def test_batches_fail_as_a_whole(lab):
    """A batch is one call."""
    one = {"parent": QUEUE, "task": lab.task()}
    lab.emulator.faults.fail_creates(1, stored=True)
    with pytest.raises(api.ServiceUnavailable):
        lab.client.batch_create_tasks(request={"parent": QUEUE, "requests": [one] * 3})
    lab.settle()
    assert len(lab.worker.received) == 3


def test_a_connection_cut_in_the_request(lab):
    """The worker gets half a request, the attempt fails, and the task is pushed again."""
    lab.emulator.faults.cut_dispatches(at=Cut.REQUEST)
    lab.create(request={"body": b"x" * 1000})
    lab.settle()
    assert [(attempt.end, attempt.status) for attempt in lab.emulator.attempts()] == [(End.UNREACHABLE, None)]
    assert lab.worker.received == []
    lab.advance(seconds=1)
    assert [len(received.body) for received in lab.worker.received] == [1000]


def test_a_connection_cut_in_the_response(lab):
    """The worker has done its work, the answer is lost, and the task is pushed again."""
    lab.emulator.faults.cut_dispatches(at=Cut.RESPONSE)
    lab.create()
    lab.settle()
    assert len(lab.worker.received) == 1
    lab.advance(seconds=1)
    assert lab.statuses() == [None, 200]
    assert lab.worker.headers()["x-cloudtasks-taskretrycount"] == "1"


def test_a_doubled_dispatch(lab):
    """The worker gets the same request twice, as the service's own duplicates come: with the same retry count."""
    lab.emulator.faults.double_dispatches()
    lab.create("twice")
    lab.settle()
    assert lab.worker.headers(0) == lab.worker.headers(1)
    assert sorted(attempt.double for attempt in lab.emulator.attempts()) == [False, True]
    lab.create("once")
    lab.settle()
    assert len(lab.worker.received) == 3


def test_faults_can_be_called_off(lab):
    """What hasn't happened yet doesn't."""
    faults = lab.emulator.faults
    faults.fail_creates(3)
    faults.cut_dispatches(3)
    faults.double_dispatches(3)
    assert len(list(faults.left)) == 6
    faults.clear()
    lab.create()
    lab.settle()
    assert (lab.statuses(), list(faults.left)) == ([200], [])
