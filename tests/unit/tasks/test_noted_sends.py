"""Debounce and unique while waiting: what a send stores and what runs, whatever happens in between."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from cloudq import App, CloudqError, ConfigurationError, Task, UnsupportedError
from cloudq.core.message import Message
from cloudq.core.tracking import DEBOUNCE, TRACKED
from cloudq.errors import StoreUnavailable, TimeLimitExceeded
from cloudq.tasks.noted_sends import refuse_waiting
from cloudq.testing import FakeClock, in_memory, run_all
from tests.unit.core.limit_for_tests import limited

SPAN = timedelta(seconds=30)


class Bench:
    def __init__(self, app: App, clock: FakeClock) -> None:
        self.app, self.clock = app, clock
        self.runs: list[str] = []

        @app.task("index")
        def index(text: str) -> None:
            self.runs.append(text)

        self.index: Task[[str], None] = index
        self.debounced = index.options(debounce=SPAN, waiting_key="k")
        self.unique = index.options(unique_while_waiting=True, waiting_key="k")

    def run(self) -> list[str]:
        run_all(self.app)
        return self.runs


@pytest.fixture
def bench() -> Iterator[Bench]:
    clock = FakeClock()
    with in_memory(App(), clock=clock) as app:
        yield Bench(app, clock)


# ── debounce ─────────────────────────────────────────────────────────────────────────────────────────────


def test_of_several_in_a_row_the_last_one_runs(bench: Bench) -> None:
    """The others are acknowledged unrun, and say by whom they were replaced."""
    first, second, third = (bench.debounced.send(text) for text in ("a", "b", "c"))
    assert bench.run() == ["c"]
    assert [bench.app.result(sent).status for sent in (first, second, third)] == ["cancelled", "cancelled", "succeeded"]
    assert second.id in bench.app.result(first).reason


def test_what_is_sent_later_runs_too(bench: Bench) -> None:
    """The first one has been started by then."""
    bench.debounced.send("a")
    bench.run()
    bench.debounced.send("b")
    assert bench.run() == ["a", "b"]


def test_keys_are_debounced_apart(bench: Bench) -> None:
    """By default each payload is a key."""
    bench.index.options(debounce=SPAN).send("a")
    bench.index.options(debounce=SPAN).send("a")
    bench.index.options(debounce=SPAN).send("b")
    bench.index.options(debounce=SPAN, waiting_key="other").send("c")
    assert sorted(bench.run()) == ["a", "b", "c"]


def test_a_crash_after_the_store_of_a_message_leaves_one_too_many(bench: Bench) -> None:
    """Never one too few: the one before is dropped last of all."""
    bench.debounced.send("a")
    notes = bench.app.runtime.store.notes  # type: ignore[union-attr]  # there is one
    write = notes.write
    for fails_at in range(3):
        calls = []

        def die(*arguments: Any, fails_at: int = fails_at, calls: list[int] = calls, **options: Any) -> Any:
            calls.append(1)
            if len(calls) > fails_at:
                raise KeyboardInterrupt
            return write(*arguments, **options)

        notes.write = die  # type: ignore[method-assign]
        with pytest.raises(KeyboardInterrupt):
            bench.debounced.send(f"b{fails_at}")
        notes.write = write  # type: ignore[method-assign]
    assert {"b0", "b1", "b2"} <= set(bench.run())


# ── unique while waiting ─────────────────────────────────────────────────────────────────────────────────


def test_while_one_waits_nothing_is_stored(bench: Bench) -> None:
    """The send names the one that waits."""
    first, second = bench.unique.send("a"), bench.unique.send("b")
    assert (second.id, second.duplicate, second.receipt) == (first.id, True, None)
    assert bench.app.queue("default").stats().ready == 1
    assert bench.run() == ["a"]


def test_once_it_runs_the_next_one_waits(bench: Bench) -> None:
    """Also while it runs: what came up after its start is done after it."""
    bench.unique.send("a")
    bench.run()
    assert bench.unique.send("b").duplicate is not True
    assert bench.run() == ["a", "b"]


def test_of_many_that_are_sent_at_once_one_runs(bench: Bench) -> None:
    """Those that were stored at the same time are dropped, but for one; all of them name it."""
    with ThreadPoolExecutor(8) as pool:
        sent = list(pool.map(bench.unique.send, "abcdefgh"))
    assert len({one.id for one in sent}) == 1
    assert [one.duplicate for one in sent].count(True) == 7
    assert len(bench.run()) == 1


def test_what_was_cancelled_is_not_waited_for(bench: Bench) -> None:
    """The next one is stored."""
    first = bench.unique.send("a")
    bench.app.cancel_run(first)
    assert bench.unique.send("b").id != first.id
    assert bench.run() == ["b"]


def test_what_was_taken_out_of_its_queue_is_not_waited_for(bench: Bench) -> None:
    """By its receipt, which says what was noted: the next one is stored, and runs; the other is known as cancelled."""
    first = bench.unique.send("a")
    assert bench.app.cancel(str(first.receipt))
    assert bench.unique.send("b").id != first.id
    assert bench.run() == ["b"]
    assert bench.app.result(first).status == "cancelled"
    assert bench.app.result(first).task == "index"


def test_what_was_started_stays_what_it_is(bench: Bench) -> None:
    """A receipt that comes too late changes nothing of what is noted."""
    first = bench.unique.send("a")
    bench.run()
    assert not bench.app.cancel(first)
    assert bench.app.result(first).status == "succeeded"


def test_a_cancellation_is_one_though_the_store_is_down(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """The message is gone from its queue."""

    def fail(*_: object, **__: object) -> Any:
        raise StoreUnavailable("no route to host")

    first = bench.unique.send("a")
    bench.app.runtime.store.notes.read = fail  # type: ignore[union-attr, method-assign]
    assert bench.app.cancel(first)
    assert f"{first.id} is cancelled, and couldn't be noted so: no route to host" in caplog.text


def test_a_time_limit_that_strikes_while_a_cancellation_is_noted_is_raised_after_it(bench: Bench) -> None:
    """It is no failure of the store, and the task that cancels isn't to go on without a limit."""
    first = bench.unique.send("a")
    notes: Any = bench.app.runtime.store.notes  # type: ignore[union-attr]
    with limited() as limit:
        notes.write = limit.over_in(notes.write)
        with pytest.raises(TimeLimitExceeded):
            bench.app.cancel(first)
    assert bench.app.result(first).status == "cancelled"


def test_a_purged_one_is_waited_for_for_an_hour(bench: Bench) -> None:
    """No longer."""
    bench.unique.send("a")
    bench.app.queue("default").purge()
    assert bench.unique.send("b").duplicate is True
    bench.clock.advance(timedelta(hours=1))
    assert bench.unique.send("c").duplicate is not True
    assert bench.run() == ["c"]


async def _send(bench: Bench) -> list[Any]:
    return [await bench.unique.asend(text) for text in "ab"]


def test_async_sends_are_unique_too(bench: Bench) -> None:
    """In a thread: the loop isn't blocked."""
    import asyncio

    first, second = asyncio.run(_send(bench))
    assert (second.id, second.duplicate) == (first.id, True)


def test_a_store_that_is_down_refuses_before_anything_is_stored(bench: Bench) -> None:
    """Else there might be two."""

    def fail(*_: object, **__: object) -> Any:
        raise StoreUnavailable("down")

    bench.app.runtime.store.notes.read = fail  # type: ignore[union-attr, method-assign]
    with pytest.raises(StoreUnavailable):
        bench.unique.send("a")
    assert bench.app.queue("default").stats().ready == 0


def test_many_at_once_are_not_sent_so(bench: Bench) -> None:
    """Each of them would have to look alone. Tracking is fine."""
    with pytest.raises(UnsupportedError, match="sent together with others"):
        bench.app.send_many([bench.index.call("a"), bench.debounced.call("b")])
    assert bench.app.queue("default").stats().ready == 0
    sent = bench.app.send_many([bench.index.options(track=True).call("a"), bench.index.call("b")])
    assert [bench.app.result(one).status for one in sent] == ["waiting", "unknown"]


def test_others_refuse_what_has_to_be_sent_alone() -> None:
    """In their own words."""
    refuse_waiting(Message(id="1", task="t", queue="q", extensions={TRACKED: True}), "sent by an outbox")
    with pytest.raises(UnsupportedError, match="can't be sent by an outbox"):
        refuse_waiting(Message(id="1", task="t", queue="q", extensions={DEBOUNCE: "k"}), "sent by an outbox")


def test_in_eager_mode_all_run_at_once(bench: Bench) -> None:
    """Nothing waits there."""
    with bench.app.eager():
        bench.unique.send("a")
        bench.unique.send("b")
        bench.debounced.send("c")
    assert bench.runs == ["a", "b", "c"]


def test_an_outbox_refuses_what_has_to_be_sent_alone(bench: Bench) -> None:
    """Its relay couldn't look for the one that waits."""
    connection = sqlite3.connect(":memory:")
    connection.execute("begin")
    for task in (bench.debounced, bench.unique):
        with pytest.raises(UnsupportedError, match="can't be sent by an outbox"):
            bench.app.outbox(connection).send(task.call("a"))
    connection.close()


@pytest.mark.parametrize("error", [StoreUnavailable, ConfigurationError])
def test_a_store_that_can_not_be_opened_keeps_no_tracked_message_from_being_sent(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: type[CloudqError]
) -> None:
    """Nor a debounced one; only what is to be looked for is refused. Who got an error would send it again."""

    def fail(url: str, **options: object) -> None:
        raise error("no route to host")

    monkeypatch.setattr("cloudq.queues.store_connection.open_store", fail)
    app = App("memory://", store="redis://localhost")
    task = app.task("t")(lambda: None)
    task.options(track=True).send()
    task.options(debounce=SPAN).send()
    app.send_many([task.options(track=True).call()])
    assert caplog.text.count("couldn't be noted: no route to host") == 3
    with pytest.raises(error):
        task.options(unique_while_waiting=True).send()
    assert app.queue("default").stats().ready + app.queue("default").stats().delayed == 3
