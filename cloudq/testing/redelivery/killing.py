"""A delivery that is run in a forked child, which is killed at a point: no `finally` runs, and its memory is gone."""

from __future__ import annotations

import os
import signal
import socket
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NoReturn

import msgspec

from cloudq.app import App
from cloudq.core.driver import Outgoing, SendResult
from cloudq.core.store import Store
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import BackendError
from cloudq.testing.redelivery.parents_store import ParentsStore, carry_out
from cloudq.testing.redelivery.watched import PATIENCE

_SIZE: Final = 8


class KilledRun(msgspec.Struct, frozen=True):
    """What is known of it.

    Attributes:
        point: Where it was killed.
    """

    point: str


def kill_in_a_child(app: App, driver: MemoryDriver, run: Callable[[Callable[[str], NoReturn]], None]) -> KilledRun:
    """Calls `run` in a forked child, with a function that kills it; what it sends, and what it claims, is kept here.

    Raises:
        RuntimeError: The child couldn't do its work, or didn't end.
    """
    here, there = socket.socketpair()
    with here:
        with warnings.catch_warnings():
            # Python warns of threads that the child doesn't have; those of the tester are not under way now.
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            here.close()
            _live(app, there, run)
        there.close()
        here.settimeout(PATIENCE)
        try:
            return _serve(here, driver, app.runtime.store)
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def _live(app: App, parent: socket.socket, run: Callable[[Callable[[str], NoReturn]], None]) -> NoReturn:
    """The child's life: it never returns into the code of its parent."""

    def die(point: str) -> NoReturn:
        _write(parent, ["killed", point])
        os.kill(os.getpid(), signal.SIGKILL)
        os._exit(1)  # not reached; says so to the type checker

    try:
        store = None if not app.runtime.stores.in_use else ParentsStore(partial(_ask_store, parent))
        with app.using(_ParentsDriver(parent), clock=app.clock, store=store):
            run(die)
        _write(parent, ["failed", "the run ended without being killed"])
    except BaseException:  # noqa: BLE001 - whatever it was, two processes mustn't go on from here
        _write(parent, ["failed", traceback.format_exc()])
    os._exit(1)


def _serve(child: socket.socket, driver: MemoryDriver, store: Store | None) -> KilledRun:
    while True:
        try:
            kind, value = _read(child)
        except TimeoutError:
            raise RuntimeError(f"a run in a child process didn't end within {PATIENCE:g} s") from None
        if kind == "send":
            outgoing = msgspec.convert(value, list[Outgoing])
            _write(child, [_told(result) for result in driver.send(outgoing)])
        elif kind == "store":
            _write(child, carry_out(store, *value))
        elif kind == "killed":
            return KilledRun(str(value))
        else:
            raise RuntimeError(f"a run in a child process failed: {value}")


def _ask_store(parent: socket.socket, method: str, arguments: Mapping[str, Any]) -> Any:
    _write(parent, ["store", [method, arguments]])
    return _read(parent)


def _told(result: SendResult) -> dict[str, object]:
    error = None if result.error is None else f"{type(result.error).__name__}: {result.error}"
    return {"error": error, "duplicate": result.duplicate, "original_id": result.original_id, "receipt": result.receipt}


class _ParentsDriver(MemoryDriver):
    """The parent's messages, as far as a task sends some."""

    def __init__(self, parent: socket.socket) -> None:
        super().__init__()
        self._parent = parent

    def send(self, outgoing: Sequence[Outgoing]) -> Sequence[SendResult]:
        """Has the parent store them."""
        _write(self._parent, ["send", list(outgoing)])
        return [
            SendResult(**{**told, "error": None if told["error"] is None else BackendError(told["error"])})
            for told in _read(self._parent)
        ]


def _write(to: socket.socket, value: object) -> None:
    data = msgspec.msgpack.encode(value)
    to.sendall(len(data).to_bytes(_SIZE) + data)


def _read(from_: socket.socket) -> Any:
    return msgspec.msgpack.decode(_exactly(from_, int.from_bytes(_exactly(from_, _SIZE))))


def _exactly(from_: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = from_.recv(size - len(data))
        if not more:
            raise RuntimeError("a run in a child process ended by itself: something else killed it, or it called exit")
        data += more
    return data
