"""A job that fails is dead at once, as in RQ, unless its enqueue said how often it runs again."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
import rq
from rq.job import Job as RqJob

from cloudq.compat.rq import Connection, Retry
from cloudq.compat.rq.retrying import HEADER, POLICY, read, retried
from cloudq.core.outcome import DeadLettered, Retried
from cloudq.errors import OptionError, WorkerDied
from cloudq.tasks.context import Context, Running
from cloudq.testing import sent


@pytest.mark.parametrize(
    ("retry", "header", "delays"),
    [
        (Retry(max=2), "2;0", [0, 0, None]),
        (Retry(max=3, interval=60), "3;60", [60, 60, 60, None]),
        (Retry(max=4, interval=[10, 30]), "4;10,30", [10, 10, 10, 30, None]),
        (Retry(max=2, interval=[10, 30, 60]), "2;10,30,60", [30, 60, None]),
        (Retry(max=1, interval=[]), "1;0", [0, None]),
    ],
)
def test_it_travels_as_a_header_and_arrives_as_it_was(retry, header, delays):
    """The last interval is for the last time, as in RQ."""
    assert header == retry.header()
    arrived = read(header)
    for one in (retry, arrived):
        assert one is not None
        expected = [None if delay is None else timedelta(seconds=delay) for delay in delays]
        assert expected == [one.after(attempt) for attempt in range(1, len(delays) + 1)]


@pytest.mark.parametrize(
    ("most", "interval"), [(1, 5), (3, 60), (3, [10, 30, 60]), (4, [10, 30]), (2, [10, 30, 60]), (5, [0, 1])]
)
def test_each_time_has_the_interval_that_rq_gives_it(most, interval):
    """Asked of RQ's own code, for runs that raise and for those that return a Retry."""
    job, ours, theirs = RqJob(connection=object()), Retry(most, interval), rq.Retry(most, interval)
    job.retry_intervals = theirs.intervals
    for attempt in range(1, most + 1):
        job.retries_left = most + 1 - attempt
        assert ours.after(attempt) == timedelta(seconds=job.get_retry_interval())
        assert ours.after_returned(attempt) == timedelta(seconds=rq.Retry.get_interval(attempt - 1, theirs.intervals))
    assert ours.after(most + 1) is None
    assert ours.after_returned(most + 1) is None


@pytest.mark.parametrize(
    "header",
    [None, "", "3", "3;", ";1", "0;1", "51;1", "3;-1", "3;99999999", "3;1,", "٣;1", "3;1\n", "3;" + "1," * 60 + "1"],
)
def test_what_it_never_writes_is_no_retry(header):
    """A message may be a stranger's: it gets no run more, and no error either."""
    assert read(header) is None


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"max": 0}, "max of Retry is a number from 1 to 50"),
        ({"max": 51}, "max of Retry"),
        ({"max": "3"}, "max of Retry"),
        ({"max": 1, "interval": -1}, "interval of Retry"),
        ({"max": 1, "interval": [1.5]}, "interval of Retry"),
        ({"max": 1, "interval": [0] * 51}, "interval of Retry"),
        ({"max": 1, "enqueue_at_front": True}, "enqueue_at_front of Retry can't be honoured"),
    ],
)
def test_what_is_out_of_bounds_is_refused(given, words):
    """When it is made, not when a job fails."""
    with pytest.raises(OptionError, match=words):
        Retry(**given)


def test_jobs_run_again_as_they_were_told(jobs):
    """Sync and async, for any error, then they are dead with the last one; without a Retry at once."""
    queue, module = jobs
    for function in (module.fails, module.afails):
        queue.enqueue(function, "a", retry=Retry(max=2, interval=[5, 7]))
        began = queue.connection.clock.now()
        report = module.run_all(queue.connection)
        assert ["a"] * 3 == module.ran
        assert timedelta(seconds=12) == queue.connection.clock.now() - began
        [dead] = report.dead_letters
        assert "ValueError: a is broken" in dead.failure.reason
        module.ran.clear()
        queue.enqueue(function, "b")
        assert 1 == len(module.run_all(queue.connection).dead_letters)
        assert ["b"] == module.ran
        module.ran.clear()


@pytest.mark.parametrize("name", ["exits", "awaits_what_is_cancelled"])
def test_what_is_no_exception_fails_a_job_like_any_other(jobs, name):
    """`sys.exit`, and a cancellation that the job brought on itself: as with RQ, they are retried as it was told."""
    queue, module = jobs
    queue.enqueue(getattr(module, name), retry=Retry(max=2, interval=5))
    assert 1 == len(module.run_all(queue.connection).dead_letters)
    assert [name] * 3 == module.ran


def test_a_job_that_is_cancelled_from_outside_has_not_failed(jobs):
    """Its worker stops: the cancellation goes through, and nothing is asked for."""
    queue, module = jobs
    queue.enqueue(module.waits, retry=Retry(max=2))
    [message] = sent(queue.connection)

    async def stopped():
        with Running(Context(message)):
            job = asyncio.create_task(retried(module.waits)())
            await asyncio.sleep(0)
            job.cancel()
            await job

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(stopped())
    assert ["waits"] == module.ran


@pytest.mark.parametrize("attempt", [1, 50])
def test_a_job_whose_process_died_goes_to_another_worker(attempt):
    """With a `Retry` or without one: that isn't a failure of the job's."""
    assert isinstance(POLICY.decide(WorkerDied("killed"), attempt=attempt, age=timedelta(0)), Retried)


def test_a_job_that_kills_every_process_is_dead_in_the_end():
    """After as many runs as any `Retry` allows."""
    assert isinstance(POLICY.decide(WorkerDied("killed"), attempt=51, age=timedelta(0)), DeadLettered)


def test_a_forged_header_gives_no_run_more(jobs):
    """As if it weren't there."""
    queue, module = jobs
    task = queue.connection.job_task(module.fails)
    task.options(queue=queue.name, headers={HEADER: "99;0"}).send("a")
    assert 1 == len(module.run_all(queue.connection).dead_letters)
    assert ["a"] == module.ran


def test_a_function_may_ask_for_itself(jobs):
    """`cloudq.Retry`, with its own delay."""
    queue, module = jobs
    queue.enqueue(module.asks, retry=Retry(max=1, interval=1000))
    began = queue.connection.clock.now()
    assert not module.run_all(queue.connection).dead_letters
    assert timedelta(seconds=3) == queue.connection.clock.now() - began


def test_a_function_may_give_itself_up(jobs):
    """`cloudq.DeadLetter` is the last word, whatever its enqueue said of what raises."""
    queue, module = jobs
    queue.enqueue(module.gives_up, retry=Retry(max=3))
    [dead] = module.run_all(queue.connection).dead_letters
    assert ([1], "no use") == (module.ran, dead.failure.reason)


def test_a_broken_transaction_is_not_repeated(jobs):
    """What was kept of it would be done twice."""
    queue, module = jobs
    queue.enqueue(module.breaks_its_transaction, retry=Retry(max=3))
    assert 1 == len(module.run_all(queue.connection).dead_letters)
    assert [1] == module.ran


@pytest.mark.parametrize("name", ["returns_retry", "areturns_retry"])
def test_a_job_that_returns_a_retry_runs_again_without_having_failed(jobs, name):
    """As often as it says, after its intervals; then it is dead, and its reason says why."""
    queue, module = jobs
    queue.enqueue(getattr(module, name), 5)
    began = queue.connection.clock.now()
    report = module.run_all(queue.connection)
    assert [1, 2, 3] == module.ran
    assert timedelta(seconds=12) == queue.connection.clock.now() - began
    [dead] = report.dead_letters
    assert "as often as its max says: 2" in dead.failure.reason


def test_a_job_that_returns_a_retry_may_be_done_the_next_time(jobs):
    """The value of that run is the job's."""
    queue, module = jobs
    queue.enqueue(module.returns_retry, 2)
    assert not module.run_all(queue.connection, raise_errors=False).dead_letters
    assert [1, 2] == module.ran


def test_a_direct_call_is_the_functions_own(module):
    """No message is there that could be handed over again: what it raises or returns is the caller's."""
    connection = Connection("rq_functions", result_ttl=None)
    with pytest.raises(ValueError, match="a is broken"):
        connection.job_task(module.fails)("a")
    assert isinstance(connection.job_task(module.returns_retry)(9), Retry)
