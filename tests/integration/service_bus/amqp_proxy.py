"""A TCP proxy before Service Bus that spoils what the service answers: cuts, empties, replaces or withholds it."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from enum import Enum
from types import TracebackType
from typing import Final, Self

WEB_PAGE: Final = b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\n\r\n<html><body>Bad gateway</body></html>"
_TRANSFER, _DISPOSITION = 0x14, 0x15


class Kind(Enum):
    """What becomes of a part of what the service says."""

    CUT = "cut in the middle"
    EMPTIED = "left out, and the connection is cut"
    REPLACED = "replaced by a web page, and the connection is cut"
    WITHHELD = "left out, and nothing more comes"


class Spoil(Exception):
    """Spoils a frame: `kept` of its bytes are passed on, or `page` in its place."""

    def __init__(self, kind: Kind, kept: int = 0, page: bytes = WEB_PAGE) -> None:
        super().__init__(kind)
        self.kind = kind
        self.kept = kept
        self.page = page


Policy = Callable[[bytes], None]
"""Told each frame that the service says; raises `Spoil` where it is to be spoilt."""


def is_answer(frame: bytes) -> bool:
    """Whether a frame settles something, or has a message, be it an answer of `$management` or one of the queue."""
    if len(frame) < 12 or frame[5] != 0:
        return False
    body = frame[4 * frame[4] :]
    return body[:2] == b"\x00\x53" and body[2] in (_TRANSFER, _DISPOSITION)


class AmqpProxy:
    """Listens on a free port of this machine: `with AmqpProxy(port) as proxy`.

    Attributes:
        policy: What is to be spoilt; `None`: nothing.
        drip: How long each byte of an answer takes, in seconds; 0: no time.
        port: Where it listens.
    """

    def __init__(self, port: int) -> None:
        self._to = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.policy: Policy | None = None
        self.drip = 0.0
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def connection_string(self) -> str:
        """For clients that are to go through it."""
        return (
            f"Endpoint=sb://127.0.0.1:{self.port};SharedAccessKeyName=any;SharedAccessKey=any;"
            "UseDevelopmentEmulator=true"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        self.cut_all()

    def cut_all(self) -> None:
        """Cuts every connection."""
        for one in list(self._sockets):
            _close(one)
        self._sockets.clear()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._to)
            except OSError:
                client.close()
                continue
            self._sockets += [client, server]
            for work, one, other in ((self._pass_on, client, server), (self._pass_answers, server, client)):
                threading.Thread(target=work, args=(one, other), daemon=True).start()

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                server.sendall(data)
        _close(client)
        _close(server)

    def _pass_answers(self, server: socket.socket, client: socket.socket) -> None:
        kept, withheld = bytearray(), False
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                kept += data
                while not withheld and (frame := _first_frame(kept)) is not None:
                    del kept[: len(frame)]
                    try:
                        if self.policy is not None:
                            self.policy(frame)
                    except Spoil as spoil:
                        if spoil.kind is Kind.WITHHELD:
                            withheld = True
                            break
                        client.sendall(spoil.page if spoil.kind is Kind.REPLACED else frame[: spoil.kept])
                        _close(client)
                        break
                    self._send(client, frame)
        _close(client)
        _close(server)

    def _send(self, client: socket.socket, frame: bytes) -> None:
        if not self.drip:
            client.sendall(frame)
            return
        for place in range(len(frame)):
            client.sendall(frame[place : place + 1])
            time.sleep(self.drip)


class Once:
    """A policy that spoils one answer: the next, or the one after so many.

    Attributes:
        done: Set once it has.
    """

    def __init__(self, kind: Kind, *, at: int = 0, after: int = 0) -> None:
        self._kind = kind
        self._at = at
        self._left = after
        self.done = threading.Event()
        self.size = 0

    def __call__(self, frame: bytes) -> None:
        if self.done.is_set() or not is_answer(frame):
            return
        if self._left:
            self._left -= 1
            return
        self.size = len(frame)
        self.done.set()
        raise Spoil(self._kind, min(self._at, len(frame) - 1))


def _first_frame(data: bytearray) -> bytes | None:
    """The first frame, or protocol header; `None` while it isn't whole."""
    if len(data) < 8:
        return None
    size = 8 if data[:4] == b"AMQP" else int.from_bytes(data[:4], "big")
    return bytes(data[:size]) if len(data) >= size else None


def _close(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
