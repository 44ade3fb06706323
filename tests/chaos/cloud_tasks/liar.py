"""`Liar`: what stands between a client and the service, and answers a part of the calls with something else."""

from __future__ import annotations

import random
import socket
import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from tests.chaos.cloud_tasks.grpc_proxy import GrpcProxy

PAGE: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 38\r\n\r\n<html>Please sign in to the WiFi</html>"
)
# Of an answer on the wire: its frames' heads, its message, its trailers.
LONGEST_CUT: Final = 120


class Liar:
    """Before the emulator. A part of the calls is answered with something else, from within a `with`.

    Carried out before that:

    - cut: the connection breaks within the answer, after each number of bytes in turn;
    - page: in place of the answer comes a web page, as of something that wants people to sign in;
    - short: the message is cut after each number of bytes in turn, the status is as it was;
    - empty: the message is empty.

    And not carried out at all:

    - nothing: an empty message.
    - page only: a web page.

    Args:
        upstream: The emulator's address.
        rate: The part of the calls.
        seed: Of the chance.

    Attributes:
        address: Where it listens.
        told: How often it lied, by kind.
    """

    def __init__(self, upstream: str, rate: float, seed: int) -> None:
        self._chance = random.Random(seed)
        self._rate = rate
        self._lock = threading.Lock()
        self._proxy = GrpcProxy(upstream)
        self._proxy.change = self._change
        self._proxy.instead = self._answer
        self._cutter = _Cutter(self._proxy.address)
        self.address = self._cutter.address
        self.told: Counter[str] = Counter()

    def __enter__(self) -> Self:
        self._proxy.__enter__()
        self._cutter.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cutter.close()
        self._proxy.__exit__(kind, error, trace)

    def stop_lying(self) -> None:
        """From now on it passes all on."""
        self._rate = 0

    def _answer(self, method: str) -> bytes | None:
        kind, _ = self._choose(method, self._rate / 3, ["nothing", "page only"])
        if kind == "page only":
            self._cutter.cut(0, PAGE)
        return b"" if kind else None

    def _choose(self, method: str, rate: float, kinds: Sequence[str]) -> tuple[str, int]:
        """The kind of the lie, if it is to be one, and how often it was told."""
        with self._lock:
            if self._chance.random() >= rate:
                return "", 0
            kind = self._chance.choice(kinds)
            self.told[f"{kind} {method}"] += 1
            return kind, self.told[f"{kind} {method}"] - 1

    def _change(self, method: str, reply: bytes) -> bytes:
        kind, turn = self._choose(method, 2 * self._rate / 3, ["cut", "page", "short", "empty"])
        if not kind:
            return reply
        if kind == "short":
            return reply[: turn % (len(reply) or 1)]
        if kind == "empty":
            return b""
        self._cutter.cut(turn % LONGEST_CUT, PAGE if kind == "page" else b"")
        return reply


class _Cutter:
    """Passes connections on, and cuts those that are open."""

    def __init__(self, upstream: str) -> None:
        host, _, port = upstream.rpartition(":")
        self._upstream = (host, int(port))
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        self._lock = threading.Lock()
        self._open: set[_Connection] = set()

    def start(self) -> None:
        threading.Thread(target=self._run, daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.cut(0, b"")

    def cut(self, after: int, last: bytes) -> None:
        """Breaks each open connection after so many bytes more to the client, and says this at its end."""
        with self._lock:
            connections, self._open = self._open, set()
        for connection in connections:
            connection.cut(0 if last else after, last)

    def _run(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            try:
                service = socket.create_connection(self._upstream)
            except OSError:
                client.close()
                continue
            connection = _Connection(client, service)
            with self._lock:
                self._open.add(connection)
            for pump in (connection.ask, connection.answer):
                threading.Thread(target=pump, daemon=True).start()


class _Connection:
    def __init__(self, client: socket.socket, service: socket.socket) -> None:
        self._client = client
        self._service = service
        self._lock = threading.Lock()
        self._left: int | None = None
        self._pumps = 2

    def ask(self) -> None:
        with suppress(OSError):
            while data := self._client.recv(65_536):
                self._service.sendall(data)
        self._end()
        self._close()

    def answer(self) -> None:
        with suppress(OSError):
            while data := self._service.recv(65_536):
                with self._lock:
                    if self._left is not None:
                        data, over = data[: self._left], len(data) >= self._left
                        self._left -= len(data)
                    else:
                        over = False
                    self._client.sendall(data)
                if over:
                    break
        self._end()
        self._close()

    def cut(self, after: int, last: bytes) -> None:
        with self._lock:
            self._left = after
            if last:
                with suppress(OSError):
                    self._client.sendall(last)
        if not after:
            self._end()

    def _close(self) -> None:
        with self._lock:
            self._pumps -= 1
            if self._pumps:
                return
        self._client.close()
        self._service.close()

    def _end(self) -> None:
        for end in (self._client, self._service):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
