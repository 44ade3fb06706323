"""`answering`: a server that speaks just enough HTTP/2 to answer each call with what no gRPC server would."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

_DATA, _HEADERS, _SETTINGS = 0, 1, 4
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_PREFACE = 24

Answer = Callable[[int], bytes]
"""The frames of an answer, by its stream."""


def page(status: str) -> Answer:
    """A web page with that status."""

    def answer(stream: int) -> bytes:
        headers = _status(status) + _header("content-type", "text/html")
        return _frame(_HEADERS, _END_HEADERS, stream, headers) + _frame(_DATA, _END_STREAM, stream, b"<html></html>")

    return answer


def trailers_only(stream: int) -> bytes:
    """A success without a message."""
    headers = _status("200") + _header("content-type", "application/grpc") + _header("grpc-status", "0")
    return _frame(_HEADERS, _END_HEADERS | _END_STREAM, stream, headers)


def no_status(stream: int) -> bytes:
    """An empty message, and then the stream's end."""
    headers = _status("200") + _header("content-type", "application/grpc")
    return _frame(_HEADERS, _END_HEADERS, stream, headers) + _frame(_DATA, _END_STREAM, stream, bytes(5))


@contextmanager
def answering(answer: Answer | bytes) -> Iterator[str]:
    """A server's address. Bytes are what it says, whatever comes."""
    server = socket.create_server(("127.0.0.1", 0))
    connections: list[socket.socket] = []

    def run() -> None:
        with suppress(OSError):
            while True:
                connection, _ = server.accept()
                connections.append(connection)
                threading.Thread(target=_serve, args=(connection, answer), daemon=True).start()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.getsockname()[1]}"
    finally:
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(10)
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()


def _serve(connection: socket.socket, answer: Answer | bytes) -> None:
    with suppress(OSError, ValueError), connection.makefile("rb") as asked:
        asked.read(_PREFACE)
        if isinstance(answer, bytes):
            connection.sendall(answer)
            return
        connection.sendall(_frame(_SETTINGS, 0, 0, b""))
        while len(head := asked.read(9)) == 9:
            kind, flags, stream = head[3], head[4], struct.unpack(">I", head[5:])[0]
            asked.read(struct.unpack(">I", b"\0" + head[:3])[0])
            if kind == _SETTINGS and not flags & _ACK:
                connection.sendall(_frame(_SETTINGS, _ACK, 0, b""))
            if kind == _DATA and flags & _END_STREAM:
                connection.sendall(answer(stream))


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def _status(status: str) -> bytes:
    # The eighth of HPACK's static table is `:status`.
    return b"\x08" + bytes([len(status)]) + status.encode()


def _header(name: str, value: str) -> bytes:
    return b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
