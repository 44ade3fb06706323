"""What waits for a commit, where something cuts the callbacks of that commit short."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

import cloudq
from cloudq.core.clock import SystemClock
from cloudq.core.shield import Ended, interrupter
from cloudq.errors import TimeLimitExceeded
from cloudq.integrations.django import held
from cloudq.running.time_limits import ThreadTimeLimits


class Undone(Exception):
    """Ends a block."""


@pytest.fixture
def transaction(databases: Any) -> Any:
    from django.db import transaction

    return transaction


@pytest.fixture
def lost(caplog: pytest.LogCaptureFixture) -> Iterator[Any]:
    """What the log says of messages that weren't sent. They are as many as are counted."""
    before = held.failures.count

    def said() -> list[str]:
        lines = [record.getMessage() for record in caplog.records if record.name == "cloudq.django"]
        assert len(lines) == held.failures.count - before
        return lines

    with caplog.at_level(logging.ERROR, "cloudq.django"):
        yield said


def ready(app: cloudq.App) -> int | None:
    return app.queue("default").stats().ready


def raising(error: BaseException) -> Any:
    def callback() -> None:
        raise error

    return callback


@pytest.mark.parametrize(
    "error",
    [ValueError("the project's own"), TimeLimitExceeded(), Ended()],
    ids=["error", "time-limit", "limit-that-insists"],
)
def test_another_callback_that_raises_keeps_nothing_from_being_sent(app, transaction, lost, error):
    """Django drops the callbacks behind it, and raises its error: so it does still. Nothing is sent twice."""
    ran: list[int] = []

    @transaction.atomic(using="one")
    def buy() -> None:
        app.send("note", {"n": 1})
        transaction.on_commit(raising(error), using="one")
        transaction.on_commit(lambda: ran.append(1), using="one")
        app.send("note", {"n": 2})
        app.send_many([app.tasks["note"].call(n=3), app.tasks["note"].call(n=4)])

    with pytest.raises(type(error)):
        buy()
    assert (4, [], []) == (ready(app), ran, lost())


def test_what_was_rolled_back_to_a_savepoint_isnt_sent_then(app, transaction, lost):
    """Nor what the next transaction of the connection rolls back."""

    @transaction.atomic(using="one")
    def buy() -> None:
        transaction.on_commit(raising(ValueError("the project's own")), using="one")
        with suppress(Undone), transaction.atomic(using="one"):
            app.send("note", {"n": 1})
            raise Undone
        app.send("note", {"n": 2})

    with pytest.raises(ValueError, match="own"):
        buy()
    with suppress(Undone), transaction.atomic(using="one"):
        app.send("note", {"n": 3})
        raise Undone
    assert (1, []) == (ready(app), lost())


def test_a_time_limit_that_strikes_while_one_is_sent_loses_none(app, transaction, lost, monkeypatch):
    """It is raised once that is stored; the others are sent, and the task ends as one that was too long."""
    limits = ThreadTimeLimits(SystemClock())
    send, sent = app._send_held, []

    def struck(messages: Any) -> Any:
        with limits.lock:
            guard: Any = interrupter()
            if not guard.fired:
                guard.fire()
        sent.append(len(messages))
        return send(messages)

    monkeypatch.setattr(app, "_send_held", struck)

    @transaction.atomic(using="one")
    def buy() -> None:
        for n in range(3):
            app.send("note", {"n": n})

    with pytest.raises(TimeLimitExceeded), limits(timedelta(hours=1)):
        buy()
    limits.close()
    assert (3, [1, 1, 1], []) == (ready(app), sent, lost())


def test_the_end_of_the_process_is_logged_and_counted_for_each(app, transaction, lost, monkeypatch):
    """Of a message that was on its way nobody knows; those behind it aren't sent any more."""

    def told_to_end(_: Any) -> Any:
        raise SystemExit

    ids: list[str] = []

    @transaction.atomic(using="one")
    def buy() -> None:
        app.send("note", {"n": 0})
        ids.append(app.send("note", {"n": "secret"}).id)
        ids.extend(sent.id for sent in app.send_many([app.tasks["note"].call(n=2), app.tasks["note"].call(n=3)]))
        second = transaction.get_connection("one").run_on_commit[1][1]
        monkeypatch.setattr(second, "_ways", second._ways._replace(send=told_to_end))

    with pytest.raises(SystemExit):
        buy()
    said = lost()
    assert 1 == ready(app)
    assert ids == [line.split()[1] for line in said]
    assert "may be lost" in said[0]
    assert all("for queue default wasn't sent after its transaction's commit, and is lost" in line for line in said[1:])
    assert not any("secret" in line for line in said)


def test_what_the_backend_raises_itself_is_no_error_of_the_callback(app, transaction, lost, monkeypatch):
    """An error of no known kind, too: the other callbacks run, and each message is named."""

    def broken(_: Any) -> Any:
        raise ZeroDivisionError

    ran: list[int] = []
    monkeypatch.setattr(app, "_send_held", broken)
    with transaction.atomic(using="one"):
        app.send_many([app.tasks["note"].call(n=2), app.tasks["note"].call(n=3)])
        transaction.on_commit(lambda: ran.append(1), using="one")
    assert ([1], 2) == (ran, len(lost()))
