"""HTTP answers as bytes: cut anywhere, emptied, or of another kind. A server and a proxy's policy that give them.

Nothing here knows a service: what is broken are the bytes of an answer that is right.
"""

from __future__ import annotations

import random
import socket
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from types import TracebackType
from typing import Final, Self

from tests.chaos.http_proxy import Forward, Raw, Request, Response

PAGE: Final = b"<!DOCTYPE html><html><head><title>Welcome</title></head><body><h1>It works!</h1></body></html>"
XML: Final = b'<?xml version="1.0"?><SendMessageResponse><SendMessageResult/></SendMessageResponse>'


def answer(body: bytes, *, kind: str, status: str = "200 OK", **headers: str) -> bytes:
    """A whole answer. Headers' names are given with `_` for `-`; the length comes last."""
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


def cuts(whole: bytes) -> Iterator[bytes]:
    """Each beginning of an answer, the empty one too, but not the whole."""
    for length in range(len(whole)):
        yield whole[:length]


def body_for(whole: bytes, body: bytes) -> bytes:
    """The answer with its own headers and another body, of the right length."""
    lines = [line for line in whole.partition(b"\r\n\r\n")[0].split(b"\r\n") if not _is(line, b"content-length")]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", body])


OTHER_KINDS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "emptied": lambda whole: body_for(whole, b""),
    "no headers": lambda _: b"HTTP/1.1 200 OK\r\n\r\n",
    "no content": lambda _: b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
    "a web page": lambda _: answer(PAGE, kind="text/html"),
    "a web page under its headers": lambda whole: body_for(whole, PAGE),
    "a login page": lambda _: b"HTTP/1.1 302 Found\r\nLocation: http://portal.test/\r\nContent-Length: 0\r\n\r\n",
    "a page that refuses": lambda _: answer(PAGE, kind="text/html", status="403 Forbidden"),
    "XML": lambda _: answer(XML, kind="text/xml"),
    "empty JSON": lambda _: answer(b"{}", kind="application/json"),
    "JSON that is no object": lambda whole: body_for(whole, b"[]"),
}
"""What comes instead of an answer, made of the right one. None of it says that anything was done."""


class RawServer:
    """`with RawServer(respond) as server: server.url`. Writes what `respond` gives, and closes the connection.

    Only behind an answer that is as long as it says the connection stays, as clients use it again.

    Args:
        respond: What to write for a request: all at once, or piece by piece.
    """

    def __init__(self, respond: Callable[[Request], bytes | Iterable[bytes]]) -> None:
        self._respond = respond
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._thread = threading.Thread(target=self._accept, name="raw-server", daemon=True)
        self.port = int(self._listener.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                whole = True
                while whole and (request := read_request(connection)) is not None:
                    pieces = self._respond(request)
                    whole = isinstance(pieces, bytes) and _is_whole(pieces)
                    for piece in [pieces] if isinstance(pieces, bytes) else pieces:
                        connection.sendall(piece)
            except OSError:
                pass  # the client is gone


class BrokenAnswers:
    """The policy of `HttpProxy` that breaks a share of the answers. The call was carried out, or, half of them, wasn't.

    Args:
        seed: Of all chance.
        rate: The share of calls whose answers are broken.
        spared: Operations that are answered as they should be.

    Attributes:
        made: What was made of answers so far, by operation and kind.
    """

    def __init__(self, seed: int, *, rate: float = 0.2, spared: Collection[str] = ()) -> None:
        self.rate = rate
        self.made: Counter[str] = Counter()
        self.calls = 0
        self._seed = seed
        self._spared = spared

    async def __call__(self, request: Request, forward: Forward) -> Response | Raw | None:
        self.calls += 1
        chance = random.Random(f"{self._seed} {self.calls}")
        action = request.action
        if action in self._spared or chance.random() >= self.rate:
            return await forward(request)
        kind = chance.choice(["cut", "cut", "cut", *OTHER_KINDS])
        self.made[f"{action}: {kind}"] += 1
        if kind != "cut" and chance.random() < 0.5:
            whole = answer(b"{}", kind="application/json")  # it wasn't carried out, so there is nothing to break
        else:
            whole = (await forward(request)).encoded()
        return Raw(whole[: chance.randrange(len(whole))] if kind == "cut" else OTHER_KINDS[kind](whole))


def _is(line: bytes, name: bytes) -> bool:
    return line.partition(b":")[0].strip().lower() == name


def _is_whole(said: bytes) -> bool:
    head, _, body = said.partition(b"\r\n\r\n")
    lengths = [line.partition(b":")[2].strip() for line in head.split(b"\r\n") if _is(line, b"content-length")]
    return lengths == [b"%d" % len(body)]


def read_request(connection: socket.socket) -> Request | None:
    """The next request of a connection, or `None` where it ends."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        if not part:
            return None
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    request = Request(head + b"\r\n\r\n", body)
    length = int(request.header(b"content-length") or 0)
    while len(request.body) < length:
        request.body += connection.recv(65536)
    return request
