"""What an enqueue gives back tells how far it has come in RQ's words."""

from __future__ import annotations

import pytest
from rq.job import JobStatus as RqStatus

import cloudq
from cloudq.compat.rq import Job, Queue, Retry, cancel_job, get_current_job
from cloudq.compat.rq.exceptions import NoSuchJobError
from cloudq.compat.rq.job import _STATUS, JobStatus
from cloudq.errors import UnsupportedError
from cloudq.testing import run_all


@pytest.fixture
def queue(redis):
    return Queue("important", connection=redis)


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
    assert job.is_canceled
    run_all(queue.connection)
    assert ([], True) == (module.ran, job.is_canceled)


def test_without_results_nothing_is_known(jobs):
    """Which is said, in place of a status that would look like one."""
    queue, module = jobs
    job = queue.enqueue(module.add, 1)
    for look in (job.get_status, job.return_value, job.cancel, lambda: queue.fetch_job(job.id)):
        with pytest.raises(UnsupportedError, match="keeps no results"):
            look()


def test_the_words_are_rqs_own(module):
    """So that code which compares with RQ's members goes on, once it imports ours."""
    assert {status.name: status.value for status in JobStatus} == {
        status.name: status.value for status in RqStatus if status.name in JobStatus.__members__
    }
    assert set(_STATUS.values()) == set(JobStatus)


def test_what_was_given_to_the_enqueue_is_known(queue, module):
    """Of a job that was enqueued alone, together with others, or by `@job`; not of one that was fetched by its id."""
    given = {"meta": {"tenant": "a"}, "description": "adds", "retry": Retry(max=2)}
    [many] = queue.enqueue_many([queue.prepare_data(module.add, [1], {"y": 2}, **given)])
    for job in (queue.enqueue(module.add, 1, y=2, **given), many):
        assert ("important", "rq_functions.add", {"x": 1, "y": 2}) == (job.origin, job.func_name, job.kwargs)
        assert ({"tenant": "a"}, {"tenant": "a"}, "adds") == (job.meta, job.get_meta(), job.description)
        assert (2, 0, 180, None) == (job.retries_left, job.number_of_retries, job.timeout, job.enqueued_at)
        with pytest.raises(TypeError):
            job.meta["tenant"] = "b"  # which nobody else would see
        with pytest.raises(UnsupportedError, match=r"origin of job .* isn't noted"):
            _ = Job.fetch(job.id, connection=queue.connection).origin
    assert (None, None, {}) == (
        queue.enqueue(module.add, 1).retries_left,
        job.created_at,
        queue.enqueue(module.add, 1).meta,
    )


def test_jobs_are_fetched_by_their_ids(queue, module):
    """As RQ does, whose error it is where there is none."""
    job = queue.enqueue(module.add, 1)
    job.refresh()
    redis = queue.connection
    assert "queued" == Job.fetch(job.id, connection=redis).get_status()
    assert [job.id, None] == [one and one.id for one in Job.fetch_many([job.id, "nobody"], connection=redis)]
    assert (True, False) == (Job.exists(job.id, connection=redis), Job.exists("nobody", connection=redis))
    for look in (lambda: Job.fetch("nobody", connection=redis), Job(redis, "nobody").refresh):
        with pytest.raises(NoSuchJobError, match="no such job: nobody"):
            look()
    cancel_job(job.id, connection=redis)
    assert job.is_canceled


def test_the_job_that_runs_knows_what_it_is(queue, module):
    """In each run: which one it is, and what it was given."""
    queue.enqueue(module.tells, 1, meta={"tenant": "a"}, description="tells", retry=Retry(max=2))
    run_all(queue.connection)
    told = [{**one, "id": None, "sent": None} for one in module.ran]
    same = {"id": None, "sent": None, "origin": "important", "func": "rq_functions.tells", "kwargs": {"x": 1}}
    same |= {"meta": {"tenant": "a"}, "description": "tells", "status": "started", "timeout": 180}
    assert [{**same, "retries": n, "left": 2 - n} for n in range(3)] == told
    assert 1 == len({one["id"] for one in module.ran})
    assert None not in {one["sent"] for one in module.ran}


def test_a_task_of_cloudqs_own_on_the_connection_is_a_job_too(queue, module):
    """One after the other is moved; and outside of a job there is none."""
    seen = []

    @queue.connection.task("t", queue="important")
    async def task(x: int) -> None:
        seen.append(get_current_job(queue.connection))

    task.send(1)
    run_all(queue.connection, raise_errors=True)
    assert [("t", None, 0)] == [(job.func_name, job.retries_left, job.number_of_retries) for job in seen]
    assert get_current_job() is None


def test_a_task_of_another_app_is_no_job():
    """It has no words of RQ's."""
    app, seen = cloudq.App(), []

    @app.task("t")
    def task() -> None:
        seen.append(get_current_job())

    with app.eager():
        task.send()
    assert [None] == seen
