"""`HangUp`: whether a push's sender has hung up. Then nobody waits for the answer, and the message is pushed again."""

from __future__ import annotations

import select
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, Protocol

# That the other side closed its half is an event of its own on Linux; elsewhere it is a hang-up (poll(2)).
_EVENTS: Final[int] = getattr(select, "POLLRDHUP", 0) | getattr(select, "POLLHUP", 0)
# Servers that put the connection's socket into the environment (gunicorn 23, Werkzeug 3).
_SOCKETS: Final = ("gunicorn.socket", "werkzeug.socket")
# A function of waitress 3, where `channel_request_lookahead` is set.
_WAITRESS: Final = "waitress.client_disconnected"


class HangUp:
    """Whether a push's sender has hung up. Thread-safe.

    Args:
        probe: Returns whether it has, without blocking; `None` where `report` is called instead, or nothing is known.
    """

    def __init__(self, probe: Callable[[], bool] | None = None) -> None:
        self._probe = probe
        self._lock = threading.Lock()
        # Guarded by the lock.
        self._happened = False
        self._tell: Callable[[], None] | None = None

    @property
    def silent(self) -> bool:
        """Whether it is noticed by `look` only, which has to be called again and again."""
        return self._probe is not None

    def look(self) -> bool:
        """Whether it has happened."""
        if not self._happened and self._probe is not None and self._probe():
            self.report()
        return self._happened

    def report(self) -> None:
        """Notes that it has happened, and calls what `then` was given. Calling it again changes nothing."""
        with self._lock:
            self._happened = True
            tell, self._tell = self._tell, None
        if tell is not None:
            tell()

    def then(self, tell: Callable[[], None]) -> None:
        """Calls `tell` once it has happened, in any thread; now, if it has."""
        with self._lock:
            if not self._happened:
                self._tell = tell
                return
        tell()

    def forget(self) -> None:
        """Drops what `then` was given."""
        with self._lock:
            self._tell = None


class Connected(Protocol):
    """A connection's socket, as far as it is looked at."""

    def fileno(self) -> int:
        """Its number, negative once it is closed."""
        ...


def hang_up_under_wsgi(environ: Mapping[str, Any]) -> HangUp:
    """What can be known under WSGI, which doesn't define it: gunicorn, Werkzeug and waitress each have a way to tell.

    Under another server no hang-up is ever noticed.
    """
    disconnected = environ.get(_WAITRESS)
    if callable(disconnected):
        return HangUp(lambda: bool(disconnected()))
    for name in _SOCKETS:
        connection = environ.get(name)
        if _EVENTS and connection is not None:
            return HangUp(partial(is_cut, connection))
    return HangUp()


def is_cut(connection: Connected) -> bool:
    """Whether the other side has closed the connection, or this one has. Reads nothing."""
    try:
        poll = select.poll()
        poll.register(connection, _EVENTS)
        return bool(poll.poll(0))
    except (OSError, ValueError):
        return True  # it is closed
