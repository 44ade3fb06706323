"""`PageServer`: a few pages over HTTP for probes and scrapes, bounded in time, connections and bytes."""

from __future__ import annotations

import errno
import io
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, NamedTuple, TypeAlias

from cloudq.core.safe_log import SafeLogger
from cloudq.errors import ConfigurationError

# From a connection's acceptance to the end of its answer, however slowly its client sends and reads.
CLIENT_SECONDS: Final = 5
# One more takes the place of the oldest: a probe asks at once, and what waits for long is no probe.
MOST_CONNECTIONS: Final = 16
# Of a request, line and headers together; a body is never read.
MOST_BYTES: Final = 128 * 1024
JSON: Final = "application/json"

_log = SafeLogger("cloudq.worker")


class Answer(NamedTuple):
    """What is answered.

    Attributes:
        status: HTTP's.
        body: The bytes.
        content_type: Theirs.
    """

    status: int
    body: bytes
    content_type: str = JSON


AnswerOf: TypeAlias = Callable[[str], Answer]
"""Makes a page's answer; given the request's `Accept` header, or an empty text."""


class PageServer:
    """Serves pages on threads of its own.

    Args:
        address: `(host, port)`; port 0 takes a free one.
        pages: What answers, by path.
        what: What they are, for errors: `the health pages`.
        name: Of its threads.

    Raises:
        ConfigurationError: The address can't be listened on.
    """

    def __init__(self, address: tuple[str, int], pages: Mapping[str, AnswerOf], *, what: str, name: str) -> None:
        try:
            self._server = _Server(address, partial(_Handler, pages))
        except (OSError, OverflowError) as error:
            raise ConfigurationError(
                f"{what} can't be served on {_place(*address)}: {error}", hint=_hint(error)
            ) from error
        self._name = name
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 5}, name=name, daemon=True
        )

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens, with the real port."""
        host, port = self._server.server_address[:2]
        return str(host), int(port)

    @property
    def place(self) -> str:
        """The same as in a URL: `127.0.0.1:8080`, `[::1]:8080`."""
        return _place(*self.address)

    def start(self) -> None:
        """Starts to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stops listening at once; the thread ends by itself."""
        # `shutdown` would wait for the poll interval, and nobody waits for a thread that only answers.
        threading.Thread(target=self._end, name=f"{self._name}-end", daemon=True).start()

    def _end(self) -> None:
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()


def _place(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _hint(error: Exception) -> str:
    if isinstance(error, socket.gaierror) or getattr(error, "errno", None) == errno.EADDRNOTAVAIL:
        return "choose an address of this machine, or a port alone for all of IPv4's"
    return "choose another port"


class _Server(ThreadingHTTPServer):
    """A thread a connection, and no more of them than are bounded above."""

    daemon_threads = True
    request_queue_size = 128  # by default 5: a burst of connections would have a probe wait for a second
    block_on_close = False

    def __init__(self, address: tuple[str, int], handler: Any) -> None:
        self._changing = threading.Lock()
        # Oldest first. One that is shut down stays until its thread has seen it.
        self._open: dict[socket.socket, bool] = {}
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Starts a thread for a connection, and ends the oldest one where there are too many."""
        with self._changing:
            waiting = [one for one, is_waiting in self._open.items() if is_waiting]
            oldest = waiting[0] if len(waiting) >= MOST_CONNECTIONS else None
            if oldest is not None:
                self._open[oldest] = False
            is_taken = len(self._open) < 2 * MOST_CONNECTIONS
            if is_taken:
                self._open[request] = True
        if oldest is not None:
            with suppress(OSError):
                oldest.shutdown(socket.SHUT_RDWR)
        if is_taken:
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def shutdown_request(self, request: Any) -> None:
        """Closes a connection, which makes room for another one."""
        with self._changing:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away, or no thread for it. The standard library would write a traceback to stderr."""
        del request, client_address
        _log.debug("a client of the pages wasn't answered", exc_info=True)


class _Request(io.RawIOBase):
    """What a client sends, until its deadline, and as much as a request may have."""

    def __init__(self, connection: socket.socket, ends: float) -> None:
        self._connection = connection
        self._ends = ends
        self._left = MOST_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Waits no longer than until the deadline, and says that nothing more comes where it was too much."""
        view = memoryview(buffer)[: self._left]
        if not view:
            return 0
        self._connection.settimeout(_seconds_until(self._ends))
        count = self._connection.recv_into(view)
        self._left -= count
        return count


def _seconds_until(ends: float) -> float:
    left = ends - time.monotonic()
    if left <= 0:
        raise TimeoutError("the client took too long")
    return left


class _Handler(BaseHTTPRequestHandler):
    server_version = "cloudq"
    sys_version = ""

    def __init__(self, pages: Mapping[str, AnswerOf], *args: object) -> None:
        self._pages: Final = pages
        self._ends = time.monotonic() + CLIENT_SECONDS
        super().__init__(*args)  # type: ignore[arg-type]  # the server passes request, address and itself

    def setup(self) -> None:
        """Has both sides of the connection end by one deadline."""
        super().setup()
        self.rfile = io.BufferedReader(_Request(self.connection, self._ends))

    def do_GET(self) -> None:
        """Answers one page."""
        page = self._pages.get(self.path.partition("?")[0])
        if page is None:
            there_is = ("there are " if len(self._pages) > 1 else "there is ") + " and ".join(self._pages)
            self._answer(Answer(404, b'{"error":"' + there_is.encode() + b'"}'))
        else:
            self._answer(self._made(page))

    do_HEAD = do_GET  # noqa: N815 - http.server looks for this name

    def _made(self, page: AnswerOf) -> Answer:
        try:
            return page(self.headers.get("Accept", ""))
        except Exception:  # noqa: BLE001 - a page that fails says so, rather than nothing
            _log.exception("the page %s can't be made", self.path.partition("?")[0])
            return Answer(500, b'{"error":"the page can\'t be made; the log says why"}')

    def _answer(self, answer: Answer) -> None:
        self.connection.settimeout(_seconds_until(self._ends))  # of all that `sendall` writes
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def log_message(self, *_: object) -> None:
        """Nothing: a probe every few seconds is no news."""
