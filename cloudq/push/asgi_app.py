"""The edge as an ASGI application: for uvicorn, Starlette, FastAPI."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any, Final, TypeAlias

from msgspec.structs import replace

from cloudq.core.push import PushResponse
from cloudq.core.safe_log import SafeLogger
from cloudq.push.edge import PushEdge, too_large, too_slow
from cloudq.push.hang_up import HangUp
from cloudq.push.headers import by_name
from cloudq.push.pages import PushPages
from cloudq.push.refusals import HttpRefusal

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]


# An unread body of less than 100,000 bytes is read off by the server, so that the connection can be kept.
_SHORT_DIGITS: Final = 5
# Rounds of the loop: it reads the end of a connection, closes the transport, tells the protocol, wakes the listener.
_ROUNDS: Final = 5

logger = SafeLogger("cloudq.push")


class AsgiApp:
    """Takes pushes at every path but those that end in `/healthz` and `/readyz`.

    Args:
        edge: What takes them.
    """

    def __init__(self, edge: PushEdge) -> None:
        self.edge = edge
        self._pages = PushPages(edge)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection's request, or the server's start and end."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await _answer(send, await self._response(scope, receive), head=scope["method"] == "HEAD")
        else:
            await send({"type": "websocket.close", "code": 1003})

    async def _response(self, scope: Scope, receive: Receive) -> PushResponse:
        headers = headers_of(scope["headers"])
        if scope["method"] == "POST":
            return await self._pushed(scope, headers, receive)
        return _hang_up_unless_short(
            self._pages.get(scope["path"] if scope["method"] in {"GET", "HEAD"} else ""), headers
        )

    async def _pushed(self, scope: Scope, headers: Mapping[str, str], receive: Receive) -> PushResponse:
        asked = False
        hang_up = HangUp()
        listening: asyncio.Task[None] | None = None

        async def body() -> bytes:
            nonlocal asked, listening
            asked = True
            whole = await self._body(receive)
            listening = asyncio.create_task(_listen(receive, hang_up))
            # The sender of a request that lay in the socket may have hung up since: the server tells so in these.
            for _ in range(_ROUNDS):
                await asyncio.sleep(0)
            return whole

        try:
            client = scope.get("client")
            response = self.edge.refusal_of(client[0] if client else None) or await self.edge.ahandle(
                headers, body, hang_up
            )
        finally:
            # Before the answer: once that is sent, the server says "disconnect" as well.
            if listening is not None:
                listening.cancel()
        return response if asked else _hang_up_unless_short(response, headers)

    async def _body(self, receive: Receive) -> bytes:
        most, settings = self.edge.settings.max_body, self.edge.settings
        pieces: list[bytes] = []
        size = 0
        more = True
        try:
            async with asyncio.timeout(settings.body_timeout.total_seconds()):
                while more:
                    event = await receive()
                    if event["type"] == "http.disconnect":
                        raise HttpRefusal(400, "the sender hung up before its body had arrived")
                    piece = event.get("body", b"")
                    size += len(piece)
                    if size > most:
                        raise too_large(most)
                    pieces.append(piece)
                    more = event.get("more_body", False)
        except TimeoutError:
            raise too_slow() from None
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            event = await receive()
            if event["type"] == "lifespan.startup":
                try:
                    await asyncio.to_thread(self.edge.open)
                except Exception as error:  # noqa: BLE001 - the server says it, and ends
                    await send({"type": "lifespan.startup.failed", "message": str(error)})
                    return
                await send({"type": "lifespan.startup.complete"})
            else:
                self.edge.stop()  # the server has let the requests end that were under way
                await asyncio.to_thread(self.edge.close)
                await send({"type": "lifespan.shutdown.complete"})
                return


async def _listen(receive: Receive, hang_up: HangUp) -> None:
    """After the body the server has one thing left to tell: that the sender has hung up."""
    try:
        event = await receive()
    except Exception:
        logger.debug("the server doesn't say whether the sender hangs up", exc_info=True)
        return
    if event["type"] == "http.disconnect":
        hang_up.report()


def headers_of(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """A request's headers by name, in lower case."""
    return by_name((name.decode("latin-1"), value.decode("latin-1")) for name, value in raw)


def _is_short(headers: Mapping[str, str]) -> bool:
    length = headers.get("content-length", "" if "transfer-encoding" in headers else "0")
    return length.isascii() and length.isdigit() and len(length) <= _SHORT_DIGITS


def _hang_up_unless_short(response: PushResponse, headers: Mapping[str, str]) -> PushResponse:
    """The answer to a request whose body wasn't asked for: the server would go on reading whatever anybody sends."""
    if _is_short(headers):
        return response
    return replace(response, headers={**response.headers, "Connection": "close"})


async def _answer(send: Send, response: PushResponse, *, head: bool) -> None:
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in response.headers.items()]
    headers.append((b"content-length", str(len(response.body)).encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else response.body})
