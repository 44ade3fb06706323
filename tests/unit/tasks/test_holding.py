"""What a framework's transaction holds, and what it doesn't."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import timedelta

import pytest

import cloudq
from cloudq.core.message import Message
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import OptionError
from cloudq.tasks.holding import Holder, Unheld, Ways, unheld
from cloudq.tasks.sent import Sent


class Transaction(Holder):
    """Keeps what it is given, until it is committed; `None`: none is open."""

    def __init__(self) -> None:
        self.kept: list[tuple[Message, Ways]] = []
        self.is_open = True

    def hold(self, messages: Sequence[Message], ways: Ways) -> list[Sent] | None:
        if not self.is_open:
            return None
        self.kept += [(message, ways) for message in messages]
        return [Sent(id=message.id, stored=False) for message in messages]

    def commit(self) -> list[object]:
        self.is_open = False
        return [result for message, ways in self.kept for result in ways.send([message])]


@pytest.fixture
def app() -> Iterator[cloudq.App]:
    app = cloudq.App("memory://")
    app.task("note")(lambda n: None)
    with app.using(MemoryDriver()):
        yield app


@pytest.fixture
def transaction(app: cloudq.App) -> Transaction:
    transaction = Transaction()
    app.runtime.open_transaction = lambda: transaction
    return transaction


def waiting(app: cloudq.App) -> int | None:
    return app.queue("default").stats().ready


def test_held_until_the_commit(app, transaction):
    """Nothing is stored before, and `Sent` says so; the id is the message's."""
    held = app.send("note", {"n": 1})
    assert (False, None, 0) == (held.stored, held.receipt, waiting(app))
    (sent,) = transaction.commit()
    assert (held.id, True, 1) == (sent.id, sent.stored, waiting(app))


async def _asend(app: cloudq.App) -> list[Sent]:
    task = app.tasks["note"]
    return [await app.asend("note", {"n": 1}), *await app.asend_many([task.call(n=2), task.call(n=3)])]


def test_every_way_of_sending_is_held(app, transaction):
    """Several at once, and from async code."""
    task = app.tasks["note"]
    assert [False] * 2 == [sent.stored for sent in app.send_many([task.call(n=1), task.call(n=2)])]
    assert [False] * 3 == [sent.stored for sent in asyncio.run(_asend(app))]
    assert (0, 5) == (waiting(app), len(transaction.kept))


def test_on_commit_false_sends_at_once(app, transaction):
    """By whatever way the option comes to the send; and several, if all of them say so."""
    task = app.tasks["note"].options(on_commit=False)
    assert [True] * 4 == [
        app.send("note", {"n": 1}, on_commit=False).stored,
        task.send(n=2).stored,
        *(sent.stored for sent in app.send_many([task.call(n=3), task.call(n=4)])),
    ]
    assert app.send("not declared here", {}, on_commit=False).stored
    assert asyncio.run(task.asend(n=5)).stored
    assert [True] == [sent.stored for sent in asyncio.run(app.asend_many([task.call(n=6)]))]
    assert (7, []) == (waiting(app), transaction.kept)
    with pytest.raises(OptionError, match="on_commit=False, and some don't"):
        app.send_many([task.call(n=7), app.tasks["note"].call(n=8)])
    assert 7 == waiting(app)


def test_none_is_open_after_all(app, transaction):
    """Then it is sent as always."""
    transaction.is_open = False
    assert app.send("note", {"n": 1}).stored
    assert [True] * 3 == [sent.stored for sent in asyncio.run(_asend(app))]
    assert 4 == waiting(app)


def test_what_fails_after_the_commit_is_told(app, transaction):
    """An error for each that isn't stored, which keeps no other from being sent."""
    app.send("note", {"n": 1})
    app.send("note", {"n": 2}, queue="default")
    (first, ways), (second, _) = transaction.kept
    broken = Message(id="x", task="note", queue="not a queue!")
    results = ways.send([first, broken, second])
    assert [True, False, True] == [isinstance(result, Sent) for result in results]
    assert 2 == waiting(app)


def test_an_option_of_another_type(app):
    """Is refused."""
    with pytest.raises(OptionError, match="on_commit is a bool"):
        app.send("note", {"n": 1}, on_commit="no")


def test_the_same_message():
    """Being held or not is no part of it: what it carries stays."""
    message = Message(id="1", task="note", queue="default", payload={"n": 1}, time_limit=timedelta(seconds=5))
    assert isinstance(unheld(message), Unheld)
    assert repr(message) == repr(unheld(message))
    assert message.native_id() == unheld(message).native_id()
