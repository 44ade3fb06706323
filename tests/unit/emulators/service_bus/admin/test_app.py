"""The ASGI application: what it bounds."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from cloudq.emulators.service_bus.admin.app import MAX_BODY, Administration
from cloudq.emulators.service_bus.broker.broker import Broker
from cloudq.testing import FakeClock

SCOPE = {"type": "http", "method": "PUT", "path": "/orders", "query_string": b"", "headers": []}


def answer(scope: dict[str, Any], *messages: dict[str, Any]) -> list[MutableMapping[str, Any]]:
    sent: list[MutableMapping[str, Any]] = []
    waiting = list(messages)

    async def receive() -> MutableMapping[str, Any]:
        return waiting.pop(0)

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    asyncio.run(Administration(Broker(FakeClock()))(scope, receive, send))
    assert [] == waiting
    return sent


def test_a_body_that_is_too_large_is_refused() -> None:
    """It is read to its end, not kept, and answered with 413."""
    part = b"x" * (MAX_BODY // 2)
    messages = [{"type": "http.request", "body": part, "more_body": True}] * 4 + [{"type": "http.request"}]
    assert 413 == answer(SCOPE, *messages)[0]["status"]


def test_a_client_that_is_gone() -> None:
    """What it sent of its request is refused."""
    assert 400 == answer(SCOPE, {"type": "http.disconnect"})[0]["status"]


def test_only_http_is_served() -> None:
    """Anything else is an error."""
    with pytest.raises(ValueError, match="websocket"):
        answer({**SCOPE, "type": "websocket"})


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([(b"Host", b"127.0.0.1:5300")], 400),
        ([(b"Host", b"evil.example")], 403),
        ([(b"Host", b"127.0.0.1:5300"), (b"Origin", b"https://evil.example")], 403),
    ],
)
def test_pages_in_browsers_are_refused(headers: list[tuple[bytes, bytes]], status: int) -> None:
    """A request by another page, or by a name that was rebound, does nothing; others get to be read."""
    assert status == answer({**SCOPE, "headers": headers}, {"type": "http.request"})[0]["status"]
