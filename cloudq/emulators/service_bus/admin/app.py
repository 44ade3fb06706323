"""The administration as an ASGI application: bounds what it reads, and hands it to `requests`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final
from urllib.parse import parse_qsl

from cloudq.emulators.browsers import why_refused
from cloudq.emulators.service_bus.admin.requests import Request, Response, handle
from cloudq.emulators.service_bus.broker.broker import Broker

MAX_BODY: Final = 256 * 1024

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_CONTENT_TYPE: Final = b"application/atom+xml;type=entry;charset=utf-8"


class Administration:
    """Serves the administration of a broker, on the event loop that the broker is used on.

    Attributes:
        listening: The address that the server listens at. Requests of pages in browsers are refused.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.listening = "127.0.0.1"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope["type"] != "http":
            raise ValueError(f"{scope['type']} isn't served here")
        body = await _body(receive)
        refused = why_refused(_headers(scope), self.listening)
        if refused is not None:
            response = Response(403, refused.encode())
        else:
            response = Response(413) if body is None else handle(self._broker, _request(scope, body))
        headers = [(b"content-type", _CONTENT_TYPE), (b"content-length", str(len(response.body)).encode())]
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": response.body})


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


def _request(scope: Scope, body: bytes) -> Request:
    headers = _headers(scope)
    raw = scope.get("raw_path")
    path = raw.decode("latin-1") if raw else scope["path"]
    return Request(
        method=scope["method"],
        origin=f"{scope.get('scheme', 'http')}://{headers.get('host', 'localhost')}",
        path=path.partition("?")[0],
        query=dict(parse_qsl(scope["query_string"].decode("latin-1"))),
        body=body,
        if_match="if-match" in headers,
    )


async def _body(receive: Receive) -> bytes | None:
    """The body, or `None` if it is too large: the rest isn't kept."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":  # the client is gone; nobody reads the answer
            return b"".join(parts)
        part = message.get("body", b"")
        size += len(part)
        if size <= MAX_BODY:
            parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts) if size <= MAX_BODY else None
