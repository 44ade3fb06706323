"""One invocation: which records stay, how failures are settled, and in what order and time records are run."""

from __future__ import annotations

import asyncio
import json
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloudq import Context, DeadLetter
from cloudq.aws_lambda import handler
from cloudq.errors import BatchFailed
from tests.unit.aws_lambda.fakes import LATE, ONCE, SECOND, SOON, Invocation, Mapping, async_ok, fail, ids
from tests.unit.drivers.sqs.fakes import client_error
from tests.unit.moving import moved
from tests.unit.worker.fakes import give_one_task_thread


def test_what_cannot_be_stored_stays(mapping: Mapping, caplog: pytest.LogCaptureFixture) -> None:
    """A record whose copy isn't stored is returned as failed: nothing is lost."""
    mapping.app.task("t", retry=ONCE)(fail)
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
    mapping.app.task("t", retry=SOON)(fail)
    mapping.app.send("t")
    event = mapping.receive()
    mapping.sqs.fail = lambda operation: (
        client_error("AccessDenied", status=403) if operation == "ChangeMessageVisibilityBatch" else None
    )
    assert ids(event) == mapping.invoke(handler(mapping.app), event)
    assert "comes back later: queue 'default': AccessDenied" in caplog.text


def test_failures_share_their_calls(mapping: Mapping) -> None:
    """Ten a call, for dead letters and for delays alike, in a batch of twenty-five."""
    mapping.app.task("dead", retry=ONCE)(fail)
    mapping.app.task("again", retry=SOON)(fail)
    for n in range(25):
        mapping.app.send("dead" if n % 5 == 0 else "again")
    event = mapping.receive(limit=25)
    assert 20 == len(mapping.invoke(handler(mapping.app), event))
    assert 5 == len(mapping.messages("default-dlq"))
    assert {"SendMessageBatch": 3, "ChangeMessageVisibilityBatch": 3} == {
        name: mapping.operations().count(name) for name in mapping.operations()
    }


def test_a_message_that_was_handed_over_twice_is_named_once(mapping: Mapping) -> None:
    """Lambda takes an id that is named twice for an invalid answer."""
    mapping.app.task("t", retry=SOON)(fail)
    mapping.app.send("t")
    event = mapping.receive()
    event["Records"].append(event["Records"][0])
    assert ids(event)[:1] == mapping.invoke(handler(mapping.app), event)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_concurrency_runs_so_many_at_once(mapping: Mapping, kind: str) -> None:
    """Three tasks that wait for each other end, of either kind."""
    barrier = threading.Barrier(3)
    together: list[asyncio.Event] = []

    def sync_task() -> None:
        barrier.wait(60)

    async def async_task() -> None:
        event = asyncio.Event()
        together.append(event)
        if len(together) == 3:
            for one in together:
                one.set()
        await asyncio.wait_for(event.wait(), 60)

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


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_task_that_does_not_stop_is_left_behind(
    mapping: Mapping, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The function answers without it: done work counts, failures are settled, and the handler can see that it lost."""
    begun, go = threading.Event(), threading.Lock()
    go.acquire()
    contexts: list[Context] = []

    def sync_task(context: Context) -> None:
        contexts.append(context)
        try:
            begun.set()
        finally:  # the end may strike here already
            go.acquire(timeout=60)  # in C: nothing can be raised in it

    async def async_task(context: Context) -> None:
        sync_task(context)

    mapping.app.task("stuck")(sync_task if kind == "sync" else async_task)
    mapping.app.task("ok")(lambda: None)
    mapping.app.task("t", retry=ONCE)(fail)
    for task in ("ok", "t", "stuck", "ok"):
        mapping.app.send(task)
    event = mapping.receive()
    function = handler(mapping.app)
    with moved(mapping.clock, 28 * SECOND, begun):
        assert ids(event)[2:] == mapping.invoke(function, event)
    assert 1 == len(mapping.messages("default-dlq"))
    assert contexts[0].lease_lost.is_set()
    assert "didn't stop at the end of the function's time" in caplog.text
    assert "1 records were not started" in caplog.text

    mapping.app.task("async")(async_ok).send()
    assert [] == mapping.invoke(function, mapping.receive()), "the next invocation isn't held up"
    go.release()


def test_a_backend_that_hangs_does_not_hold_up_the_answer(mapping: Mapping) -> None:
    """Failures that can't be settled in time are returned as they are."""
    mapping.app.task("t", retry=SOON)(fail)
    mapping.app.task("ok")(lambda: None)
    mapping.app.send("ok")
    mapping.app.send("t")
    event = mapping.receive()
    begun, go = threading.Event(), threading.Event()

    def hang(operation: str) -> None:
        begun.set()
        go.wait(60)

    mapping.sqs.fail = hang
    with moved(mapping.clock, 30 * SECOND, begun):
        answer = handler(mapping.app)(event, Invocation(mapping.clock))
    go.set()
    assert [{"itemIdentifier": ids(event)[1]}] == answer["batchItemFailures"]


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


def test_a_group_stops_also_for_want_of_time(mapping: Mapping, caplog: pytest.LogCaptureFixture) -> None:
    """A shorter task of the group doesn't overtake one that wasn't started, and counts as not started, too."""
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
    assert "2 records were not started" in caplog.text


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


def test_without_reports_a_delete_that_fails_is_logged(mapping: Mapping, caplog: pytest.LogCaptureFixture) -> None:
    """The record runs again; the batch raises as before."""
    mapping.app.task("ok")(lambda: None)
    mapping.app.task("t", retry=SOON)(fail)
    mapping.app.send("ok")
    mapping.app.send("t")
    event = mapping.receive()
    mapping.sqs.fail_item = lambda operation, _: ("InternalError", False) if "Delete" in operation else None
    with pytest.raises(BatchFailed):
        mapping.invoke(handler(mapping.app, report_failures=False), event)
    assert "couldn't be deleted, so it runs again" in caplog.text


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
    give_one_task_thread(monkeypatch)
    assert [] == mapping.invoke(handler(mapping.app, concurrency=4), mapping.receive())
    assert [0, 1, 2, 3, 4] == sorted(ran)


def test_what_had_its_last_run_is_not_run_again(mapping: Mapping) -> None:
    """Its dead letter can't be stored: in a later invocation that is tried again, and no run follows the last one."""
    runs: list[int] = []

    @mapping.app.task("t", retry=ONCE)
    def t(context: Context) -> None:
        runs.append(context.attempt)
        raise ValueError("no such order")

    @mapping.app.task("a", retry=ONCE)
    async def a(context: Context) -> None:
        runs.append(context.attempt)
        raise ValueError("no such order")

    mapping.app.send("t")
    mapping.app.send("a")
    mapping.sqs.fail_item = lambda operation, _: (
        ("InvalidParameterValue", True, "Message must be shorter than 9 bytes") if "SendMessage" in operation else None
    )
    function = handler(mapping.app)
    for _ in range(3):
        event = mapping.receive()
        assert 2 == len(mapping.invoke(function, event))
        for message in mapping.messages("default"):
            message["ReceiptHandle"] = None  # its visibility timeout is over
    mapping.sqs.fail_item = lambda *_: None
    assert [] == mapping.invoke(function, mapping.receive())
    assert ([1, 1], 2) == (runs, len(mapping.messages("default-dlq")))
