"""`HealthServer`: `/healthz` and `/readyz` over HTTP. What they say is the edge's to know."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, Protocol

import msgspec

from cloudq.errors import ConfigurationError
from cloudq.running.events import Snapshot

# A client that sends nothing for this long is dropped.
CLIENT_SECONDS: Final = 5
# http.server reads a request line of 64 KiB and a hundred headers at most; a body is never read.


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """What one page says.

    Attributes:
        ok: Whether it is answered with 200; otherwise 503.
        problems: Why not, for a person.
        queues: The state of each queue's poller.
        counts: The worker's counts.
    """

    ok: bool
    problems: Sequence[str]
    queues: Mapping[str, str]
    counts: Snapshot


class Pages(Protocol):
    """What a server of the pages asks."""

    def healthz(self) -> Page:
        """Whether this process does its work."""
        ...

    def readyz(self) -> Page:
        """Whether it takes work now."""
        ...


class HealthServer:
    """Serves the pages on threads of its own.

    Args:
        address: `(host, port)`; port 0 takes a free one.
        health: What they say.

    Raises:
        ConfigurationError: The address can't be listened on.
    """

    def __init__(self, address: tuple[str, int], health: Pages) -> None:
        try:
            self._server = _Server(address, partial(_Handler, health))
        except (OSError, OverflowError) as error:
            raise ConfigurationError(
                f"the health pages can't be served on {address[0]}:{address[1]}: {error}", hint="choose another port"
            ) from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 5}, name="cloudq-health", daemon=True
        )

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens, with the real port."""
        host, port = self._server.server_address[:2]
        return str(host), int(port)

    def start(self) -> None:
        """Starts to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stops listening at once; the thread ends by itself."""
        # `shutdown` would wait for the poll interval, and nobody waits for a thread that only answers.
        threading.Thread(target=self._end, name="cloudq-health-end", daemon=True).start()

    def _end(self) -> None:
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False


class _Handler(BaseHTTPRequestHandler):
    timeout = CLIENT_SECONDS
    server_version = "cloudq"
    sys_version = ""

    def __init__(self, health: Pages, *args: object) -> None:
        self._pages: Final = {"/healthz": health.healthz, "/readyz": health.readyz}
        super().__init__(*args)  # type: ignore[arg-type]  # the server passes request, address and itself

    def do_GET(self) -> None:
        """Answers one page."""
        page = self._pages.get(self.path.partition("?")[0])
        if page is None:
            self._answer(404, b'{"error":"there are /healthz and /readyz"}')
            return
        said = page()
        self._answer(200 if said.ok else 503, msgspec.json.encode(said))

    do_HEAD = do_GET  # noqa: N815 - http.server looks for this name

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: a probe every few seconds is no news."""
