"""Functions of the program at the start and the end of a process, and for dead letters."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

import cloudq
from cloudq import App, DeadLetter
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.failure import Failure
from cloudq.core.outcome import DeadLettered
from cloudq.errors import ConfigurationError
from cloudq.tasks.hooks import DeadDelivery, Hooks, Process
from cloudq.testing import in_memory, run_all

DEAD = DeadLettered(reason="no such order", failure=Failure(reason="no such order"))


def noting(calls: list[str], what: str) -> Callable[[], None]:
    return lambda: calls.append(what)


def test_they_are_called_once_a_process_in_their_order() -> None:
    """At the start of its first edge and at the end of its last; what was opened last closes first."""
    calls: list[str] = []
    hooks = Hooks()
    for what in "ab":
        hooks.on_start(noting(calls, f"start {what}"))
        hooks.on_stop(noting(calls, f"stop {what}"))
    one, other = Process(hooks), Process(hooks)
    one.start()
    one.start()
    other.start()
    one.stop()
    one.stop()
    assert ["start a", "start b"] == calls
    other.stop()
    assert ["start a", "start b", "stop b", "stop a"] == calls
    other.start()
    assert ["start a", "start b"] == calls[4:]


def test_what_has_not_started_does_not_stop() -> None:
    """Where a start failed, or in a fork of a process that has started."""
    calls: list[str] = []
    hooks = Hooks()
    hooks.on_stop(noting(calls, "stop"))
    process = Process(hooks)
    process.stop()
    hooks.stop()
    assert [] == calls
    process.start()
    if (child := os.fork()) == 0:
        process.stop()
        os._exit(len(calls))
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    process.stop()
    assert ["stop"] == calls


def test_a_start_that_fails_is_begun_anew() -> None:
    """Nothing has started then: the next one calls all of them again."""
    calls: list[str] = []
    hooks = Hooks()

    def connect() -> None:
        calls.append("connect")
        if len(calls) == 1:
            raise ConnectionError("no database")

    hooks.on_start(connect)
    hooks.on_stop(noting(calls, "stop"))
    process = Process(hooks)
    with pytest.raises(ConnectionError):
        process.start()
    process.stop()
    process.start()
    assert ["connect", "connect"] == calls


@pytest.mark.parametrize("code", [None, 0])
def test_a_start_that_leaves_has_not_succeeded(code: int | None, caplog: pytest.LogCaptureFixture) -> None:
    """It is named, with its traceback: who reads the log has nothing else."""
    hooks = Hooks()

    def connect() -> None:
        raise SystemExit(code)

    hooks.on_start(connect)
    with pytest.raises(SystemExit) as left:
        Process(hooks).start()
    assert 1 == left.value.code
    [record] = caplog.records
    assert record.getMessage().startswith("on_start: ")
    assert record.getMessage().endswith("connect failed")
    assert record.exc_info


def test_where_a_later_start_fails_what_an_earlier_one_opened_is_closed() -> None:
    """By all of on_stop; nothing is closed a second time at the end, as nothing has started."""
    calls: list[str] = []
    hooks = Hooks()

    def connect() -> None:
        calls.append("connect")
        if calls.count("connect") == 1:
            raise ConnectionError("no database")

    hooks.on_start(noting(calls, "open a"))
    hooks.on_stop(noting(calls, "close a"))
    hooks.on_start(connect)
    hooks.on_stop(noting(calls, "close b"))
    process = Process(hooks)
    with pytest.raises(ConnectionError):
        process.start()
    assert ["open a", "connect", "close b", "close a"] == calls
    process.stop()
    assert 4 == len(calls)
    process.start()
    assert ["open a", "connect"] == calls[4:]


def test_a_stop_that_fails_keeps_no_other_from_being_called(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged."""
    calls: list[str] = []
    hooks = Hooks()
    hooks.on_stop(noting(calls, "first"))

    def close() -> None:
        raise SystemExit(1)

    hooks.on_stop(close)
    hooks.start()
    hooks.stop()
    assert ["first"] == calls
    assert "close failed" in caplog.text


def test_what_nothing_would_await_is_refused() -> None:
    """And what isn't a function."""
    app = App("memory://")

    async def connect() -> None: ...

    with pytest.raises(ConfigurationError, match="coroutine function"):
        app.on_start(connect)
    with pytest.raises(ConfigurationError, match="on_dead takes a function, not 7"):
        app.on_dead(7)  # type: ignore[type-var]  # that's the point


def test_a_function_stays_what_it_is() -> None:
    """They are decorators; the default app's too."""

    def connect() -> None: ...

    assert connect is App("memory://").on_start(connect)
    assert callable(cloudq.on_stop)


# ── dead letters ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_dead_letter_is_told_with_what_is_known_of_it() -> None:
    """Whatever the reason; the details are those that are kept with it."""
    app = App("memory://")
    seen: list[DeadDelivery] = []
    app.on_dead(seen.append)

    @app.task("pay")
    def pay(order: int) -> None:
        raise DeadLetter("no such order")

    with in_memory(app):
        sent = pay.send(order=42)
        run_all(app)
    [dead] = seen
    assert (sent.id, "default", "pay", 1, "no such order") == (
        dead.id,
        dead.queue,
        dead.task,
        dead.attempt,
        dead.reason,
    )
    assert dead.message is not None
    assert {"order": 42} == dead.message.payload
    assert (dead.failure.error_type or "").endswith("DeadLetter")


def test_one_that_can_not_be_read_is_told_too(caplog: pytest.LogCaptureFixture) -> None:
    """And a function that fails changes nothing."""
    hooks = Hooks()
    seen: list[DeadDelivery] = []

    def page(dead: DeadDelivery) -> None:
        raise ConnectionError("no pager")

    hooks.on_dead(page)
    hooks.on_dead(seen.append)
    lease = Lease(queue="q", receipt=None, ends=timedelta(0), expires_at=datetime(2026, 1, 2, tzinfo=UTC))
    hooks.tell_dead(
        Delivery(id="1", queue="q", body=b"", message=None, undecodable="no", attempt=1, deliveries=1, lease=lease),
        DEAD,
    )
    assert [("1", None)] == [(dead.id, dead.task) for dead in seen]
    assert "page failed" in caplog.text
