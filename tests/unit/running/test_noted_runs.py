"""`NotedRuns`: what is noted of a run, beside its claim: its state, its result, and that nobody wants it any more."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Generator, Iterator
from datetime import timedelta
from typing import Any

import pytest

import cloudq
from cloudq import App, CancelAnswer, Context, DeadLetter, Retry, RetryPolicy
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.failure import Failure
from cloudq.core.message import Message
from cloudq.core.outcome import ACKED, CANCELLED, DUPLICATE, Acked, DeadLettered, Outcome, Retried, Snoozed, Why
from cloudq.core.processor import Processor, no_time_limit
from cloudq.core.run_life import REPORT_EVERY, RunState
from cloudq.core.store import ClaimKey, RecordState
from cloudq.core.tracking import TRACKED
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import NoResult, ResultTimeout, StoreUnavailable, TimeLimitExceeded
from cloudq.running.claims import LEASE
from cloudq.running.noted_runs import NotedBegun
from cloudq.running.processing import processor_of
from cloudq.stores.memory import MemoryStore
from cloudq.testing import FakeClock, in_memory
from cloudq.testing.runs import run_all

HOUR = timedelta(hours=1)


@pytest.fixture
def app() -> Iterator[App]:
    with in_memory(App(), clock=FakeClock()) as app:
        yield app


def message_of(name: str = "1", *, task: str = "t", key: str | None = None, tracked: bool = False) -> Message:
    extensions = {TRACKED: True} if tracked else {}
    return Message(id=name, task=task, queue="default", idempotency_key=key, extensions=extensions)


def delivery_of(app: App, message: Message, *, attempt: int = 1, deliveries: int = 1) -> Delivery:
    lease = Lease(queue="default", receipt=None, expires_at=app.clock.now() + LEASE, ends=app.clock.elapsed() + LEASE)
    return Delivery(
        queue="default",
        id=message.id,
        body=b"",
        message=message,
        undecodable=None,
        attempt=attempt,
        deliveries=deliveries,
        lease=lease,
    )


def deliver(app: App, message: Message, *, heartbeat: bool = False, freezes: bool = False, **options: Any) -> Outcome:
    """Runs it as an edge would, in this thread."""
    processor = processor_of(app, no_time_limit, heartbeat=heartbeat, freezes=freezes)
    return processor.process(delivery_of(app, message, **options))


def looked(app: App, name: str = "1") -> tuple[str, object, str]:
    found = app.result(name)
    return found.status, found.value, found.reason


# ── results ──────────────────────────────────────────────────────────────────────────────────────────────


def test_what_a_task_returns_is_kept(app: App) -> None:
    """As it was, for as long as the declaration says."""

    @app.task("double", keep_result=HOUR)
    def double(n: int) -> list[tuple[int, str]]:
        return [(2 * n, "x")]

    sent = double.send(21)
    assert app.result(sent).status == "unknown"
    run_all(app)
    found = app.result(sent)
    assert (found.status, found.value, found.kept, found.attempt) == ("succeeded", [(42, "x")], True, 1)
    assert sent.result(timedelta(0)) == [(42, "x")]
    app.clock.advance(HOUR)  # type: ignore[attr-defined]  # the fake one
    assert app.result(sent).status == "unknown"


def test_a_result_that_is_not_kept_is_done_all_the_same(app: App) -> None:
    """Never tried again for that; the reason says why."""
    runs = []

    @app.task("large", keep_result=HOUR)
    def large() -> str:
        runs.append(1)
        return "x" * 300 * 1024

    @app.task("odd", keep_result=HOUR)
    def odd() -> object:
        runs.append(2)
        return object()

    sent = [large.send(), odd.send()]
    run_all(app)
    assert runs == [1, 2]
    for one, why in zip(sent, ("307,202 bytes", "can't travel as JSON"), strict=True):
        status, value, reason = looked(app, one.id)
        assert (status, value) == ("succeeded", None)
        assert why in reason
        with pytest.raises(NoResult, match=why) as caught:
            one.result(timedelta(0))
        assert caught.value.status == "succeeded"


def test_a_task_that_fails_is_failed_then_dead(app: App) -> None:
    """With the reason, without the secrets in it; a result that comes later is noted."""
    fails = [True]

    @app.task("t", keep_result=HOUR)
    def task() -> int:
        if fails:
            raise RuntimeError("no disk, password=hunter2")
        return 7

    assert isinstance(deliver(app, message_of()), Retried)
    status, _, reason = looked(app)
    assert status == "retried"
    assert "no disk" in reason
    assert "hunter2" not in reason
    assert isinstance(deliver(app, message_of(), attempt=1000), DeadLettered)
    assert looked(app)[0] == "dead_lettered"
    assert "hunter2" not in looked(app)[2]
    fails.clear()  # an operator has made room, and sends the dead letter again
    assert deliver(app, message_of()) is ACKED
    assert looked(app) == ("succeeded", 7, "")


def test_secrets_in_a_reason_are_masked(app: App) -> None:
    """Also in a middleware's own words: it is shown to everybody who asks."""

    def middleware(context: Context) -> Generator[None, Outcome, Outcome]:
        yield
        reason = "no login, password=hunter2"
        return DeadLettered(reason=reason, failure=Failure.of(reason))

    @app.task("t", track=True)
    def task() -> None: ...

    app.middleware = (middleware,)
    assert isinstance(deliver(app, message_of()), DeadLettered)
    reason = looked(app)[2]
    assert "no login" in reason
    assert "hunter2" not in reason


def test_a_waiting_caller_learns_of_the_end(app: App) -> None:
    """Of a dead one at once; of one that nobody runs here at once, too, as a test would wait in vain."""

    @app.task("task", keep_result=HOUR)
    def task() -> None:
        raise DeadLetter("wrong order")

    sent = task.send()
    with pytest.raises(ResultTimeout) as caught:
        sent.result(timedelta(seconds=10))
    assert caught.value.status == "unknown"
    run_all(app)
    with pytest.raises(NoResult, match=r"dead_lettered: wrong order") as dead:
        sent.result(timedelta(seconds=10))
    assert dead.value.status == "dead_lettered"


def test_nothing_is_noted_where_nobody_asks(app: App) -> None:
    """Of a plain task no store hears."""

    @app.task("t")
    def task() -> int:
        return 1

    class Silent(MemoryStore):
        @property
        def notes(self) -> Any:
            raise AssertionError("it was asked")

        @notes.setter
        def notes(self, _: object) -> None: ...

    clock = FakeClock()
    with app.using(MemoryDriver(clock=clock), clock=clock, store=Silent(clock)):
        assert deliver(app, message_of()) is ACKED


# ── with a key ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_message_whose_key_is_done_has_its_result(app: App) -> None:
    """Each of them, whichever ran."""
    runs = []

    @app.task("t", keep_result=HOUR)
    def task() -> int:
        runs.append(1)
        return 7

    for name in "12":
        assert deliver(app, message_of(name, key="k")) is (ACKED if name == "1" else DUPLICATE)
        assert looked(app, name) == ("succeeded", 7, "")
    assert runs == [1]


def test_a_crash_between_completion_and_note_is_made_good(app: App) -> None:
    """The message comes again, finds its key completed, and notes what the claim kept."""

    @app.task("t", keep_result=HOUR)
    def task() -> int:
        return 7

    message = message_of(key="k")
    processor = processor_of(app, no_time_limit, heartbeat=False)
    deliver_until_crash(app, processor, message)
    assert app.result("1").status == "running"
    assert deliver(app, message, deliveries=2) is DUPLICATE
    assert looked(app) == ("succeeded", 7, "")


def deliver_until_crash(app: App, processor: Processor[Context], message: Message) -> None:
    """Dies when the run's end is noted."""
    notes = app.runtime.store.notes  # type: ignore[union-attr]  # there is one
    write, done = notes.write, []

    def die(*arguments: Any, **options: Any) -> Any:
        if not done:
            done.append(1)
            return write(*arguments, **options)  # the start
        raise KeyboardInterrupt

    notes.write = die  # type: ignore[method-assign]
    try:
        with pytest.raises(KeyboardInterrupt):
            processor.process(delivery_of(app, message))
    finally:
        notes.write = write  # type: ignore[method-assign]


def test_a_stale_owner_notes_no_result(app: App) -> None:
    """Its claim was taken over while it slept: the result is its successor's."""
    inner: list[Callable[[], Outcome]] = []

    @app.task("t", keep_result=HOUR)
    def task(context: Context) -> str:
        if inner:
            app.clock.advance(2 * LEASE)  # type: ignore[attr-defined]  # it sleeps past its lease
            assert inner.pop()() is ACKED
            return "stale"
        return "right"

    for key in ("k", None):
        message = message_of(str(key), key=key)
        inner.append(lambda message=message: deliver(app, message, deliveries=2))  # type: ignore[misc]
        assert isinstance(deliver(app, message), Acked)
        assert looked(app, str(key)) == ("succeeded", "right", "")


def test_a_stale_owners_result_is_not_noted_before_its_successor_ends(app: App) -> None:
    """Nor its failure: the message runs."""
    checked = []

    @app.task("t", keep_result=HOUR)
    def task(context: Context) -> str:
        if context.deliveries == 1:
            app.clock.advance(2 * LEASE)  # type: ignore[attr-defined]  # as above
            successor = threading.Thread(target=deliver, args=(app, message), kwargs={"deliveries": 2})
            successor.start()
            begun.wait(60)
            threads.append(successor)
            return "stale"
        begun.set()
        go_on.wait(60)
        return "right"

    for key in ("k", None):
        begun, go_on, threads = threading.Event(), threading.Event(), []
        message = message_of(str(key), key=key)
        deliver(app, message)
        checked.append(app.result(str(key)).status)
        go_on.set()
        threads[0].join(60)
        assert looked(app, str(key)) == ("succeeded", "right", "")
    assert checked == ["running", "running"]


def test_a_stale_owner_notes_nothing_before_its_successor_has_begun(app: App) -> None:
    """Its completion was refused: the claim is another's, whose run isn't noted yet."""

    @app.task("t", keep_result=HOUR)
    def task() -> str:
        app.clock.advance(2 * LEASE)  # type: ignore[attr-defined]  # it sleeps past its lease
        store = app.runtime.store
        assert store is not None
        store.claim(ClaimKey("t", "k"), owner="successor", lease=LEASE, fingerprint=None, keep=HOUR)
        return "stale"

    assert isinstance(deliver(app, message_of(key="k")), Acked)
    assert looked(app)[:2] == ("running", None)


def test_what_is_done_though_its_claim_was_taken_over_is_ended_beside_the_run_that_has_it() -> None:
    """Which may be another message's: then this one's note would say forever that it runs."""
    said: list[str] = []

    class Run:
        cancelled = threading.Event()

        def end_beside(self) -> None:
            said.append("beside")

    class Claim:
        taken_over = True

        @property
        def claim(self) -> Any:
            return self

        def end(self, outcome: Outcome, result: object) -> Outcome:
            return outcome

    run: Any = Run()
    claim: Any = Claim()
    assert NotedBegun(claim, run, None).end(ACKED, None) is ACKED
    assert said == ["beside"]


def test_an_end_that_takes_too_long_is_no_interruption() -> None:
    """Its edge waits no longer, while it goes on in its thread: it is what is noted, and no next run is waited for."""
    said: list[str] = []

    class Run:
        cancelled = threading.Event()

        def end(self, state: RunState, *_: object, **__: object) -> None:
            said.append(state.value)

        def give_up(self) -> None:
            said.append("interrupted")

    class Claim:
        claim = None

        def end(self, outcome: Outcome, result: object) -> Outcome:
            begun.give_up()  # by the edge, as the store doesn't answer
            return outcome

        def give_up(self) -> None:
            said.append("the claim is given up")

    run: Any = Run()
    claim: Any = Claim()
    begun = NotedBegun(claim, run, None)
    assert begun.end(ACKED, None) is ACKED
    assert said == ["the claim is given up", "succeeded"]


def test_what_is_cancelled_is_noted_though_its_claim_can_not_be_released_in_time() -> None:
    """Nobody else would: its note would say that it runs."""
    said: list[str] = []

    class Run:
        cancelled = threading.Event()
        stopped = True

        def end(self, state: RunState, *_: object, **__: object) -> None:
            said.append(state.value)

    class Claim:
        claim = None

        def end(self, outcome: Outcome, result: object) -> Outcome:
            raise TimeLimitExceeded("the store is silent")

    run: Any = Run()
    claim: Any = Claim()
    run.cancelled.set()
    with pytest.raises(TimeLimitExceeded):
        NotedBegun(claim, run, None).end(Retried(delay=timedelta(0), reason="stopped"), None)
    assert said == ["cancelled"]


# ── cancelling ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_tracked_message_waits_and_can_be_cancelled(app: App) -> None:
    """It is acknowledged unrun; its key is free for the next one."""
    runs = []

    @app.task("task", track=True)
    def task(n: int) -> None:
        runs.append(n)

    sent = task.send(1)
    assert app.result(sent).status == "waiting"
    assert app.cancel_run(sent) is CancelAnswer.WILL_NOT_RUN
    run_all(app)
    assert runs == []
    assert app.result(sent).status == "cancelled"
    assert app.cancel_run(sent) is CancelAnswer.TOO_LATE
    with pytest.raises(NoResult, match="cancelled"):
        sent.result(timedelta(0))


def test_a_claim_of_what_is_cancelled_is_released(app: App) -> None:
    """Between the claim and the start: a later message of the key runs."""
    runs = []

    @app.task("t")
    def task() -> None:
        runs.append(1)

    app.runtime.results.notes().track("1", "t")
    assert app.cancel_run("1") is CancelAnswer.WILL_NOT_RUN
    assert deliver(app, message_of(key="k", tracked=True)) is CANCELLED
    record = app.runtime.store.show(ClaimKey("t", "k"))  # type: ignore[union-attr]  # there is one
    assert record is not None
    assert record.state is RecordState.RELEASED
    assert deliver(app, message_of("2", key="k", tracked=True)) is ACKED
    assert runs == [1]


def pass_a_beat(app: App) -> None:
    assert isinstance(app.clock, FakeClock)
    app.clock.until_waiting()  # it would miss what comes between its look at the time and its wait
    app.clock.advance(REPORT_EVERY)


@pytest.mark.parametrize("freezes", [False, True])
def test_a_silent_task_learns_that_nobody_wants_it(app: App, freezes: bool) -> None:
    """At the next beat, also in a host that stands still between calls."""

    @app.task("t", track=True)
    def task(context: Context) -> None:
        app.cancel_run(context.id)
        pass_a_beat(app)
        assert context.cancelled.wait(60)
        raise RuntimeError("stopped")

    assert deliver(app, message_of(), heartbeat=True, freezes=freezes) is CANCELLED
    assert app.result("1").status == "cancelled"


def test_a_running_task_learns_that_nobody_wants_it(app: App) -> None:
    """At the next note; what it raises then is no failure."""
    seen = []

    @app.task("t", track=True)
    def task(context: Context) -> None:
        assert app.cancel_run(context.id) is CancelAnswer.ASKED
        seen.append(context.cancelled.is_set())
        pass_a_beat(app)
        context.progress(1, 2)
        assert context.cancelled.wait(60)
        raise RuntimeError("stopped")

    assert deliver(app, message_of(), heartbeat=True) is CANCELLED
    assert seen == [False]
    found = app.result("1")
    assert (found.status, found.unwanted, found.done, found.total) == ("cancelled", False, 1, 2)
    assert "stopped" in found.reason


def test_a_cancelled_run_that_returns_is_done(app: App) -> None:
    """Its effect is there, and so is its result."""

    @app.task("t", keep_result=HOUR)
    def task(context: Context) -> str:
        app.cancel_run(context.id)
        pass_a_beat(app)
        context.progress(1)
        assert context.cancelled.wait(60)
        return "all the same"

    assert deliver(app, message_of(), heartbeat=True) is ACKED
    assert looked(app) == ("succeeded", "all the same", "")


@pytest.mark.parametrize("key", ["k", None])
def test_a_coroutine_is_cancelled(app: App, key: str | None) -> None:
    """It tidies up; its claim is released, and its message acknowledged."""
    tidied = []

    @app.task("t", keep_result=HOUR)
    async def task(context: Context) -> None:
        try:
            app.runtime.results.cancel(context.id)
            pass_a_beat(app)
            context.progress(1)
            await asyncio.sleep(60)
        finally:
            tidied.append(context.cancelled.is_set())

    processor = processor_of(app, no_time_limit)
    outcome = asyncio.run(processor.aprocess(delivery_of(app, message_of(key=key))))
    assert outcome is CANCELLED
    assert tidied == [True]
    assert app.result("1").status == "cancelled"
    if key:
        record = app.runtime.store.show(ClaimKey("t", key))  # type: ignore[union-attr]
        assert record is not None
        assert record.state is RecordState.RELEASED


def test_a_coroutine_that_goes_on_is_done(app: App) -> None:
    """It has caught its cancellation."""

    @app.task("t", keep_result=HOUR)
    async def task(context: Context) -> int:
        app.runtime.results.cancel(context.id)
        pass_a_beat(app)
        context.progress(1)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return 7
        return 8

    processor = processor_of(app, no_time_limit)
    assert asyncio.run(processor.aprocess(delivery_of(app, message_of()))) is ACKED
    assert looked(app) == ("succeeded", 7, "")


def test_a_failure_that_nobody_wants_repeated_is_not(app: App) -> None:
    """The wish came while it ran, and was not read before it failed."""

    @app.task("t", track=True)
    def task(context: Context) -> None:
        app.cancel_run(context.id)
        raise Retry("no disk")

    assert isinstance(deliver(app, message_of()), Retried)
    assert app.result("1").unwanted
    assert deliver(app, message_of(), attempt=2) is CANCELLED
    assert app.result("1").status == "cancelled"


# ── progress ─────────────────────────────────────────────────────────────────────────────────────────────


def test_progress_is_written_at_most_once_a_second(app: App) -> None:
    """The latest in the end."""
    writes = []
    notes = app.runtime.store.notes  # type: ignore[union-attr]
    write = notes.write

    def count(*arguments: Any, **options: Any) -> Any:
        writes.append(1)
        return write(*arguments, **options)

    notes.write = count  # type: ignore[method-assign]

    @app.task("t", track=True)
    def task(context: Context) -> None:
        for number in range(1000):
            context.progress(number, 1000)
            if number % 100 == 99:
                app.clock.advance(timedelta(seconds=1))  # type: ignore[attr-defined]

    deliver(app, message_of())
    assert 10 <= len(writes) <= 13
    found = app.result("1")
    assert (found.status, found.done, found.total) == ("succeeded", 999, 1000)


def test_a_retry_is_known_for_as_long_as_it_is_away(app: App) -> None:
    """So that who cancels it is right that it will not run."""
    runs = []

    @app.task("t", track=True)
    def task() -> None:
        runs.append(1)
        raise Retry(delay=timedelta(days=40), reason="later")

    assert isinstance(deliver(app, message_of()), Retried)
    app.clock.advance(timedelta(days=3))  # type: ignore[attr-defined]  # the fake one
    assert app.cancel_run("1") is CancelAnswer.WILL_NOT_RUN
    app.clock.advance(timedelta(days=37))  # type: ignore[attr-defined]
    assert deliver(app, message_of(), attempt=2) is CANCELLED
    assert runs == [1]


class Numpys(float):
    """A subclass, as `numpy.float64` is one."""


@pytest.mark.parametrize("number", [Numpys(0.5), 2**64], ids=["subclass", "large"])
def test_progress_may_be_any_number_that_is_a_float(app: App, number: float) -> None:
    """It is noted as one: its run's end is noted with it, and no store is taken to be down."""

    @app.task("t", keep_result=HOUR)
    def task(context: Context) -> int:
        context.progress(number, number)
        return 7

    processor = processor_of(app, no_time_limit, heartbeat=False, freezes=False)
    assert processor.process(delivery_of(app, message_of())) == ACKED
    found = app.result("1")
    assert (found.status, found.value, found.done, found.total) == ("succeeded", 7, float(number), float(number))
    assert processor.store_watch is not None
    assert not processor.store_watch.is_down


@pytest.mark.parametrize("decision", [DeadLetter, Retry])
def test_a_reason_of_any_text_is_noted(
    app: App, decision: type[DeadLetter | Retry], caplog: pytest.LogCaptureFixture
) -> None:
    """A file name that isn't UTF-8, say: without what no store has."""
    # The log has the traceback with the text as it is, and pytest-xdist ends if it is given a report with that.
    caplog.set_level(logging.CRITICAL, logger="cloudq.worker")

    @app.task("t", keep_result=HOUR)
    def task() -> None:
        raise decision(reason="no file \udcff")

    deliver(app, message_of())
    status, _, reason = looked(app)
    assert status in {"dead_lettered", "retried"}
    assert "no file ?" in reason


@pytest.mark.parametrize(
    "bad", [-1, float("nan"), float("inf"), pytest.param(10**400, id="too large"), "1", True, None]
)
def test_progress_is_a_number(bad: Any) -> None:
    """Else it is an error of the task's."""
    context = Context(message_of())
    with pytest.raises(ValueError, match="done is a number"):
        context.progress(bad)
    context.progress(1)
    context.progress(1, 2.5)
    assert not context.cancelled.is_set()


# ── without a run ────────────────────────────────────────────────────────────────────────────────────────


def test_what_kills_its_worker_is_dead(app: App) -> None:
    """Though no run could say so."""

    @app.task("t", track=True, retry=RetryPolicy(max_deliveries=3))
    def task() -> None: ...

    app.runtime.results.notes().start("1", "t", owner="a worker that died", attempt=1, keep=None)
    assert isinstance(deliver(app, message_of(), deliveries=100), DeadLettered)
    status, _, reason = looked(app)
    assert status == "dead_lettered"
    assert "worker died" in reason


def test_a_payload_that_does_not_fit_is_dead(app: App) -> None:
    """It was claimed and noted before."""

    @app.task("t", track=True)
    def task(n: int) -> None: ...

    assert isinstance(deliver(app, message_of()), DeadLettered)
    assert looked(app)[0] == "dead_lettered"


# ── a store that fails ───────────────────────────────────────────────────────────────────────────────────


class Broken(MemoryStore):
    """Its notes fail from a moment on."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.fails = False
        for name in ("read", "write"):
            setattr(self.notes, name, self._failing(getattr(self.notes, name)))

    def _failing(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def failing(*arguments: Any, **options: Any) -> Any:
            if self.fails:
                raise StoreUnavailable("down")
            return call(*arguments, **options)

        return failing


@pytest.fixture
def broken() -> Iterator[tuple[App, Broken]]:
    app, clock = App(), FakeClock()
    store = Broken(clock)
    with app.using(MemoryDriver(clock=clock), clock=clock, store=store):
        yield app, store


def test_what_can_not_be_noted_waits(broken: tuple[App, Broken]) -> None:
    """It may have been cancelled; its claim is released."""
    app, store = broken
    runs = []

    @app.task("t", track=True)
    def task() -> None:
        runs.append(1)

    store.fails = True
    outcome = deliver(app, message_of(key="k"))
    assert isinstance(outcome, Snoozed)
    assert outcome.why is Why.STORE_DOWN
    assert runs == []
    record = store.show(ClaimKey("t", "k"))
    assert record is not None
    assert record.state is RecordState.RELEASED


def test_an_edge_whose_time_is_over_before_its_run_is_noted_says_nothing_of_the_store(
    broken: tuple[App, Broken], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where it is over during the claim: others, with more time, aren't kept from asking. The claim is released."""
    app, store = broken

    @app.task("t", track=True)
    def task() -> None: ...

    def hang(*arguments: Any, **options: Any) -> Any:
        raise TimeLimitExceeded

    monkeypatch.setattr(store.notes, "write", hang)
    processor = processor_of(app, no_time_limit, heartbeat=False, freezes=False)
    until = app.clock.elapsed() + timedelta(seconds=5)
    assert isinstance(processor.process(delivery_of(app, message_of(key="k")), until=until), Snoozed)
    assert processor.store_watch is not None
    assert not processor.store_watch.is_down
    record = store.show(ClaimKey("t", "k"))
    assert record is not None
    assert record.state is RecordState.RELEASED


def test_what_can_not_be_noted_runs_where_that_is_declared(broken: tuple[App, Broken]) -> None:
    """`on_store_error="run"`."""
    app, store = broken
    runs = []

    @app.task("t", track=True, on_store_error="run")
    def task() -> None:
        runs.append(1)

    store.fails = True
    assert deliver(app, message_of()) is ACKED
    assert runs == [1]


def test_what_others_leave_their_work_to_waits_for_the_store_nonetheless(broken: tuple[App, Broken]) -> None:
    """`unique_while_waiting`: nobody would note that it has begun, so that the next send was left to it, too."""
    app, store = broken
    runs = []

    @app.task("t", on_store_error="run")
    def task(text: str) -> None:
        runs.append(text)

    unique = task.options(unique_while_waiting=True, waiting_key="k")
    first = unique.send("a")
    store.fails = True
    run_all(app, delayed=False)
    assert runs == []
    store.fails = False
    assert unique.send("b").id == first.id
    app.clock.advance(HOUR)  # type: ignore[attr-defined]  # the fake one
    run_all(app, delayed=False)
    assert runs == ["a"]
    assert not unique.send("b").duplicate


def test_a_result_that_can_not_be_noted_changes_nothing(
    broken: tuple[App, Broken], caplog: pytest.LogCaptureFixture
) -> None:
    """The task is done, and isn't done again."""
    app, store = broken

    @app.task("t", keep_result=HOUR)
    def task() -> int:
        store.fails = True
        return 7

    with caplog.at_level(logging.WARNING, "cloudq"):
        assert deliver(app, message_of()) is ACKED
    assert "couldn't be noted" in caplog.text
    store.fails = False
    assert app.result("1").status == "running"
    app.clock.advance(timedelta(minutes=1))  # type: ignore[attr-defined]
    assert app.result("1").silent


def test_a_send_that_can_not_be_noted_is_sent(broken: tuple[App, Broken], caplog: pytest.LogCaptureFixture) -> None:
    """The message is stored, which is what a send is about."""
    app, store = broken

    @app.task("t", track=True)
    def task() -> int: ...  # type: ignore[empty-body]

    store.fails = True
    with caplog.at_level(logging.WARNING, "cloudq"):
        sent = task.send()
    assert "couldn't be noted" in caplog.text
    store.fails = False
    run_all(app)
    assert app.result(sent).status == "succeeded"


def test_without_a_store_nothing_is_tracked() -> None:
    """A send that asks for it is refused; a worker says so once."""
    app = App("memory://", store="none")

    @app.task("t")
    def task() -> None: ...

    with app.using(MemoryDriver(), clock=FakeClock()):
        with pytest.raises(cloudq.UnsupportedError, match="without a store"):
            task.options(track=True).send()
        with pytest.raises(cloudq.UnsupportedError, match="without a store"):
            app.result("1")
        assert deliver(app, message_of(tracked=True)) is ACKED


# ── dead letters ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_redriven_dead_letter_has_a_result(app: App) -> None:
    """By the same id, so that a caller who waits gets it."""
    broken = [True]

    @app.task("t", keep_result=HOUR)
    def task() -> int:
        if broken:
            raise DeadLetter("no disk")
        return 7

    sent = task.send()
    run_all(app)
    assert app.result(sent).status == "dead_lettered"
    assert app.cancel_run(sent) is CancelAnswer.TOO_LATE
    broken.clear()
    assert app.queue("default").dead_letters.redrive().redriven == 1
    run_all(app)
    assert sent.result(timedelta(0)) == 7


def test_work_that_another_delivery_did_has_no_result_here(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its transaction found the completion: `None` isn't what it returned."""

    @app.task("t", keep_result=HOUR)
    def task() -> int | None:
        raise RuntimeError("the completion is there")

    monkeypatch.setattr("cloudq.tasks.job.is_done_already", lambda context, error: True)
    assert deliver(app, message_of()) == DUPLICATE
    found = app.result("1")
    assert (found.status, found.kept) == ("succeeded", False)
    assert "not kept" in found.reason
