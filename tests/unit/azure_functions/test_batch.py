"""One invocation: what is copied, dead-lettered and completed, and what has the host deliver all again."""

from __future__ import annotations

import logging
import threading
from contextvars import ContextVar
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudq import Context, DeadLetter, Retry
from cloudq.azure_functions import handler
from cloudq.core.driver import Ack, NativeDeadLetter
from cloudq.drivers.service_bus.trigger import RENEWED
from cloudq.errors import BatchFailed
from tests.unit.azure_functions.fakes import LOCK, ONCE, SOON, Host, fail, note
from tests.unit.worker.fakes import give_one_task_thread


@pytest.mark.parametrize("many", [False, True])
def test_what_cannot_be_dead_lettered_comes_back(host: Host, many: bool) -> None:
    """The function raises, so that the host doesn't complete what lies in no dead-letter queue."""
    host.app.task("t", retry=ONCE)(fail)
    sent = host.app.send("t")
    host.bus.fail_settle = lambda _: True
    assert not host.invoke(handler(host.app, queue="orders"), many=many)
    assert isinstance(host.raised, BatchFailed)
    assert ({sent.id: 0}, {}) == (host.waiting(), host.dead())


def test_a_lock_that_is_lost_at_the_dead_lettering_is_no_end(host: Host) -> None:
    """The host's own lock may hold, whatever the service says of the token: it is kept from completing."""
    host.app.task("t", retry=ONCE)(fail)
    host.app.send("t")
    (taken,) = host.take()
    messages = host.messages([taken])
    for token in host.bus.locks:
        host.bus.locks[token] = taken.lease.__class__(
            queue="orders", receipt=None, expires_at=taken.lease.expires_at, ends=taken.lease.ends
        )
    with pytest.raises(BatchFailed):
        handler(host.app, queue="orders")(messages)


@pytest.mark.parametrize("many", [False, True])
def test_a_claim_that_is_lost_while_the_lock_holds_is_no_end_of_the_lock(host: Host, many: bool) -> None:
    """A task that fails then has its delayed copy: abandoned, it would run again at once, again and again."""

    @host.app.task("t", retry=SOON)
    def t(context: Context) -> None:
        context.lease_lost.set()  # type: ignore[attr-defined]  # as the holder of a claim does that was taken over
        raise ValueError("it saw that the claim is gone")

    host.app.send("t")
    assert host.invoke(handler(host.app, queue="orders"), many=many)
    assert [] == host.take()


def test_what_had_its_last_run_is_not_run_again(host: Host) -> None:
    """It couldn't be dead-lettered: handed over again to this process, it is, unrun."""
    runs: list[int] = []

    @host.app.task("t", retry=ONCE)
    def t(context: Context) -> None:
        runs.append(context.attempt)
        raise ValueError("no such order")

    sent = host.app.send("t")
    function = handler(host.app, queue="orders")
    for failing in (True, False):
        host.bus.fail_settle = lambda _, failing=failing: failing
        host.invoke(function, many=False)
    assert [1] == runs
    assert [sent.id] == list(host.dead())


def test_what_comes_again_while_it_runs_waits_in_the_queue(host: Host) -> None:
    """The lock of a single message ended all the same. One copy of it is left, however the first run ends."""
    started, goes_on = threading.Event(), threading.Event()
    attempts: list[int] = []

    @host.app.task("t", retry=SOON)
    def t(context: Context) -> None:
        attempts.append(context.attempt)
        started.set()
        assert goes_on.wait(60)
        raise ValueError("too late")

    sent = host.app.send("t")
    function = handler(host.app, queue="orders")
    (first,) = host.take()
    thread = threading.Thread(target=host.invoke, args=[function, [first]], kwargs={"many": False})
    thread.start()
    try:
        assert started.wait(60)
        host.clock.advance(RENEWED)
        assert host.invoke(function, many=False)
    finally:
        goes_on.set()
        thread.join(60)
    assert [1] == attempts
    assert isinstance(host.raised, BatchFailed), "the first invocation's"
    assert [(sent.id, 2)] == [(one.id, one.attempt) for one in host.later()]


@pytest.mark.parametrize("many", [False, True])
def test_what_cannot_be_copied_comes_back(host: Host, many: bool, caplog: pytest.LogCaptureFixture) -> None:
    """The function raises, and the host abandons."""
    host.app.task("t", retry=SOON)(fail)
    sent = host.app.send("t")
    host.bus.fail_copy = lambda _: True
    assert not host.invoke(handler(host.app, queue="orders"), many=many)
    assert {sent.id: 0} == host.waiting()
    assert "could not be stored" in caplog.text


def test_the_done_of_a_batch_that_fails_are_completed_first(host: Host) -> None:
    """What is done, and what has its copy, doesn't come back with what has to."""
    host.app.task("good")(lambda n: None)
    host.app.task("bad", retry=SOON)(fail)
    sent = [host.app.send(name, {"n": n}) for n, name in enumerate(["good", "bad", "good", "bad"])]
    host.bus.fail_copy = lambda item: item.id == sent[1].id
    assert not host.invoke(handler(host.app, queue="orders"))
    assert [Ack(), Ack(), Ack()] == host.bus.by_token
    assert {sent[1].id: 0, sent[3].id: 1} == host.waiting()


def test_without_auto_complete_everything_is_settled_here(host: Host) -> None:
    """Where host.json has autoCompleteMessages false the host completes nothing."""
    host.auto_complete = False
    host.app.task("good")(lambda: None)
    host.app.task("bad", retry=SOON)(fail)
    host.app.task("dead", retry=ONCE)(fail)
    sent = [host.app.send(name) for name in ("good", "bad", "dead")]
    assert host.invoke(handler(host.app, queue="orders", auto_complete=False))
    assert [NativeDeadLetter, Ack, Ack] == [type(step) for step in host.bus.by_token]
    assert ([sent[2].id], {sent[1].id: 1}) == (list(host.dead()), host.waiting())


def test_without_auto_complete_what_cannot_be_completed_raises(host: Host) -> None:
    """Nobody else would complete it, so the host is told."""
    host.auto_complete = False
    host.app.task("t")(lambda: None)
    sent = host.app.send("t")
    host.bus.fail_settle = lambda _: True
    assert not host.invoke(handler(host.app, queue="orders", auto_complete=False))
    assert {sent.id: 0} == host.waiting()


def test_nothing_is_started_after_its_lock(host: Host) -> None:
    """Nobody renews the locks of a list: what is late is somebody else's, and comes back."""
    ran = []

    @host.app.task("t")
    def t(n: int) -> None:
        ran.append(n)
        host.clock.advance(LOCK)

    for n in range(2):
        host.app.send("t", {"n": n})
    assert not host.invoke(handler(host.app, queue="orders"))
    assert [0] == ran
    assert "1 of 2 messages" in str(host.raised)


def test_no_copy_is_sent_after_the_lock(host: Host) -> None:
    """The original comes back by itself: a copy besides would be one more each time."""

    @host.app.task("t", retry=SOON)
    def t() -> None:
        host.clock.advance(LOCK)
        raise RuntimeError("boom")

    host.app.send("t")
    stored = len(host.bus.sent)
    assert not host.invoke(handler(host.app, queue="orders"))
    assert stored == len(host.bus.sent)


def test_a_list_has_until_its_locks_end_a_single_message_has_not(host: Host) -> None:
    """The host renews a single message's lock; a task of a list sees the end of its lock as its deadline."""
    seen: list[Context] = []
    host.app.task("t")(note(seen))
    for many in (True, False):
        host.app.send("t")
        assert host.invoke(handler(host.app, queue="orders"), many=many)
    assert host.clock.now() + LOCK == seen[0].deadline
    assert seen[1].deadline is None


def test_one_at_a_time_runs_in_the_thread_that_calls(host: Host) -> None:
    """So the host shows what a task logs with its invocation; its context variables are its own."""
    left: ContextVar[int] = ContextVar("left", default=0)
    seen = []

    @host.app.task("t")
    def t() -> None:
        seen.append((threading.current_thread(), left.get()))
        left.set(1)

    for _ in range(2):
        host.app.send("t")
    assert host.invoke(handler(host.app, queue="orders"))
    assert [(threading.current_thread(), 0)] * 2 == seen


def test_tasks_of_a_list_run_at_once(host: Host) -> None:
    """As many as the handler was told, and no more."""
    together = threading.Barrier(3, timeout=60)
    host.app.task("t")(lambda: together.wait() and None)
    for _ in range(6):
        host.app.send("t")
    assert host.invoke(handler(host.app, queue="orders", concurrency=3))
    assert {} == host.waiting()


@settings(deadline=None, max_examples=60)
@given(
    kinds=st.lists(st.sampled_from(["good", "again", "at once", "dead", "poison"]), min_size=1, max_size=6),
    no_copy=st.sets(st.integers(0, 5)),
    no_settle=st.sets(st.integers(0, 5)),
    auto_complete=st.booleans(),
    many=st.booleans(),
    concurrency=st.sampled_from([1, 3]),
)
def test_nothing_is_lost(*, kinds, no_copy, no_settle, auto_complete, many, concurrency) -> None:
    """Whatever its outcome and whatever fails: a message is done, copied or dead, or it comes back."""
    host = Host(auto_complete=auto_complete)
    done: list[int] = []

    @host.app.task("t", retry=SOON)
    def t(kind: str, n: int) -> None:
        if kind == "good":
            done.append(n)
        elif kind == "dead":
            raise DeadLetter("for good")
        else:
            raise Retry(delay=timedelta(0) if kind == "at once" else timedelta(seconds=9))

    with host.connected():
        ids = [
            host.app.send("t" if kind != "poison" else "u", {"kind": kind, "n": n}).id for n, kind in enumerate(kinds)
        ]
        failing = {ids[n] for n in no_copy if n < len(ids)}
        host.bus.fail_copy = lambda item: item.id in failing
        taken = host.take(100 if many else 1)
        tokens = {taken[n].lease for n in no_settle if n < len(taken)}
        host.bus.fail_settle = lambda token: host.bus.locks[token] in tokens
        function = handler(host.app, queue="orders", concurrency=concurrency, auto_complete=auto_complete)
        returned = host.invoke(function, taken, many=many)
        dead, waiting = host.dead(), host.waiting()
    for n, kind in enumerate(kinds[: len(taken)]):
        safe = {"good": n in done, "dead": ids[n] in dead, "poison": ids[n] in dead}
        assert safe.get(kind, False) or ids[n] in waiting, f"{kind} {n} is lost"
        # What the function answers for isn't in the queue any more but as a copy.
        assert not returned or waiting.get(ids[n]) != 0


def test_threads_that_can_not_be_started_are_done_without(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """The function's own thread runs what it was handed, all of it and once."""
    ran = []

    @host.app.task("t")
    def t(n: int) -> None:
        ran.append(n)

    for n in range(4):
        host.app.send("t", {"n": n})
    give_one_task_thread(monkeypatch)
    assert host.invoke(handler(host.app, queue="orders", concurrency=4), many=True)
    assert [0, 1, 2, 3] == sorted(ran)
    assert {} == host.waiting()


@pytest.mark.parametrize("concurrency", [1, 3])
def test_tasks_run_within_the_invocations_context(host: Host, concurrency: int) -> None:
    """Plain and async ones: what a tracer has put there, say, is the run's parent."""
    variable: ContextVar[str] = ContextVar("variable", default="none")
    seen = []

    @host.app.task("plain")
    def plain() -> None:
        seen.append(variable.get())
        variable.set("mine")

    @host.app.task("coroutine")
    async def coroutine() -> None:
        seen.append(variable.get())

    variable.set("invocation")
    for name in ("plain", "plain", "coroutine"):
        host.app.send(name)
    assert host.invoke(handler(host.app, queue="orders", concurrency=concurrency), many=True)
    assert ["invocation"] * 3 == seen
    variable.set("none")


def test_what_a_task_logs_names_its_delivery(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    """Also of a coroutine, on the loop."""

    @host.app.task("pay")
    async def pay() -> None:
        logging.getLogger("bank").warning("slow")

    sent = host.app.send("pay")
    assert host.invoke(handler(host.app, queue="orders"))
    [slow] = [record for record in caplog.records if record.name == "bank"]
    assert ("pay", sent.id, "orders") == (slow.cloudq_task, slow.cloudq_id, slow.cloudq_queue)  # type: ignore[attr-defined]
