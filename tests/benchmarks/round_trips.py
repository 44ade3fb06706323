"""How often a client waits for its server, whatever the two speak: counted between them."""

from __future__ import annotations

import socket
import threading
from contextlib import closing, suppress
from types import TracebackType
from typing import Final, Self

_PIECE: Final = 64 * 1024


class RoundTrips:
    """`with RoundTrips(port) as between: between.port`: a proxy on loopback that counts.

    A round trip is what a client sends after it was answered, and before the next answer: one packet or several.

    Args:
        behind: The server's port.

    Attributes:
        port: The proxy's.
        count: The round trips of all connections so far.
    """

    def __init__(self, behind: int) -> None:
        self._behind = behind
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.count = 0
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with closing(self._listener), suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for connection in self._open:
            with closing(connection), suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._behind))
                self._open += [client, server]
                answered = threading.Event()
                answered.set()
                for source, target, asks in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self._pass, args=(source, target, answered, asks), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, answered: threading.Event, asks: bool) -> None:
        with suppress(OSError):
            while data := source.recv(_PIECE):
                if not asks:
                    answered.set()
                elif answered.is_set():
                    answered.clear()
                    with self._lock:
                        self.count += 1
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)
