"""The function as Lambda calls it, over an SQS that behaves like the service's."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from contextvars import ContextVar
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tenacity import stop_after_attempt, wait_fixed

from cloudq import App, Context, DeadLetter, RetryPolicy
from cloudq.aws_lambda import handler
from cloudq.core.failure import Failure
from cloudq.drivers.memory import MemoryDriver
from cloudq.drivers.sqs import bodies
from cloudq.errors import BatchFailed, ConfigurationError, PushRefused, TimeLimitExceeded
from tests.unit.aws_lambda.fakes import URL, Invocation, Mapping
from tests.unit.drivers.sqs.fakes import client_error

SECOND = timedelta(seconds=1)
SOON = RetryPolicy(wait=wait_fixed(7))
LATE = RetryPolicy(wait=wait_fixed(300))
ONCE = RetryPolicy(stop=stop_after_attempt(1))


def ids(event: dict) -> list[str]:
    return [record["messageId"] for record in event["Records"]]


# ── what becomes of a record ─────────────────────────────────────────────────────────────────────────────


def test_done_records_are_left_out_and_nothing_is_called(mapping: Mapping) -> None:
    """The service deletes them: a batch without failures costs no call."""
    ran = []

    @mapping.app.task("t")
    def t(n: int) -> None:
        ran.append(n)

    for n in range(10):
        mapping.app.send("t", {"n": n})
    assert [] == mapping.invoke(handler(mapping.app), mapping.receive())
    assert list(range(10)) == ran
    assert [] == mapping.calls
    assert [] == mapping.messages("default")


def test_no_client_is_made_where_none_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the driver nor the SDK's client is opened for a batch that succeeds."""
    made = Mapping()
    with made.connected():
        made.app.send("t")
        event = made.receive()

    def refused(*_: object) -> None:
        raise AssertionError("a client is made")

    monkeypatch.setattr("cloudq.drivers.sqs.driver.open_client", refused)
    made.app.task("t")(lambda: None)
    assert {"batchItemFailures": []} == handler(made.app)(event, Invocation(made.clock))
    assert not made.app.is_open


def test_a_short_retry_waits_by_its_visibility(mapping: Mapping) -> None:
    """The record is returned as failed, after its receipt handle was given the delay."""
    mapping.app.task("t", retry=SOON)(_fails)
    mapping.app.send("t")
    event = mapping.receive()
    assert ids(event) == mapping.invoke(handler(mapping.app), event)
    assert {event["Records"][0]["receiptHandle"]: 7} == mapping.visibilities()
    assert ["ChangeMessageVisibilityBatch"] == mapping.operations()
    assert 1 == len(mapping.messages("default"))


def test_a_long_retry_is_stored_as_a_copy(mapping: Mapping) -> None:
    """Beyond a minute the next attempt is a message of its own, and the record is left out."""
    mapping.app.task("t", retry=LATE)(_fails)
    mapping.app.send("t")
    assert [] == mapping.invoke(handler(mapping.app), mapping.receive())
    assert ["SendMessageBatch"] == mapping.operations()
    assert 300 == mapping.calls[0][1]["Entries"][0]["DelaySeconds"]
    (copy,) = mapping.messages("default")
    assert (1, 1) == (json.loads(copy["Body"])["attemptbase"], json.loads(copy["Body"])["generation"])
    assert "boom" in copy["MessageAttributes"][bodies.FAILURE]["StringValue"]


def test_a_dead_letter_is_stored_with_its_details(mapping: Mapping) -> None:
    """The copy lies in the dead-letter queue, body unchanged, and the record is left out."""
    mapping.app.task("t", retry=ONCE)(_fails)
    mapping.app.send("t")
    event = mapping.receive()
    assert [] == mapping.invoke(handler(mapping.app), event)
    (dead,) = mapping.messages("default-dlq")
    assert event["Records"][0]["body"] == dead["Body"]
    failure = Failure.decode(dead["MessageAttributes"][bodies.DEAD]["StringValue"])
    assert ("gave up after 1 attempt: RuntimeError: boom", 1) == (failure.reason, failure.attempts)
    assert [] == mapping.messages("default")


def test_what_cannot_be_stored_stays(mapping: Mapping, caplog: pytest.LogCaptureFixture) -> None:
    """A record whose copy isn't stored is returned as failed: nothing is lost."""
    mapping.app.task("t", retry=ONCE)(_fails)
    for _ in range(2):
        mapping.app.send("t")
    event = mapping.receive()
    mapping.sqs.fail_item = lambda operation, item: (
        ("InvalidParameterValue", True) if operation == "SendMessageBatch" and item["Id"] == "0" else None
    )
    assert ids(event)[:1] == mapping.invoke(handler(mapping.app), event)
    assert {event["Records"][0]["receiptHandle"]: 30} == mapping.visibilities()
    assert 1 == len(mapping.messages("default-dlq"))
    assert "could not be stored" in caplog.text


def test_a_visibility_that_cannot_be_changed_is_logged(mapping: Mapping, caplog: pytest.LogCaptureFixture) -> None:
    """The record is returned as failed all the same, and comes back when the queue's own timeout is over."""
    mapping.app.task("t", retry=SOON)(_fails)
    mapping.app.send("t")
    event = mapping.receive()
    mapping.sqs.fail = lambda operation: (
        client_error("AccessDenied", status=403) if operation == "ChangeMessageVisibilityBatch" else None
    )
    assert ids(event) == mapping.invoke(handler(mapping.app), event)
    assert "comes back later: queue 'default': AccessDenied" in caplog.text


def test_failures_share_their_calls(mapping: Mapping) -> None:
    """Ten a call, for dead letters and for delays alike, in a batch of twenty-five."""
    mapping.app.task("dead", retry=ONCE)(_fails)
    mapping.app.task("again", retry=SOON)(_fails)
    for n in range(25):
        mapping.app.send("dead" if n % 5 == 0 else "again")
    event = mapping.receive(limit=25)
    assert 20 == len(mapping.invoke(handler(mapping.app), event))
    assert 5 == len(mapping.messages("default-dlq"))
    assert {"SendMessageBatch": 3, "ChangeMessageVisibilityBatch": 3} == {
        name: mapping.operations().count(name) for name in mapping.operations()
    }


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("no JSON", "undecodable: "),
        ('{"specversion": "1.0", "id": "1", "source": "/x", "type": "other", "data": {}}', "unknown task 'other'"),
        ('{"specversion": "1.0", "id": "1", "source": "/x", "type": "t", "data": {"m": 1}}', "payload: "),
    ],
)
def test_poison_is_dead_lettered(mapping: Mapping, body: str, reason: str) -> None:
    """What can't be run ends in the dead-letter queue with the reason, its text unchanged."""
    mapping.app.unknown_task_patience = timedelta(0)
    mapping.app.task("t")(lambda n: None)
    mapping.app.send("t", {"n": 1})
    event = mapping.receive()
    event["Records"][0]["body"] = body
    assert [] == mapping.invoke(handler(mapping.app), event)
    (dead,) = mapping.messages("default-dlq")
    assert body == dead["Body"]
    assert Failure.decode(dead["MessageAttributes"][bodies.DEAD]["StringValue"]).reason.startswith(reason)


def test_an_unknown_task_goes_back_by_a_copy(mapping: Mapping) -> None:
    """In its first attempt still, in a while, for whoever knows it; the record itself is done with."""
    mapping.app.task("t")(lambda n: None)
    mapping.app.send("other", {}, queue="default")
    assert [] == mapping.invoke(handler(mapping.app), mapping.receive())
    assert [] == mapping.messages("default-dlq")
    copy = mapping.messages("default")[-1]
    failure = Failure.decode(copy["MessageAttributes"][bodies.FAILURE]["StringValue"])
    assert "unknown task 'other': known: t" == failure.reason
    assert None is not failure.unknown_since
    assert 0 == json.loads(copy["Body"]).get("attemptbase", 0)


def test_attempts_are_counted_by_the_service(mapping: Mapping) -> None:
    """The context has the receive count on top of the copies' attempts; raw is the record."""
    seen: list[Context] = []

    @mapping.app.task("t")
    def t(context: Context) -> None:
        seen.append(context)

    mapping.app.send("t")
    event = mapping.receive()
    event["Records"][0]["attributes"]["ApproximateReceiveCount"] = "3"
    body = json.loads(event["Records"][0]["body"])
    event["Records"][0]["body"] = json.dumps(body | {"attemptbase": 2, "generation": 1})
    assert [] == mapping.invoke(handler(mapping.app), event)
    assert (5, 3, event["Records"][0]) == (seen[0].attempt, seen[0].deliveries, seen[0].raw)


def test_records_that_were_never_started_are_no_poison(mapping: Mapping) -> None:
    """What was often handed back for want of time runs; what was handed over a hundred times is stopped."""
    ran = []
    mapping.app.task("t")(lambda: ran.append(1))
    for count in ("60", "101"):
        mapping.app.send("t")
        event = mapping.receive()
        event["Records"][0]["attributes"]["ApproximateReceiveCount"] = count
        assert [] == mapping.invoke(handler(mapping.app), event)
    assert [1] == ran
    (dead,) = mapping.messages("default-dlq")
    assert "worker died or lease expired" in dead["MessageAttributes"][bodies.DEAD]["StringValue"]


def test_a_message_that_was_handed_over_twice_is_named_once(mapping: Mapping) -> None:
    """Lambda takes an id that is named twice for an invalid answer."""
    mapping.app.task("t", retry=SOON)(_fails)
    mapping.app.send("t")
    event = mapping.receive()
    event["Records"].append(event["Records"][0])
    assert ids(event)[:1] == mapping.invoke(handler(mapping.app), event)


# ── tasks of every kind ──────────────────────────────────────────────────────────────────────────────────


def test_async_tasks_share_one_loop_over_invocations(mapping: Mapping) -> None:
    """What a task opened on its loop works in the next invocation, too."""
    loops = []

    @mapping.app.task("t")
    async def t() -> None:
        loops.append(asyncio.get_running_loop())
        await asyncio.sleep(0)

    function = handler(mapping.app)
    for _ in range(2):
        mapping.app.send("t")
        mapping.app.send("t")
        assert [] == mapping.invoke(function, mapping.receive())
    assert 4 == len(loops)
    assert 1 == len(set(loops))


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_concurrency_runs_so_many_at_once(mapping: Mapping, kind: str) -> None:
    """Three tasks that wait for each other end, of either kind."""
    barrier = threading.Barrier(3)
    together: list[asyncio.Event] = []

    def sync_task() -> None:
        barrier.wait(20)

    async def async_task() -> None:
        event = asyncio.Event()
        together.append(event)
        if len(together) == 3:
            for one in together:
                one.set()
        await asyncio.wait_for(event.wait(), 20)

    mapping.app.task("t")(sync_task if kind == "sync" else async_task)
    for _ in range(3):
        mapping.app.send("t")
    assert [] == mapping.invoke(handler(mapping.app, concurrency=3), mapping.receive())


def test_one_after_the_other_is_the_default(mapping: Mapping) -> None:
    """A task sees no other one running."""
    running = threading.Semaphore(1)

    @mapping.app.task("t")
    def t() -> None:
        assert running.acquire(blocking=False)
        running.release()

    for _ in range(5):
        mapping.app.send("t")
    assert [] == mapping.invoke(handler(mapping.app), mapping.receive())


def test_a_task_that_ends_its_interpreter_is_a_failure(mapping: Mapping) -> None:
    """SystemExit ends neither the function nor the batch."""

    @mapping.app.task("exits", retry=SOON)
    def exits() -> None:
        raise SystemExit(1)

    mapping.app.task("t")(lambda: None)
    mapping.app.send("exits")
    mapping.app.send("t")
    event = mapping.receive()
    mapping.invoke(handler(mapping.app), event)
    assert 1 == len(mapping.messages("default")) + len(mapping.messages("default-dlq"))


def test_what_a_task_leaves_in_a_context_variable_is_its_own(mapping: Mapping) -> None:
    """The next task of the thread doesn't see it."""
    variable: ContextVar[str] = ContextVar("variable", default="none")
    seen = []

    @mapping.app.task("t")
    def t() -> None:
        seen.append(variable.get())
        variable.set("mine")

    mapping.app.send("t")
    mapping.app.send("t")
    mapping.invoke(handler(mapping.app), mapping.receive())
    assert ["none", "none"] == seen


def test_a_task_may_send(mapping: Mapping) -> None:
    """What a task sends is on its way when the function answers."""
    mapping.app.task("second")(lambda: None)
    mapping.app.task("first")(lambda: mapping.app.send("second") and None)
    mapping.app.send("first")
    assert [] == mapping.invoke(handler(mapping.app), mapping.receive())
    assert ["second"] == [json.loads(message["Body"])["type"] for message in mapping.messages("default")]


# ── the function's time ──────────────────────────────────────────────────────────────────────────────────


def test_what_does_not_fit_is_returned_untouched(mapping: Mapping, caplog: pytest.LogCaptureFixture) -> None:
    """Once the time left is shorter than a task's time limit, it isn't started, and nothing is called for it."""
    ran = []

    @mapping.app.task("t", time_limit=10 * SECOND)
    def t(n: int) -> None:
        ran.append(n)
        mapping.clock.advance(9 * SECOND)

    for n in range(5):
        mapping.app.send("t", {"n": n})
    event = mapping.receive()
    # 30 s less 3 in reserve: the third task would begin after 18 s, with 9 s left.
    assert ids(event)[2:] == mapping.invoke(handler(mapping.app), event)
    assert [0, 1] == ran
    assert [] == mapping.calls
    assert "3 records were not started" in caplog.text


def test_a_shorter_task_may_still_start(mapping: Mapping) -> None:
    """What fits in the time that is left is run, though others of the batch don't fit."""
    ran = []

    @mapping.app.task("long", time_limit=20 * SECOND)
    def long() -> None:
        ran.append("long")
        mapping.clock.advance(19 * SECOND)

    mapping.app.task("short", time_limit=SECOND)(lambda: ran.append("short"))
    for task in ("long", "long", "short"):
        mapping.app.send(task)
    event = mapping.receive()
    assert ids(event)[1:2] == mapping.invoke(handler(mapping.app), event)
    assert ["long", "short"] == ran


def test_the_deadline_is_the_functions_or_the_tasks(mapping: Mapping) -> None:
    """The context says when the task is stopped: at its time limit, or in time for the answer."""
    deadlines = []

    @mapping.app.task("limited", time_limit=5 * SECOND)
    def limited(context: Context) -> None:
        deadlines.append(context.time_left)

    @mapping.app.task("unlimited")
    def unlimited(context: Context) -> None:
        deadlines.append(context.time_left)

    mapping.app.send("limited")
    mapping.app.send("unlimited")
    mapping.invoke(handler(mapping.app), mapping.receive())
    assert [5 * SECOND, 27 * SECOND] == deadlines


@pytest.mark.parametrize("step", [timedelta(hours=1), timedelta(hours=-1)])
def test_a_clock_that_is_set_changes_no_time_that_is_left(mapping: Mapping, step: timedelta) -> None:
    """Set meanwhile, forwards or backwards: the rest of the batch runs, in the time that there is."""
    left: list[timedelta | None] = []

    @mapping.app.task("first")
    def first() -> None:
        mapping.clock.advance(2 * SECOND)
        mapping.clock.step(step)

    @mapping.app.task("second")
    def second(context: Context) -> None:
        left.append(context.time_left)

    mapping.app.send("first")
    mapping.app.send("second")
    event = mapping.receive()
    assert [] == mapping.invoke(handler(mapping.app, concurrency=1), event, timeout=30 * SECOND)
    assert [25 * SECOND] == left


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_task_is_stopped_before_the_function_is_killed(mapping: Mapping, kind: str) -> None:
    """What had succeeded before it is left out of the answer; it itself failed, as at a time limit."""
    raised = []

    def spin(until: float) -> None:
        # A function of its own: see "Time limits" in how-to/run-a-worker.md.
        while time.monotonic() < until:
            pass

    def sync_task() -> None:
        try:
            mapping.clock.advance(27 * SECOND)
            spin(time.monotonic() + 20)
        except TimeLimitExceeded as error:
            raised.append(error)
            raise

    async def async_task() -> None:
        try:
            mapping.clock.advance(27 * SECOND)
            await asyncio.sleep(20)
        except asyncio.CancelledError as error:
            raised.append(error)
            raise

    mapping.app.task("t", retry=SOON)(sync_task if kind == "sync" else async_task)
    mapping.app.task("ok")(lambda: None)
    mapping.app.send("ok")
    mapping.app.send("t")
    event = mapping.receive()
    assert ids(event)[1:] == mapping.invoke(handler(mapping.app), event, timeout=30 * SECOND)
    assert 1 == len(raised)
    assert [7] == list(mapping.visibilities().values())


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_task_that_does_not_stop_is_left_behind(
    mapping: Mapping, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The function answers without it: done work counts, failures are settled, and the handler can see that it lost."""
    go = threading.Event()
    contexts: list[Context] = []

    def sync_task(context: Context) -> None:
        contexts.append(context)
        mapping.clock.advance(28 * SECOND)
        go.wait(20)  # in C: nothing can be raised in it

    async def async_task(context: Context) -> None:
        sync_task(context)

    mapping.app.task("stuck")(sync_task if kind == "sync" else async_task)
    mapping.app.task("ok")(lambda: None)
    mapping.app.task("t", retry=ONCE)(_fails)
    for task in ("ok", "t", "stuck", "ok"):
        mapping.app.send(task)
    event = mapping.receive()
    function = handler(mapping.app)
    assert ids(event)[2:] == mapping.invoke(function, event)
    assert 1 == len(mapping.messages("default-dlq"))
    assert contexts[0].lease_lost.is_set()
    assert "didn't stop at the end of the function's time" in caplog.text

    again = mapping.app.task("async")(_async_ok)
    again.send()
    assert [] == mapping.invoke(function, mapping.receive()), "the next invocation isn't held up"
    go.set()


def test_a_backend_that_hangs_does_not_hold_up_the_answer(mapping: Mapping) -> None:
    """Failures that can't be settled in time are returned as they are."""
    mapping.app.task("t", retry=SOON)(_fails)
    mapping.app.task("ok")(lambda: None)
    mapping.app.send("ok")
    mapping.app.send("t")
    event = mapping.receive()
    go = threading.Event()

    def hang(operation: str) -> None:
        mapping.clock.advance(30 * SECOND)
        go.wait(20)

    mapping.sqs.fail = hang
    answer = handler(mapping.app)(event, Invocation(mapping.clock))
    go.set()
    assert [{"itemIdentifier": ids(event)[1]}] == answer["batchItemFailures"]


# ── FIFO ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_after_a_failure_the_rest_of_its_group_is_untouched(mapping: Mapping) -> None:
    """What follows a failed record of its group isn't run; other groups are."""
    ran = _steps(mapping)
    for key, n in (("a", 1), ("a", 2), ("b", 1), ("a", 3), ("b", 2)):
        mapping.app.send(
            "step", {"key": key, "n": n, "fate": "again" if (key, n) == ("a", 2) else "ok"}, ordering_key=key
        )
    event = mapping.receive("orders.fifo")
    failed = mapping.invoke(handler(mapping.app), event)
    assert [ids(event)[1], ids(event)[3]] == failed
    assert [("a", 1), ("a", 2), ("b", 1), ("b", 2)] == ran
    assert {event["Records"][1]["receiptHandle"]: 300} == mapping.visibilities(), "the delay, also beyond a minute"


def test_a_dead_letter_lets_its_group_go_on(mapping: Mapping) -> None:
    """A record whose dead letter is stored is done with."""
    ran = _steps(mapping)
    for n, fate in ((1, "dead"), (2, "ok")):
        mapping.app.send("step", {"key": "a", "n": n, "fate": fate}, ordering_key="a")
    assert [] == mapping.invoke(handler(mapping.app), mapping.receive("orders.fifo"))
    assert [("a", 1), ("a", 2)] == ran
    assert 1 == len(mapping.messages("orders-dlq.fifo"))


def test_a_group_stops_also_for_want_of_time(mapping: Mapping) -> None:
    """A shorter task of the group doesn't overtake one that wasn't started."""
    ran = []

    @mapping.app.task("long", queue="orders.fifo", time_limit=20 * SECOND)
    def long() -> None:
        ran.append("long")
        mapping.clock.advance(10 * SECOND)

    mapping.app.task("short", queue="orders.fifo")(lambda: ran.append("short"))
    for task, key in (("long", "a"), ("long", "b"), ("short", "b"), ("short", "c")):
        mapping.app.send(task, ordering_key=key)
    event = mapping.receive("orders.fifo")
    assert ids(event)[1:3] == mapping.invoke(handler(mapping.app), event)
    assert ["long", "short"] == ran


FATES = st.sampled_from(["ok", "ok", "ok", "again", "dead", "full"])


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    records=st.lists(st.tuples(st.sampled_from("abc"), FATES), min_size=1, max_size=10),
    concurrency=st.integers(1, 4),
)
def test_nothing_of_a_failed_group_is_settled(records: list[tuple[str, str]], concurrency: int) -> None:
    """For any outcomes: each group runs in order up to its first failure; nothing behind it is run or touched."""
    with Mapping().connected() as mapping:
        ran = _steps(mapping)
        for n, (key, fate) in enumerate(records):
            mapping.app.send("step", {"key": key, "n": n, "fate": fate}, ordering_key=key)
        event = mapping.receive("orders.fifo")
        full = {n for n, (_, fate) in enumerate(records) if fate == "full"}
        mapping.sqs.fail_item = lambda operation, item: (
            ("InvalidMessageContents", True)
            if operation == "SendMessageBatch" and json.loads(item["MessageBody"])["data"]["n"] in full
            else None
        )
        failed = mapping.invoke(handler(mapping.app, concurrency=concurrency), event)
        touched = mapping.visibilities()
        dead = [json.loads(message["Body"])["data"]["n"] for message in mapping.messages("orders-dlq.fifo")]
    for key in {key for key, _ in records}:
        places = [n for n, (own, _) in enumerate(records) if own == key]
        first = next((n for n in places if records[n][1] in {"again", "full"}), len(records))
        assert [n for n in places if n <= first] == [n for own, n in ran if own == key]
        assert [n for n in places if n >= first] == [n for n in places if ids(event)[n] in failed]
        assert [n for n in places if n == first] == [
            n for n in places if event["Records"][n]["receiptHandle"] in touched
        ]
        assert [n for n in places if n < first and records[n][1] == "dead"] == [n for n in sorted(dead) if n in places]


# ── without ReportBatchItemFailures ──────────────────────────────────────────────────────────────────────


def test_without_reports_a_failure_raises_and_done_work_is_deleted(mapping: Mapping) -> None:
    """Lambda deletes nothing of a batch that raised; so what is done is deleted first."""
    mapping.app.task("ok")(lambda: None)
    mapping.app.task("t", retry=SOON)(_fails)
    mapping.app.task("dead", retry=ONCE)(_fails)
    for task in ("ok", "t", "dead"):
        mapping.app.send(task)
    event = mapping.receive()
    with pytest.raises(BatchFailed, match="1 of 3 records failed"):
        mapping.invoke(handler(mapping.app, report_failures=False), event)
    assert ids(event)[1:2] == [message["MessageId"] for message in mapping.messages("default")]
    assert ["SendMessageBatch", "ChangeMessageVisibilityBatch", "DeleteMessageBatch"] == mapping.operations()


def test_without_reports_a_batch_that_succeeds_calls_nothing(mapping: Mapping) -> None:
    """Lambda deletes all of it."""
    mapping.app.task("ok")(lambda: None)
    mapping.app.send("ok")
    assert [] == mapping.invoke(handler(mapping.app, report_failures=False), mapping.receive())
    assert [] == mapping.calls


def test_without_reports_a_delete_that_fails_is_logged(mapping: Mapping, caplog: pytest.LogCaptureFixture) -> None:
    """The record runs again; the batch raises as before."""
    mapping.app.task("ok")(lambda: None)
    mapping.app.task("t", retry=SOON)(_fails)
    mapping.app.send("ok")
    mapping.app.send("t")
    event = mapping.receive()
    mapping.sqs.fail_item = lambda operation, _: ("InternalError", False) if "Delete" in operation else None
    with pytest.raises(BatchFailed):
        mapping.invoke(handler(mapping.app, report_failures=False), event)
    assert "couldn't be deleted, so it runs again" in caplog.text


# ── opening ──────────────────────────────────────────────────────────────────────────────────────────────


def test_nothing_is_opened_before_the_first_invocation() -> None:
    """A handler is made at import, where neither URL nor tasks are known yet; the first event opens the app."""
    app = App("memory://")
    function = handler(app)
    with pytest.raises(ConfigurationError, match="backend is memory://") as caught:
        function({"Records": []}, None)
    assert "CLOUDQ_URL" in str(caught.value.hint)


def test_the_apps_modules_are_imported_at_the_first_invocation(mapping: Mapping) -> None:
    """A module that can't be imported fails the whole batch: nothing of it is lost."""
    mapping.app.imports = ("there_is_no_such_module",)
    mapping.app.send("t")
    with pytest.raises(ConfigurationError, match="there_is_no_such_module"):
        mapping.invoke(handler(mapping.app), mapping.receive())
    assert 1 == len(mapping.messages("default"))


def test_an_event_of_another_kind_is_refused(mapping: Mapping) -> None:
    """Before anything runs, with what to do."""
    with pytest.raises(PushRefused, match="EventBridge"):
        handler(mapping.app)({"detail-type": "t", "source": "s", "detail": {}}, Invocation(mapping.clock))


def test_an_empty_batch_has_no_failures(mapping: Mapping) -> None:
    """Whoever sends one; a context isn't needed to try the function out."""
    assert {"batchItemFailures": []} == handler(mapping.app)({"Records": []})


@pytest.mark.parametrize("concurrency", [0, 101, True, 1.5, None])
def test_a_concurrency_out_of_bounds_is_refused(concurrency: object) -> None:
    """When the handler is made."""
    with pytest.raises(ConfigurationError, match="concurrency is"):
        handler(App(URL), concurrency=concurrency)


def test_another_driver_than_that_of_sqs_is_refused(mapping: Mapping, caplog: pytest.LogCaptureFixture) -> None:
    """An app that was lent one can't settle there; the records stay."""
    mapping.app.task("t", retry=SOON)(_fails)
    mapping.app.send("t")
    event = mapping.receive()
    with mapping.app.using(MemoryDriver(clock=mapping.clock), clock=mapping.clock):
        assert ids(event) == mapping.invoke(handler(mapping.app), event)
    assert "lent a MemoryDriver" in caplog.text


def _fails() -> None:
    raise RuntimeError("boom")


async def _async_ok() -> None: ...


def _steps(mapping: Mapping) -> list[tuple[str, int]]:
    """Declares a task of an ordered queue whose fate the message says; what ran is in the list."""
    ran: list[tuple[str, int]] = []
    lock = threading.Lock()

    @mapping.app.task("step", queue="orders.fifo", retry=LATE)
    def step(key: str, n: int, fate: str) -> None:
        with lock:
            ran.append((key, n))
        if fate == "again":
            raise RuntimeError("boom")
        if fate in {"dead", "full"}:
            raise DeadLetter("boom")

    return ran


def test_threads_that_can_not_be_started_are_done_without(mapping: Mapping, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that there is runs the whole batch, and nothing of it comes back."""
    ran = []

    @mapping.app.task("t")
    def t(n: int) -> None:
        ran.append(n)

    for n in range(5):
        mapping.app.send("t", {"n": n})
    start, started = threading.Thread.start, []

    def one_thread(thread: threading.Thread) -> None:
        if thread.name.startswith("cloudq-task"):
            if started:
                raise RuntimeError("can't start new thread")
            started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", one_thread)
    assert [] == mapping.invoke(handler(mapping.app, concurrency=4), mapping.receive())
    assert [0, 1, 2, 3, 4] == sorted(ran)
