"""Enqueueing with RQ's words: what maps does what it does there, and the rest is refused by its name."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime, timedelta

import pytest
import rq

from cloudq.compat.rq import Connection, Queue, Retry
from cloudq.compat.rq.words import ENQUEUE
from cloudq.errors import ConfigurationError, OptionError, PayloadError
from cloudq.testing import in_memory, run_all, sent


def test_a_job_is_called_with_its_arguments(jobs):
    """By position and by name, sync and async; its message is the task's own, with its arguments by their names."""
    queue, module = jobs
    queue.enqueue(module.add, 1, 2, z=3)
    queue.enqueue(module.add, args=(4,), kwargs={"z": 5})
    queue.enqueue("rq_functions.add", 6)
    queue.enqueue_call(module.add, args=[7], kwargs={"y": 8})
    first = sent(queue.connection)[0]
    assert ("rq_functions.add", "important", {"x": 1, "y": 2, "z": 3}) == (first.task, first.queue, first.payload)
    assert 4 == queue.count == len(queue)
    run_all(queue.connection, raise_errors=True)
    assert [(1, 2, 3), (4, 1, 5), (6, 1, 0), (7, 8, 0)] == module.ran
    assert queue.is_empty()
    assert queue


def test_a_function_goes_to_every_queue_also_to_one_that_is_made_later(jobs):
    """As in RQ, where a function belongs to none."""
    queue, module = jobs
    queue.enqueue(module.add, 1)
    Queue("low", connection=queue.connection).enqueue(module.add, 2)
    assert ["important", "low"] == [message.queue for message in sent(queue.connection)]


def test_a_job_for_later_needs_no_scheduler(jobs):
    """By a span or a moment."""
    queue, module = jobs
    now = queue.connection.clock.now()
    queue.enqueue_in(timedelta(hours=1), module.add, 1)
    queue.enqueue_at(now + timedelta(minutes=30), module.add, 2)
    run_all(queue.connection, delayed=False)
    assert [] == module.ran
    run_all(queue.connection)
    assert [(2, 1, 0), (1, 1, 0)] == module.ran
    with pytest.raises(OptionError, match="UTC offset"):
        queue.enqueue_at(datetime(2030, 1, 1), module.add, 1)  # noqa: DTZ001 - that is the point


def test_many_are_stored_together(jobs):
    """Each with its own options."""
    queue, module = jobs
    calls = [queue.prepare_data(module.add, [n], {"y": n}, ttl=60, description=f"no. {n}") for n in range(3)]
    made = queue.enqueue_many(calls)
    assert [message.id for message in sent(queue.connection)] == [job.id for job in made]
    assert "no. 2" == sent(queue.connection)[2].headers["description"]
    with pytest.raises(OptionError, match="pipeline of enqueue_many can't be honoured"):
        queue.enqueue_many(calls, pipeline=object())


def test_many_go_to_the_queue_that_stores_them(jobs):
    """As in RQ, where a prepared job belongs to no queue."""
    queue, module = jobs
    other = Queue("other", connection=queue.connection)
    other.enqueue_many([queue.prepare_data(module.add, [1], ttl=60), other.prepare_data(module.add, [2])])
    assert (0, 2) == (queue.count, other.count)
    assert sent(queue.connection)[0].expires_at is not None


def test_a_job_that_waits_for_longer_than_its_ttl_is_not_run(jobs):
    """As in RQ, where it is gone."""
    queue, module = jobs
    queue.enqueue(module.add, 1, ttl=60)
    queue.connection.clock.advance(timedelta(seconds=61))
    run_all(queue.connection)
    assert [] == module.ran


@pytest.mark.parametrize("option", sorted(ENQUEUE.refused))
def test_what_cannot_be_honoured_is_refused_with_what_there_is_instead(jobs, option):
    """And nothing is stored; what RQ has by default asks for nothing."""
    queue, module = jobs
    with pytest.raises(OptionError, match=f"^{option} of a job can't be honoured") as refused:
        queue.enqueue(module.add, 1, **{option: "x"})
    assert ENQUEUE.refused[option] == refused.value.hint
    assert [] == sent(queue.connection)
    queue.enqueue(module.add, 1, **{option: inspect.signature(rq.Queue.enqueue_call).parameters[option].default})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"job_timeout": 600}, "job_timeout=600 can't be honoured"),
        ({"job_timeout": -1}, "job_timeout=-1 can't be honoured"),
        ({"job_timeout": "1h"}, "job_timeout is a number of seconds"),
        ({"result_ttl": 5}, "result_ttl of one job can't be honoured"),
        ({"ttl": 0}, "ttl is a number of seconds"),
        ({"retry": 3}, "retry of a job is a Retry"),
        ({"retry": rq.Retry(max=3)}, "retry of a job is a Retry of cloudq.compat.rq"),
    ],
)
def test_what_another_value_would_change_is_refused(jobs, options, words):
    """A time limit and a result's life belong to a function."""
    queue, module = jobs
    with pytest.raises(OptionError, match=words):
        queue.enqueue(module.add, 1, **options)


def test_what_repeats_the_functions_own_is_taken(jobs):
    """So that such code stays as it is."""
    queue, module = jobs
    queue.enqueue(module.add, 1, job_timeout=180)
    connection = Connection("rq_functions", job_timeouts={"rq_functions.add": -1}, job_timeout=60, result_ttl=7)
    for timeout in (None, 60):
        Queue("low", connection=connection, default_timeout=timeout)
    with pytest.raises(OptionError, match="default_timeout=61 can't be honoured"):
        Queue("low", connection=connection, default_timeout=61)
    low = Queue("low", connection=connection, is_async=True)
    with in_memory(connection):
        low.enqueue(module.add, 1, job_timeout=-1, result_ttl=7, retry=Retry(max=1))


def test_a_task_with_a_policy_of_its_own_takes_no_retry(jobs):
    """It would look honoured, and not be."""
    queue, _ = jobs

    @queue.connection.task("t")
    def task() -> None: ...

    with pytest.raises(OptionError, match="'t' has a policy of its own"):
        queue.enqueue(task, retry=Retry(max=1))


def test_arguments_that_do_not_fit_are_refused_at_once(jobs):
    """In RQ the worker finds out. And no pickle: what can't be JSON is refused, by the argument's name."""
    queue, module = jobs
    for args in ((), (1, 2, 3)):
        with pytest.raises(PayloadError):
            queue.enqueue(module.add, *args)
    with pytest.raises(PayloadError, match="x"):
        queue.enqueue(module.add, {1, 2})
    with pytest.raises(PayloadError):
        queue.enqueue(module.add, datetime.now(UTC))
    with pytest.raises(OptionError, match="given twice"):
        queue.enqueue(module.add, 1, args=(2,))


def test_a_queue_needs_a_connection_of_ours():
    """Redis's own is refused, and what else RQ's queue takes."""
    with pytest.raises(ConfigurationError, match=r"one of cloudq.compat.rq"):
        Queue("important", connection=object())  # type: ignore[arg-type]  # that is the point
    with pytest.raises(ConfigurationError, match=r"one of cloudq.compat.rq"):
        Queue("important")
    with pytest.raises(ConfigurationError, match="is_async of a queue") as refused:
        Queue("important", connection=Connection("pages"), is_async=False)
    assert "eager" in str(refused.value.hint)
    with pytest.raises(ConfigurationError, match="serializer of a queue"):
        Queue("important", connection=Connection("pages"), serializer="json")
    with pytest.raises(OptionError):
        Queue("no name", connection=Connection("pages"))


def test_emptying_and_what_a_queue_has_not(jobs):
    """RQ's other attributes say what there is in their place."""
    queue, module = jobs
    queue.enqueue(module.add, 1)
    queue.enqueue_in(timedelta(hours=1), module.add, 2)
    queue.empty()
    stats = queue.connection.queue(queue.name).stats()
    assert (0, 0, 0) == (queue.count, stats.ready, stats.delayed)
    with pytest.raises(AttributeError, match="has no 'failed_job_registry'; hint: cloudq dlq list"):
        _ = queue.failed_job_registry
    with pytest.raises(AttributeError, match="cloudq's own handle"):
        _ = queue.nobody
