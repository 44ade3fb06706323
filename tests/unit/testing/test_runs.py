"""`run_all`: everything is worked off as a worker would, without waiting."""

from __future__ import annotations

import asyncio
import sys
import threading
from datetime import UTC, datetime, timedelta

import pytest
from tenacity import retry_if_exception_type, stop_after_attempt, wait_fixed

import cloudq
from cloudq import Acked, App, Context, DeadLetter, DeadLettered, Retried, Retry, RetryPolicy
from cloudq.core.driver import Outgoing
from cloudq.core.message import Message
from cloudq.errors import BackendError, PayloadError
from cloudq.testing import in_memory, run_all, sent
from cloudq.testing.profiles import cloud_tasks_like, service_bus_like, sqs_like

HOUR = timedelta(hours=1)
PROFILES = {"memory": None, "sqs": sqs_like, "cloud tasks": cloud_tasks_like, "service bus": service_bus_like}


@pytest.fixture(params=PROFILES.values(), ids=PROFILES)
def app(request):
    """An app in memory, with the capabilities of each kind of backend."""
    with in_memory(App(retry=RetryPolicy(wait=wait_fixed(600))), capabilities=request.param) as app:
        yield app


def test_everything_runs_in_order_and_nothing_is_left(app):
    """Sync and async tasks, those that other tasks send, too."""
    ran = []

    @app.task("sync")
    def sync(n: int) -> None:
        ran.append(n)
        if n < 3:
            asynchronous.send(n + 1)

    @app.task("async")
    async def asynchronous(n: int) -> None:
        await asyncio.sleep(0)
        ran.append(n)
        await sync.asend(n + 1)

    sync.send(1)
    report = run_all(app)
    assert [1, 2, 3] == ran
    assert ["sync", "async", "sync"] == report.tasks
    assert [Acked()] * 3 == [run.outcome for run in report.runs]
    assert () == report.dead_letters
    stats = app.queue("default").stats()
    assert (0, 0, 0) == (stats.ready, stats.delayed, stats.in_flight)


def test_nothing_to_run_is_a_report_too(app):
    """Twice running everything runs it once."""
    app.task("t")(lambda: None).send()
    assert ["t"] == run_all(app).tasks
    report = run_all(app)
    assert ([], "nothing was there to run") == (report.tasks, str(report))


def test_a_queue_keeps_the_order_of_sending(app):
    """Among those of one queue; all queues run, those that no task declares too."""
    ran = []
    app.strict_queues = False

    @app.task("t", queue="declared")
    def task(n: int) -> None:
        ran.append((cloudq.current().queue, n))

    for n in range(5):
        task.send(n)
        task.options(queue="undeclared").send(n)
    run_all(app)
    for queue in ("declared", "undeclared"):
        assert list(range(5)) == [n for ran_in, n in ran if ran_in == queue]


def test_delays_do_not_wait(app):
    """The clock moves on to each message's time, and no further; hops of a backend are no runs."""
    ran = []

    @app.task("t")
    def task(hours: int) -> None:
        ran.append((hours, app.clock.now() - start))

    start = app.clock.now()
    for hours in (3, 1, 60 * 24):
        task.options(delay=hours * HOUR).send(hours)
    report = run_all(app)
    assert [(1, HOUR), (3, 3 * HOUR), (1440, 1440 * HOUR)] == ran
    assert [1, 1, 1] == [run.attempt for run in report.runs]
    assert start + 1440 * HOUR == app.clock.now()


def test_only_what_is_due_runs_if_that_is_wanted(app):
    """`delayed=False` moves no clock; the test may."""
    ran = []
    task = app.task("t")(lambda n: ran.append(n))  # noqa: PLW0108 - a signature is needed
    task.send(1)
    task.options(delay=HOUR).send(2)
    start = app.clock.now()
    assert 1 == len(run_all(app, delayed=False).runs)
    assert (start, [1]) == (app.clock.now(), ran)
    app.clock.advance(HOUR)
    run_all(app, delayed=False)
    assert [1, 2] == ran


def test_a_failure_is_retried_as_the_policy_says(app):
    """Attempts count, back-offs pass, and it may succeed in the end."""
    ran = []

    @app.task("t")
    def task(context: Context) -> None:
        ran.append((context.attempt, app.clock.now() - start))
        if context.attempt < 3:
            raise ConnectionError("not yet")

    start = app.clock.now()
    task.send()
    report = run_all(app)
    ten = timedelta(minutes=10)
    assert [(1, 0 * ten), (2, ten), (3, 2 * ten)] == ran
    assert [Retried, Retried, Acked] == [type(run.outcome) for run in report.runs]
    assert ["not yet"] * 2 == [str(error) for error in report.errors]
    assert () == report.dead_letters


def test_what_fails_for_good_is_a_dead_letter_with_its_reason(app):
    """Attempts used up, an error not worth a retry, DeadLetter raised, an unknown task, poison, a wrong payload."""
    own = RetryPolicy(stop=stop_after_attempt(2), wait=wait_fixed(1), retry=retry_if_exception_type(OSError))

    @app.task("t", retry=own)
    def task(what: str) -> None:
        raise {"os": OSError("disk"), "value": ValueError("odd"), "dead": DeadLetter("never")}[what]

    for what in ("os", "value", "dead"):
        task.send(what)
    app.send("unknown")
    app.driver().send([Outgoing(id="raw", queue="default", body=b"no message")])
    other = App()
    with other.using(app.driver(), clock=app.clock):
        other.send("t", {"what": 5})
    report = run_all(app)
    reasons = [dead.failure.reason for dead in report.dead_letters]
    assert 6 == len(reasons)
    for reason in (
        "gave up after 2 attempts: OSError: disk",
        "not retried: ValueError: odd",
        "never",
        "unknown task 'unknown'",
        "undecodable",
        "payload: t: what: Expected `str`, got `int`",
    ):
        assert [found for found in reasons if found.startswith(reason)], (reason, reasons)
    assert 7 == len(report.runs)
    assert PayloadError in {type(error) for error in report.errors}


def test_nobody_is_waited_for_who_would_know_a_task(app):
    """An unknown one is dead at once, and the clock stays where it is."""
    app.send("unknown")
    began = app.clock.now()
    [run] = run_all(app).runs
    assert "dead_lettered: unknown task 'unknown': none is declared" in str(run)
    assert began == app.clock.now()


def test_a_report_has_its_own_dead_letters_only(app):
    """Those of an earlier one aren't told again; all are in the queue."""
    task = app.task("t")(lambda: (_ for _ in ()).throw(DeadLetter("no")))
    task.send()
    assert 1 == len(run_all(app).dead_letters)
    task.send()
    assert 1 == len(run_all(app).dead_letters)
    assert 2 == len(list(app.queue("default").dead_letters))
    assert 2 == app.queue("default").dead_letters.redrive().redriven
    assert 2 == len(run_all(app).dead_letters)


def test_a_report_is_readable(app):
    """A line for each run, for an assertion's message."""

    @app.task("shop.pay")
    def pay(context: Context) -> None:
        if context.attempt == 1:
            raise Retry("bank is closed", delay=HOUR)
        raise DeadLetter("no such account")

    pay.send()
    app.driver().send([Outgoing(id="raw", queue="default", body=b"no message")])
    lines = str(run_all(app)).splitlines()
    assert "shop.pay, attempt 1: retried after 1:00:00: bank is closed" == lines[0]
    assert lines[1].startswith("(undecodable), attempt 1: dead_lettered: undecodable")
    assert "shop.pay, attempt 2: dead_lettered: no such account" == lines[2]


def test_errors_are_raised_if_that_is_wanted(app):
    """The very exception, once its message is settled; what is left can be run afterwards."""
    error = ConnectionError("x")
    ran = []

    @app.task("t", queue="a")
    def task(fail: bool) -> None:
        ran.append(fail)
        if fail:
            raise error

    @app.task("async", queue="b")
    async def asynchronous() -> None:
        raise error

    task.send(True)
    task.send(False)
    asynchronous.send()
    for _ in range(2):
        with pytest.raises(ConnectionError) as caught:
            run_all(app, raise_errors=True, delayed=False)
        assert error is caught.value
    run_all(app, delayed=False)
    assert [True, False] == ran
    assert 2 == app.queue("a").stats().delayed + app.queue("b").stats().delayed, "both wait for their retry"


def test_the_middleware_is_around_every_run(app):
    """As in the worker: it sees retries and may change what becomes of a run."""
    seen = []

    def middleware(context: Context):
        outcome = yield
        seen.append((context.task, context.attempt, type(outcome).__name__))
        return DeadLettered(reason="enough", failure=outcome.failure) if context.attempt == 2 else outcome

    app.middleware = (middleware,)  # configure() is for apps whose backend isn't open

    @app.task("t")
    def task() -> None:
        raise ConnectionError

    task.send()
    assert ["enough"] == [run.outcome.reason for run in run_all(app).runs[1:]]
    assert [("t", 1, "Retried"), ("t", 2, "Retried")] == seen


def test_what_never_ends_is_ended(app):
    """A task that sends itself again is named."""

    @app.task("again")
    def again() -> None:
        again.options(delay=HOUR).send()

    again.send()
    with pytest.raises(RuntimeError, match="after 50 runs there is still something to run; again ran 50 times"):
        run_all(app, max_runs=50)


def test_exactly_as_many_runs_as_allowed_are_no_error(app):
    """The bound is on runs, not on looking."""
    task = app.task("t")(lambda: None)
    for _ in range(3):
        task.send()
    assert 3 == len(run_all(app, max_runs=3).runs)


def test_an_ordered_queue_keeps_its_order_through_retries():
    """The head of a key that fails holds its followers up, and no other key."""
    ran = []
    with in_memory(App(retry=RetryPolicy(wait=wait_fixed(30)))) as app:

        @app.task("t", queue="q.fifo", ordering_key="{key}")
        def task(context: Context, key: str, n: int) -> None:
            ran.append((key, n, context.attempt))
            if (key, n) == ("a", 1) and context.attempt == 1:
                raise ConnectionError

        for n in (1, 2):
            task.send("a", n)
            task.send("b", n)
        run_all(app)
    assert [("a", 1, 1), ("b", 1, 1), ("b", 2, 1), ("a", 1, 2), ("a", 2, 1)] == ran


def test_async_tasks_share_one_loop(monkeypatch):
    """What one leaves on the loop another finds. (Where Django is loaded each has asgiref's.)"""
    monkeypatch.delitem(sys.modules, "django", raising=False)  # another test of this process may have loaded it
    loops = []
    with in_memory(App()) as app:

        @app.task("t")
        async def task() -> None:
            loops.append(asyncio.get_running_loop())

        task.send()
        task.send()
        run_all(app)
    assert 1 == len(set(loops))
    assert 2 == len(loops)


def test_within_a_running_loop_it_works_too():
    """An async test may call it: everything runs in another thread, without a warning for a task's own send."""
    ran = []
    with in_memory(App()) as app:

        @app.task("sync")
        def sync() -> None:
            ran.append(("sync", threading.current_thread() is threading.main_thread()))
            asynchronous.send()

        @app.task("async")
        async def asynchronous() -> None:
            await asyncio.sleep(0)
            ran.append(("async", threading.current_thread() is threading.main_thread()))

        async def test() -> None:
            await sync.asend()
            assert ["sync", "async"] == run_all(app).tasks

        asyncio.run(test())
    assert [("sync", False), ("async", False)] == ran


def test_a_task_may_move_the_clock():
    """Nobody renews a lease here, so it must not end meanwhile."""
    with in_memory(App()) as app:
        task = app.task("t")(lambda: app.clock.advance(24 * HOUR))
        task.send()
        assert ["t"] == run_all(app).tasks
        assert 0 == app.queue("default").stats().ready


def test_a_copy_that_cannot_be_stored_is_an_error(monkeypatch):
    """The message isn't lost, and the test hears of it."""
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda seconds: None)
    with in_memory(App(), capabilities=sqs_like) as app:
        app.send("unknown")
        queue = app.queue("default")
        monkeypatch.setattr(
            queue, "store_copies", lambda copies: [cloudq.core.driver.SendResult(error=BackendError("full"))]
        )
        with pytest.raises(BackendError, match="full"):
            run_all(app)
        assert 1 == queue.stats().delayed


def test_messages_of_other_languages_run():
    """Whatever stores a CloudEvent is a producer."""
    ran = []
    with in_memory(App()) as app:
        app.task("t")(lambda n: ran.append(n))  # noqa: PLW0108 - a signature is needed
        body = b'{"specversion":"1.0","id":"1","source":"curl","type":"t","data":{"n":7}}'
        app.driver().send([Outgoing(id="1", queue="q", body=body)])
        report = run_all(app)
        assert [7] == ran
        assert isinstance(report.runs[0].message, Message)
        assert ["t"] == [message.task for message in sent(app)]


@pytest.mark.parametrize("delay", [timedelta(days=2_900_000), timedelta(days=3_000_000), timedelta.max])
def test_a_retry_beyond_the_end_of_time_is_due_at_it(delay):
    """No date overflows, and nothing runs without end: the clock stops at the last moment that there is."""
    app, left = App("sqs://never-opened", longest_delay=timedelta.max), [1, 2]

    @app.task("t")
    def task() -> None:
        if left:
            left.pop()
            raise cloudq.Retry(delay=delay)

    with in_memory(app):
        task.send()
        report = run_all(app)
        assert app.clock.now().year == 9999 or delay < timedelta(days=2_913_000)
    assert [1, 2, 3] == [run.attempt for run in report.runs]


def test_a_message_may_be_due_at_the_last_moment():
    """`at` takes any moment that there is, where the app does."""
    app, ran = App("sqs://never-opened", longest_delay=timedelta.max), []
    task = app.task("t")(lambda n: ran.append(n))  # noqa: PLW0108 - a signature is needed
    with in_memory(app):
        task.options(at=datetime.max.replace(tzinfo=UTC)).send(1)
        task.send(0)
        run_all(app)
    assert [0, 1] == ran
