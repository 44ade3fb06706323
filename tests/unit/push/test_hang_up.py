"""Whether whoever pushed has hung up: told, looked for, or unknown."""

from __future__ import annotations

import importlib.util
import select
import socket
from types import SimpleNamespace

import pytest

from cloudq.push.hang_up import HangUp, hang_up_under_wsgi, is_cut


def test_it_is_told_once():
    """Whoever asks later is told at once, and whoever doesn't care any more not at all."""
    said: list[str] = []
    hang_up = HangUp()
    hang_up.then(lambda: said.append("first"))
    assert not hang_up.look()
    hang_up.report()
    hang_up.report()
    assert hang_up.look()
    hang_up.then(lambda: said.append("later"))
    assert ["first", "later"] == said
    forgotten = HangUp()
    forgotten.then(lambda: said.append("never"))
    forgotten.forget()
    forgotten.report()
    assert ["first", "later"] == said


def test_a_look_tells():
    """Where somebody has to look, the look is what tells; after that nobody asks any more."""
    answers = iter([False, True])
    hang_up = HangUp(lambda: next(answers))
    said: list[str] = []
    hang_up.then(lambda: said.append("told"))
    assert hang_up.silent
    assert not hang_up.look()
    assert hang_up.look()
    assert hang_up.look()
    assert ["told"] == said
    assert not HangUp().silent


def test_a_connection_is_cut_when_either_side_closes_it():
    """What the other side has sent doesn't count, and isn't read."""
    here, there = socket.socketpair()
    with here:
        there.sendall(b"more")
        assert not is_cut(here)
        assert b"more" == here.recv(10)
        there.close()
        assert is_cut(here)
    assert is_cut(here)


class DeafPoll:
    """As gevent's: it tells of no event but those it knows."""

    def register(self, *_: object) -> None:
        """Takes it."""

    def poll(self, *_: object) -> list[object]:
        return []


@pytest.mark.parametrize("greenlets", ["gevent", "eventlet"])
def test_greenlets_hide_no_cut(greenlets, monkeypatch):
    """They patch a program before it imports anything else: one takes `poll` away, the other's is deaf to this."""
    if greenlets == "eventlet":
        monkeypatch.delattr(select, "poll")
    else:
        monkeypatch.setattr(select, "poll", DeafPoll)
    spec = importlib.util.find_spec("cloudq.push.hang_up")
    patched = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(patched)
    here, there = socket.socketpair()
    with here:
        assert not patched.is_cut(here)
        there.close()
        assert patched.is_cut(here)


def test_a_look_that_fails_tells_nothing():
    """A server's own function, say: the push goes on, and so does whoever looks after all others."""

    def probe() -> bool:
        raise RuntimeError("no")

    assert not HangUp(probe).look()
    assert not hang_up_under_wsgi({"gunicorn.socket": object()}).look(), "it is no socket"


@pytest.mark.parametrize("name", ["gunicorn.socket", "werkzeug.socket"])
def test_servers_that_show_their_socket(name):
    """gunicorn and Werkzeug do: it can be looked at."""
    here, there = socket.socketpair()
    with here:
        hang_up = hang_up_under_wsgi({name: here})
        assert hang_up.silent
        assert not hang_up.look()
        there.close()
        assert hang_up.look()


def test_waitress_has_a_function():
    """Which says so by itself."""
    state = SimpleNamespace(gone=False)
    hang_up = hang_up_under_wsgi({"waitress.client_disconnected": lambda: state.gone})
    assert not hang_up.look()
    state.gone = True
    assert hang_up.look()


def test_elsewhere_nothing_is_known():
    """WSGI itself has no word for it: nothing is lost but the early notice."""
    hang_up = hang_up_under_wsgi({})
    assert not hang_up.silent
    assert not hang_up.look()
