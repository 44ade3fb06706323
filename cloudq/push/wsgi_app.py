"""The edge as a WSGI application: for gunicorn, Flask, and whatever else mounts one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final, Protocol, TypeAlias

from cloudq.core.push import PushResponse
from cloudq.push.edge import PushEdge, too_large, too_slow
from cloudq.push.hang_up import hang_up_under_wsgi
from cloudq.push.pages import PushPages
from cloudq.push.refusals import HttpRefusal

Environ: TypeAlias = Mapping[str, Any]
StartResponse: TypeAlias = Callable[..., object]

PIECE: Final = 64 * 1024


class Readable(Protocol):
    """Where a body is read from."""

    def read(self, size: int = ..., /) -> bytes:
        """Up to `size` bytes; none at the end."""
        ...


class WsgiApp:
    """Takes pushes at every path but those that end in `/healthz` and `/readyz`. A task runs in the server's thread.

    Args:
        edge: What takes them.
    """

    def __init__(self, edge: PushEdge) -> None:
        self.edge = edge
        self._pages = PushPages(edge)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """One request."""
        ends = bool(environ.get("wsgi.input_terminated"))
        response = answer(self.edge, self._pages, environ["REQUEST_METHOD"], environ, environ["wsgi.input"], ends=ends)
        headers = [*response.headers.items(), ("Content-Length", str(len(response.body)))]
        # Headers about the connection are the server's to set.
        headers = [(name, value) for name, value in headers if name.lower() != "connection"]
        start_response(f"{response.status} {HTTPStatus(response.status).phrase}", headers)
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else response.body]


def answer(
    edge: PushEdge, pages: PushPages, method: str, environ: Environ, body: Readable, *, ends: bool
) -> PushResponse:
    """The answer to a request that a WSGI environment describes.

    Args:
        edge: What takes pushes.
        pages: What answers all else.
        method: The request's.
        environ: Its headers, and its connection.
        body: Where its body is read from.
        ends: Whether `body` ends where the request's does. Otherwise only a Content-Length says where that is.
    """
    if method in {"GET", "HEAD"}:
        return pages.get(str(environ.get("PATH_INFO", "")))
    if method != "POST":
        return pages.get("")
    headers = headers_of(environ)
    return edge.refusal_of(environ.get("REMOTE_ADDR")) or edge.handle(
        headers, lambda: _body(edge, headers, body, ends=ends), hang_up_under_wsgi(environ)
    )


def headers_of(environ: Environ) -> dict[str, str]:
    """A request's headers by name, in lower case."""
    headers = {
        name.removeprefix("HTTP_").replace("_", "-").lower(): str(value)
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            headers[name.replace("_", "-").lower()] = str(environ[name])
    return headers


def _body(edge: PushEdge, headers: Mapping[str, str], body: Readable, *, ends: bool) -> bytes:
    """Reads it in pieces. A read that blocks can't be ended from here: servers have time-outs of their own for that."""
    most = edge.settings.max_body
    length = int(headers["content-length"]) if "content-length" in headers else None  # which the edge has checked
    if length is None and not ends:
        if "transfer-encoding" in headers:  # by the WSGI specification its end can't be known
            raise HttpRefusal(
                411, "a body without a Content-Length can't be read under this server", headers={"Connection": "close"}
            )
        return b""
    left = most + 1 if length is None else length
    until = time.monotonic() + edge.settings.body_timeout.total_seconds()
    pieces: list[bytes] = []
    while left > 0 and (piece := body.read(min(left, PIECE))):
        pieces.append(piece)
        left -= len(piece)
        if time.monotonic() > until:
            raise too_slow()
    whole = b"".join(pieces)
    if len(whole) > most:
        raise too_large(most)
    if length is not None and len(whole) < length:
        raise HttpRefusal(400, "the body is shorter than its Content-Length says")
    return whole
