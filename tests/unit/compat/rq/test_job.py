"""What an enqueue gives back tells how far it has come in RQ's words."""

from __future__ import annotations

import pytest
from rq.job import JobStatus

from cloudq.compat.rq import Connection, Job, Queue, Retry
from cloudq.compat.rq.job import _STATUS
from cloudq.errors import UnsupportedError
from cloudq.testing import in_memory, run_all


@pytest.fixture
def queue(module):
    connection = Connection("rq_functions")
    with in_memory(connection):
        yield Queue("important", connection=connection)


def test_a_job_is_queued_then_finished_with_its_value(queue, module):
    """Also for who has its id alone."""
    job = queue.enqueue(module.add, 1, 2)
    assert ("queued", True, None) == (job.get_status(), job.is_queued, job.return_value())
    run_all(queue.connection)
    assert ("finished", True, 3, 3) == (job.get_status(), job.is_finished, job.return_value(), job.result)
    fetched = queue.fetch_job(job.get_id())
    assert (3, None, f"Job({job.id!r})") == (fetched.return_value(), fetched.sent, repr(fetched))
    assert 3 == job.sent.result()
    assert queue.fetch_job("nobody's id") is None


def test_one_that_fails_is_queued_while_it_runs_again_and_failed_then(queue, module):
    """As RQ has it with a Retry."""
    job = queue.enqueue(module.fails, "a", retry=Retry(max=1, interval=60))
    run_all(queue.connection, delayed=False)
    assert "queued" == job.get_status()
    run_all(queue.connection)
    assert ("failed", True, None) == (job.get_status(), job.is_failed, job.return_value())
    assert not job.is_started


def test_one_that_is_cancelled_is_not_run(queue, module):
    """Where it waits."""
    job = queue.enqueue(module.add, 1)
    job.cancel()
    run_all(queue.connection)
    assert ([], True) == (module.ran, job.is_canceled)


def test_without_results_nothing_is_known(jobs):
    """Which is said, in place of a status that would look like one."""
    queue, module = jobs
    job = queue.enqueue(module.add, 1)
    for look in (job.get_status, job.return_value, job.cancel, lambda: queue.fetch_job(job.id)):
        with pytest.raises(UnsupportedError, match="keeps no results"):
            look()


def test_the_words_are_rqs_own():
    """And another attribute says where that is."""
    assert set(_STATUS.values()) <= {status.value for status in JobStatus}
    with pytest.raises(AttributeError, match=r"has no 'meta'; hint: what is noted of it is connection.result"):
        _ = Job(Connection("pages"), "id").meta
