"""`HangUp`: whether a push's sender has hung up. Then nobody waits for the answer, and the message is pushed again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec, module_from_spec
from typing import Any, Final, Protocol

from cloudq.core.safe_log import SafeLogger

logger = SafeLogger("cloudq.push")


def _select_as_python_has_it() -> Any:
    """A copy of the module: `poll` is asked without waiting, so greenlets have no need of a replacement.

    gevent's tells of no hang-up, and eventlet takes `poll` away. Both patch the module that others import.
    """
    spec = find_spec("select")
    if spec is None or spec.loader is None:
        raise ImportError("Python has no module select")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_select: Final = _select_as_python_has_it()
# That the other side closed its half is an event of its own on Linux; elsewhere it is a hang-up (poll(2)).
_EVENTS: Final[int] = getattr(_select, "POLLRDHUP", 0) | getattr(_select, "POLLHUP", 0)
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
        """Whether it has happened. A probe that fails tells nothing."""
        if not self._happened and self._probe is not None:
            try:
                cut = self._probe()
            except Exception:
                logger.debug("the server doesn't say whether the sender hangs up", exc_info=True)
                return self._happened
            if cut:
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

    gunicorn's workers of gevent and eventlet do, too. Under another server no hang-up is ever noticed.
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
        poll = _select.poll()
        poll.register(connection, _EVENTS)
        return bool(poll.poll(0))
    except (OSError, ValueError):
        return True  # it is closed
