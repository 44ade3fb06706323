"""The handler as a function calls it, with messages of azure-functions' own decoder."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar
from datetime import timedelta

import pytest
from azure.functions.meta import Datum
from hypothesis import given, settings
from hypothesis import strategies as st
from tenacity import stop_after_attempt, wait_fixed

from cloudq import App, Context, DeadLetter, Retry, RetryPolicy
from cloudq.azure_functions import handler
from cloudq.core.driver import Ack, NativeDeadLetter, Outgoing
from cloudq.core.failure import Failure
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import BatchFailed, ConfigurationError, OptionError, PushRefused, TimeLimitExceeded
from tests.unit.azure_functions.fakes import LOCK, URL, Host

SOON = RetryPolicy(wait=wait_fixed(7))
ONCE = RetryPolicy(stop=stop_after_attempt(1))


def _fails(n: int = 0) -> None:
    raise RuntimeError("boom")


# ── what becomes of a message ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("many", [False, True])
def test_what_is_done_is_left_to_the_host(host: Host, many: bool) -> None:
    """The function returns, the host completes, and nothing else is settled or sent."""
    ran = []

    @host.app.task("t")
    def t(n: int) -> None:
        ran.append(n)

    host.app.send("t", {"n": 1})
    assert host.invoke(handler(host.app, queue="orders"), many=many)
    assert ([1], {}, []) == (ran, host.waiting(), host.bus.by_token)


def test_nothing_is_opened_where_nothing_failed() -> None:
    """A message that succeeds opens no driver, and so no connection."""
    host = Host()
    with host.connected():
        host.app.send("t")
        message = host.message(host.take()[0])
    host.app.task("t")(lambda: None)
    handler(host.app, queue="orders")(message)
    assert not host.app.is_open


@pytest.mark.parametrize("many", [False, True])
def test_a_retry_is_a_scheduled_copy(host: Host, many: bool) -> None:
    """The next attempt is stored for later, with its failure beside it; then the host completes the original."""
    host.app.task("t", retry=SOON)(_fails)
    sent = host.app.send("t")
    assert host.invoke(handler(host.app, queue="orders"), many=many)
    copy = host.bus.sent[-1]
    assert (timedelta(seconds=7), "orders") == (copy.delay, copy.queue)
    assert "boom" in copy.failure.reason
    assert [] == host.take()
    assert {sent.id: 1} == host.waiting()


def test_a_retry_without_delay_is_a_copy_too(host: Host) -> None:
    """To raise would give back the whole batch."""

    @host.app.task("t")
    def t() -> None:
        raise Retry(delay=timedelta(0))

    sent = host.app.send("t")
    assert host.invoke(handler(host.app, queue="orders"))
    assert {sent.id: 1} == host.waiting()


@pytest.mark.parametrize("many", [False, True])
def test_a_dead_letter_is_the_services_own(host: Host, many: bool) -> None:
    """It is dead-lettered by its lock, with the reason; what the host tries then changes nothing."""
    host.app.task("t", retry=ONCE)(_fails)
    sent = host.app.send("t")
    assert host.invoke(handler(host.app, queue="orders"), many=many)
    assert {sent.id: "gave up after 1 attempt: RuntimeError: boom"} == host.dead()
    assert {} == host.waiting()


@pytest.mark.parametrize("many", [False, True])
def test_what_cannot_be_dead_lettered_comes_back(host: Host, many: bool) -> None:
    """The function raises, so that the host doesn't complete what lies in no dead-letter queue."""
    host.app.task("t", retry=ONCE)(_fails)
    sent = host.app.send("t")
    host.bus.fail_settle = lambda _: True
    assert not host.invoke(handler(host.app, queue="orders"), many=many)
    assert isinstance(host.raised, BatchFailed)
    assert ({sent.id: 0}, {}) == (host.waiting(), host.dead())


def test_a_lock_that_is_lost_at_the_dead_lettering_is_no_end(host: Host) -> None:
    """The host's own lock may hold, whatever the service says of the token: it is kept from completing."""
    host.app.task("t", retry=ONCE)(_fails)
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
def test_what_cannot_be_copied_comes_back(host: Host, many: bool, caplog: pytest.LogCaptureFixture) -> None:
    """The function raises, and the host abandons."""
    host.app.task("t", retry=SOON)(_fails)
    sent = host.app.send("t")
    host.bus.fail_copy = lambda _: True
    assert not host.invoke(handler(host.app, queue="orders"), many=many)
    assert {sent.id: 0} == host.waiting()
    assert "could not be stored" in caplog.text


def test_the_done_of_a_batch_that_fails_are_completed_first(host: Host) -> None:
    """What is done, and what has its copy, doesn't come back with what has to."""
    host.app.task("good")(lambda n: None)
    host.app.task("bad", retry=SOON)(_fails)
    sent = [host.app.send(name, {"n": n}) for n, name in enumerate(["good", "bad", "good", "bad"])]
    host.bus.fail_copy = lambda item: item.id == sent[1].id
    assert not host.invoke(handler(host.app, queue="orders"))
    assert [Ack(), Ack(), Ack()] == host.bus.by_token
    assert {sent[1].id: 0, sent[3].id: 1} == host.waiting()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("no JSON", "undecodable: "),
        ('{"specversion": "1.0", "id": "1", "source": "/x", "type": "other", "data": {}}', "unknown task 'other'"),
        ('{"specversion": "1.0", "id": "1", "source": "/x", "type": "t", "data": {"m": 1}}', "payload: "),
    ],
)
def test_poison_is_dead_lettered(host: Host, body: str, reason: str) -> None:
    """What can't be run ends in the dead-letter queue with the reason, and its body is the service's own."""
    host.app.unknown_task_patience = timedelta(0)
    host.app.task("t")(lambda n: None)
    host.bus.send([Outgoing(id="1", queue="orders", body=body.encode())])
    assert host.invoke(handler(host.app, queue="orders"))
    (dead,) = host.bus.dead_letters("orders").peek(limit=9)
    assert dead.body == body.encode()
    assert dead.failure.reason.startswith(reason)


def test_an_unknown_task_goes_back_by_a_copy(host: Host) -> None:
    """In its first attempt still, in a while, for whoever knows it; the one that came is completed."""
    host.app.task("t")(lambda n: None)
    sent = host.app.send("other", {}, queue="orders")
    assert host.invoke(handler(host.app, queue="orders"))
    assert [] == host.take()
    assert ({sent.id: 1}, {}) == (host.waiting(), host.dead())


def test_without_auto_complete_everything_is_settled_here(host: Host) -> None:
    """Where host.json has autoCompleteMessages false the host completes nothing."""
    host.auto_complete = False
    host.app.task("good")(lambda: None)
    host.app.task("bad", retry=SOON)(_fails)
    host.app.task("dead", retry=ONCE)(_fails)
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


# ── locks and counts ─────────────────────────────────────────────────────────────────────────────────────


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
    host.app.task("t")(_seen(seen))
    for many in (True, False):
        host.app.send("t")
        assert host.invoke(handler(host.app, queue="orders"), many=many)
    assert host.clock.now() + LOCK == seen[0].deadline
    assert seen[1].deadline is None


@pytest.mark.parametrize("many", [False, True])
def test_attempts_are_counted_by_the_service(host: Host, many: bool) -> None:
    """The host's delivery count has the present delivery in it; raw is the trigger's message."""
    seen: list[Context] = []
    host.app.task("t")(_seen(seen))
    host.app.send("t")
    (taken,) = host.take()
    given = host.messages([taken]) if many else host.message(taken, DeliveryCount=Datum("1", "json"))
    handler(host.app, queue="orders")(given)
    assert (1, 1) == (seen[0].attempt, seen[0].deliveries)
    assert (given[0] if many else given) is seen[0].raw


def test_what_came_back_with_others_is_no_poison_early(host: Host) -> None:
    """A message may be handed over a hundred times before it counts as killing its worker."""
    ran = []
    host.app.task("t")(lambda: ran.append(1))
    for count in ("60", "101"):
        host.app.send("t")
        (taken,) = host.take()
        handler(host.app, queue="orders")(host.message(taken, DeliveryCount=Datum(count, "json")))
    assert [1] == ran
    assert "worker died or lease expired" in next(iter(host.dead().values()))


def test_the_latest_failure_is_read_from_beside_the_body(host: Host) -> None:
    """A message's first failure is still known after its second."""
    host.app.task("t", retry=RetryPolicy(stop=stop_after_attempt(2), wait=wait_fixed(1)))(_fails)
    host.app.send("t")
    function = handler(host.app, queue="orders")
    began = host.clock.now()
    assert host.invoke(function)
    host.clock.advance(timedelta(seconds=5))
    assert host.invoke(function, many=False)
    (dead,) = host.bus.dead_letters("orders").peek(limit=9)
    assert (2, began) == (dead.failure.attempts, dead.failure.first_at)


def test_older_hosts_call_the_properties_otherwise(host: Host) -> None:
    """Where there are no application properties the failure is in the user's."""
    seen = []

    @host.app.task("t", retry=RetryPolicy(stop=stop_after_attempt(1)))
    def t() -> None:
        seen.append(1)
        raise RuntimeError("boom")

    host.app.send("t")
    (taken,) = host.take()
    message = host.message(taken)
    properties = {"cloudq-failure": Failure(reason="before", first_at=host.clock.now() - LOCK).encode().decode()}
    message._ServiceBusMessage__application_properties = None
    message._ServiceBusMessage__user_properties = properties
    handler(host.app, queue="orders")(message)
    (dead,) = host.bus.dead_letters("orders").peek(limit=9)
    assert host.clock.now() - LOCK == dead.failure.first_at


# ── tasks of every kind ──────────────────────────────────────────────────────────────────────────────────


def test_async_tasks_share_one_loop(host: Host) -> None:
    """What a task opened on its loop works in the next invocation, too."""
    loops = []

    @host.app.task("t")
    async def t() -> None:
        loops.append(asyncio.get_running_loop())

    function = handler(host.app, queue="orders")
    for _ in range(2):
        host.app.send("t")
        assert host.invoke(function)
    assert loops[0] is loops[1]


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
    together = threading.Barrier(3, timeout=20)
    host.app.task("t")(lambda: together.wait() and None)
    for _ in range(6):
        host.app.send("t")
    assert host.invoke(handler(host.app, queue="orders", concurrency=3))
    assert {} == host.waiting()


def test_a_time_limit_holds(host: Host) -> None:
    """A task that runs too long has failed: nothing of the host's would stop it alone."""
    errors = []

    @host.app.task("t", time_limit=timedelta(seconds=5), retry=SOON)
    def t() -> None:
        try:
            host.clock.advance(timedelta(seconds=6))
            threading.Event().wait(0.01)
            while True:
                threading.Event().wait(0.001)
        except TimeLimitExceeded as error:
            errors.append(error)
            raise

    sent = host.app.send("t")
    assert host.invoke(handler(host.app, queue="orders"), many=False)
    assert {sent.id: 1} == host.waiting()
    assert 1 == len(errors)


# ── what is refused ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("queue", "error"),
    [
        ("orders.fifo", ConfigurationError),
        ("orders-dlq", OptionError),
        ("orders/Subscriptions/mail", ConfigurationError),
        ("", OptionError),
    ],
)
def test_queues_that_a_trigger_cannot_serve_are_refused(queue: str, error: type[Exception]) -> None:
    """At the declaration, before a message is there."""
    with pytest.raises(error):
        handler(App(URL), queue=queue)


@pytest.mark.parametrize("concurrency", [0, 101, True, 1.5])
def test_concurrency_has_bounds(concurrency) -> None:
    """Out of them it is refused at the declaration."""
    with pytest.raises(ConfigurationError, match="from 1 to 100"):
        handler(App(URL), queue="orders", concurrency=concurrency)


def test_a_message_of_a_session_is_refused(host: Host) -> None:
    """Its queue's name doesn't say that it has sessions; nothing of the batch is run."""
    ran = []
    host.app.task("t")(lambda: ran.append(1))
    host.app.send("t")
    (taken,) = host.take()
    with pytest.raises(PushRefused, match="session"):
        handler(host.app, queue="orders")(host.message(taken, SessionId=Datum("s", "string")))
    assert [] == ran


@pytest.mark.parametrize("message", [None, object(), {"body": 1}, [object()], b"{}"])
def test_what_is_no_message_is_refused(host: Host, message) -> None:
    """Another trigger's value, or a body alone."""
    with pytest.raises(PushRefused, match="not a message as the Service Bus trigger"):
        handler(host.app, queue="orders")(message)


def test_another_backend_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the first invocation, since the environment may say the URL; and again at the next."""
    function = handler(App("memory://"), queue="orders")
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="memory://"):
            function([])


def test_a_driver_that_cannot_settle_by_a_token_is_refused(host: Host) -> None:
    """A test that lends one is told what to do instead."""
    host.app.task("t", retry=ONCE)(_fails)
    host.app.send("t")
    messages = host.messages(host.take())
    with host.app.using(MemoryDriver(), clock=host.clock), pytest.raises(ConfigurationError, match="MemoryDriver"):
        handler(host.app, queue="orders")(messages)


# ── all of it ────────────────────────────────────────────────────────────────────────────────────────────


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


def _seen(seen: list[Context]):
    def t(context: Context) -> None:
        seen.append(context)

    return t


def test_threads_that_can_not_be_started_are_done_without(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """The function's own thread runs what it was handed, all of it and once."""
    ran = []

    @host.app.task("t")
    def t(n: int) -> None:
        ran.append(n)

    for n in range(4):
        host.app.send("t", {"n": n})
    start, started = threading.Thread.start, []

    def one_thread(thread: threading.Thread) -> None:
        if thread.name.startswith("cloudq-task"):
            if started:
                raise RuntimeError("can't start new thread")
            started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", one_thread)
    assert host.invoke(handler(host.app, queue="orders", concurrency=4), many=True)
    assert [0, 1, 2, 3] == sorted(ran)
    assert {} == host.waiting()
