"""Sends requests to workers, over connections that are kept."""

from __future__ import annotations

import asyncio
import email.utils
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

import aiohttp
from yarl import URL

from cloudq.emulators.cloud_tasks.attempting import End, Ended
from cloudq.emulators.cloud_tasks.faults import Cut
from cloudq.emulators.cloud_tasks.outgoing import Outgoing

# Shorter than what servers keep idle connections for (uvicorn: 5 s), so that no request meets one that is being closed.
_KEEP_IDLE: Final = 2.0
_MOST_REDIRECTS: Final = 10
# The service sends none of these by itself.
_NOT_ADDED: Final = frozenset({"Content-Type", "Accept", "Accept-Encoding", "User-Agent"})
_NO_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None)


class Sender:
    """An HTTP client on the running loop. Deadlines are its caller's."""

    def __init__(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_IDLE, ttl_dns_cache=10),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=_NO_TIMEOUT,
            auto_decompress=False,
            skip_auto_headers=_NOT_ADDED,
        )

    async def close(self) -> None:
        """Closes all connections."""
        await self._session.close()

    async def send(self, request: Outgoing, token: str | None, now: datetime, cut: Cut | None = None) -> Ended:
        """Sends the request and tells what came back. Raises nothing but what cancels it.

        Args:
            request: What to send.
            token: The bearer token.
            now: The present moment, which a date in `Retry-After` is compared with.
            cut: Where to break the connection.
        """
        headers = request.headers
        if token is not None:
            headers = {**headers, "Authorization": f"Bearer {token}"}
        body: bytes | AsyncIterator[bytes] | None = request.body
        if cut is Cut.REQUEST:
            whole = request.body or b""
            headers = {**headers, "Content-Length": str(len(whole) + 1)}
            body = _half(whole)
        try:
            async with self._session.request(
                request.method, _url(request.url), data=body, headers=headers, max_redirects=_MOST_REDIRECTS
            ) as response:
                if cut is Cut.RESPONSE:
                    response.close()
                    return Ended(end=End.UNREACHABLE, reason="the connection was cut by a fault on demand")
                await response.read()
                status = response.status
                if 200 <= status < 300:
                    return _SUCCEEDED if status == 200 else Ended(end=End.SUCCEEDED, status=status)
                wanted = retry_after(response.headers.get("Retry-After"), now)
                return Ended(end=End.FAILED, status=status, retry_after=wanted)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever went wrong, there was no answer
            return Ended(end=End.UNREACHABLE, reason=f"{type(error).__name__}: {error}")


def retry_after(value: str | None, now: datetime) -> timedelta | None:
    """What a `Retry-After` header asks for, in seconds or as a date; `None` where it asks for nothing one can read."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return timedelta(seconds=min(int(text[:10]), 10**9))
    try:
        when = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    if when.tzinfo is None:
        return None
    return max(when - now, timedelta(0))


_SUCCEEDED: Final = Ended(end=End.SUCCEEDED, status=200)


@lru_cache(maxsize=1_000)
def _url(text: str) -> URL:
    return URL(text)


async def _half(body: bytes) -> AsyncIterator[bytes]:
    yield body[: len(body) // 2] or b"\0"
    raise ConnectionError("the connection was cut by a fault on demand")
