"""A run in a forked child: no `finally` runs, what it sent is kept, and the parent goes on alone."""

from __future__ import annotations

import os
from datetime import timedelta

import pytest

from cloudq import App
from cloudq.core.store import ClaimKey, RecordState
from cloudq.errors import ConfigurationError
from cloudq.testing import FakeClock, in_memory, sent
from cloudq.testing.memory import memory_of
from cloudq.testing.redelivery import killing
from cloudq.testing.redelivery.killing import kill_in_a_child

pytestmark = pytest.mark.slow


@pytest.fixture
def app():
    """In memory."""
    with in_memory(App(), clock=FakeClock()) as app:
        yield app


def test_no_finally_runs_in_a_child_that_is_killed(app, tmp_path):
    """Unlike with any exception."""

    def run(die):
        try:
            (tmp_path / "effect").touch()
            die("there")
        finally:
            (tmp_path / "finally").touch()

    assert "there" == kill_in_a_child(app, memory_of(app), run).point
    assert ["effect"] == [file.name for file in tmp_path.iterdir()]


def test_what_the_child_sent_is_there(app):
    """Accepted is accepted, whatever becomes of the sender."""

    def run(die):
        assert app.send("child", {"n": 1}).id
        die("sent")

    kill_in_a_child(app, memory_of(app), run)
    assert [("child", {"n": 1})] == [(message.task, message.payload) for message in sent(app)]


def test_what_the_child_claimed_is_claimed(app):
    """In the store of its parent, where the claim lapses: nobody gives it back."""
    key = ClaimKey("t", "k")

    def run(die):
        app.runtime.store.claim(
            key, owner="child", lease=timedelta(minutes=2), fingerprint=b"f", keep=timedelta(days=1)
        )
        die("claimed")

    kill_in_a_child(app, memory_of(app), run)
    assert ("child", b"f") == (app.runtime.store.show(key).owner, app.runtime.store.show(key).fingerprint)
    app.clock.advance(timedelta(minutes=2))
    assert RecordState.LAPSED is app.runtime.store.show(key).state


def test_its_memory_is_gone(app):
    """As that of a process that died."""
    memory = []

    def run(die):
        memory.append(1)
        die("there")

    kill_in_a_child(app, memory_of(app), run)
    assert [] == memory


@pytest.mark.parametrize(
    ("run", "why"),
    [
        (lambda die: 1 / 0, "ZeroDivisionError"),
        (lambda die: None, "without being killed"),
        (lambda die: os._exit(3), "ended by itself"),
    ],
    ids=["error", "return", "exit"],
)
def test_a_child_that_does_something_else_is_an_error(app, run, why, monkeypatch):
    """Said in the parent, and the child isn't left behind."""
    fork, children = os.fork, []

    def noted():
        child = fork()
        children.append(child)
        return child

    monkeypatch.setattr(os, "fork", noted)
    with pytest.raises(RuntimeError, match=why):
        kill_in_a_child(app, memory_of(app), run)
    with pytest.raises(ChildProcessError):
        os.waitpid(*children, os.WNOHANG)


def test_a_child_that_never_ends_is_killed(app, monkeypatch):
    """After the tester's patience."""
    monkeypatch.setattr(killing, "PATIENCE", 0.2)
    with pytest.raises(RuntimeError, match="didn't end within"):
        kill_in_a_child(app, memory_of(app), lambda die: os.read(os.pipe()[0], 1))


def test_without_the_childs_driver_a_fork_refuses_to_send(app):
    """Why the child is given one: a lent driver isn't used in two processes."""
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            app.send("child")
        except ConfigurationError:
            os.write(writes, b"refused")
        finally:
            os._exit(0)
    os.close(writes)
    os.waitpid(child, 0)
    assert b"refused" == os.read(reads, 100)
    os.close(reads)
