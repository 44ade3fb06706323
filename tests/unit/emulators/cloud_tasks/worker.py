"""A worker for the emulator to push to: an HTTP server in a thread that answers what a test tells it to."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import Any, NamedTuple


class Received(NamedTuple):
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Answer(NamedTuple):
    """What to answer."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()


class Worker:
    """Answers each request with what `answer` makes of it; 200 unless a test says otherwise."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.answer: Callable[[Received], Answer] = lambda _: Answer()
        self.answers: list[int] = []  # statuses for the next requests
        self.gate = Event()  # while it's cleared, requests wait
        self.gate.set()
        self.arrived = Event()
        lock = Lock()
        worker = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                received = Received(self.command, self.path, dict(self.headers.items()), body)
                if len(body) < int(self.headers.get("Content-Length", 0)):
                    return
                with lock:
                    worker.received.append(received)
                    answer = Answer(worker.answers.pop(0)) if worker.answers else worker.answer(received)
                worker.arrived.set()
                worker.gate.wait(100)
                self.send_response(answer.status)
                for key, value in answer.headers:
                    self.send_header(key, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_OPTIONS = handle_any  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

            def handle(self) -> None:
                with suppress(ConnectionError):
                    super().handle()

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/push"

    def headers(self, index: int = -1) -> dict[str, str]:
        """The headers of a request, with their names in lower case."""
        return {key.lower(): value for key, value in self.received[index].headers.items()}

    def close(self) -> None:
        """Ends the server."""
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
