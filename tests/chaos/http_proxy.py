"""An HTTP/1.1 proxy between an SDK and LocalStack, on a thread and an event loop of its own.

What it does with a call is its `Policy`'s to say; this file knows bytes only.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit


@dataclass
class Request:
    """One call as the client sent it."""

    head: bytes
    body: bytes

    @property
    def action(self) -> str:
        """The operation's name: from the header of the JSON protocol, or the parameter of the query protocol."""
        target = self.header(b"x-amz-target")
        if target:
            return target.decode().rpartition(".")[2]
        return parse_qs(self.body.decode("utf-8", "replace")).get("Action", ["?"])[0]

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of a call in the JSON protocol."""
        parameters: dict[str, Any] = json.loads(self.body or b"{}")
        return parameters

    def header(self, name: bytes) -> bytes:
        """A header's value, empty if it isn't there."""
        return _headers(self.head).get(name, b"")

    def with_body(self, body: bytes) -> Request:
        """The same call with another body. Its signature is wrong then, which LocalStack doesn't look at."""
        lines = [line for line in self.head.split(b"\r\n") if line and not line.lower().startswith(b"content-length:")]
        return Request(b"\r\n".join([*lines, b"content-length: %d" % len(body), b"", b""]), body)


@dataclass
class Response:
    """An answer: LocalStack's, or one that was made up. `headers`: those besides the ones that each one has."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    def encoded(self) -> bytes:
        lines = [
            f"HTTP/1.1 {self.status} X",
            "content-type: application/x-amz-json-1.0",
            "x-amzn-requestid: 00000000-0000-0000-0000-000000000000",
            f"content-length: {len(self.body)}",
            *(f"{name}: {value}" for name, value in self.headers.items()),
        ]
        return "\r\n".join([*lines, "", ""]).encode() + self.body


@dataclass
class Raw:
    """Bytes to answer with as they are, whatever they mean; then the connection is closed."""

    data: bytes


Forward = Callable[[Request], Awaitable[Response]]
Policy = Callable[[Request, Forward], Awaitable[Response | Raw | None]]
"""Answers a call, by forwarding it or not. `None`: the connection is cut."""


def error(status: int, code: str, text: str = "made up by the proxy") -> Response:
    """An error of the service in the JSON protocol."""
    return Response(status, json.dumps({"__type": f"com.amazonaws.sqs#{code}", "message": text}).encode())


class Counting:
    """The policy that counts the calls.

    Attributes:
        calls: How many there were, by operation.
    """

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    async def __call__(self, request: Request, forward: Forward) -> Response | None:
        self.calls[request.action] += 1
        return await forward(request)

    def taken(self) -> Counter[str]:
        """The calls since the last time."""
        calls, self.calls = self.calls, Counter()
        return calls


async def pass_on(request: Request, forward: Forward) -> Response | None:
    """The policy that does nothing."""
    return await forward(request)


class HttpProxy:
    """`with HttpProxy(upstream) as proxy: proxy.url`.

    Args:
        upstream: The URL of what is behind it.
        policy: What becomes of each call. May be replaced at any time.

    Attributes:
        policy: What becomes of each call.
    """

    def __init__(self, upstream: str, policy: Policy = pass_on) -> None:
        split = urlsplit(upstream)
        assert split.hostname is not None
        assert split.port is not None
        self._host, self._port = split.hostname, split.port
        self.policy = policy
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="test-proxy", daemon=True)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.url = ""

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._accepted, "127.0.0.1", 0, limit=4 * 1024 * 1024, backlog=256)

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream = _Upstream(self._host, self._port)
        try:
            while (request := await _read_request(reader, writer)) is not None:
                response = await self.policy(request, upstream.forward)
                if response is None:
                    writer.transport.abort()  # a reset, no orderly end
                    return
                if isinstance(response, Raw):
                    writer.write(response.data)
                    await writer.drain()
                    return
                writer.write(response.encoded())
                await writer.drain()
        except (OSError, EOFError):
            pass  # the client, or LocalStack at its end, is gone
        finally:
            upstream.close()
            writer.close()


class _Upstream:
    """A connection to what is behind the proxy, for one connection of a client."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def forward(self, request: Request) -> Response:
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._address, limit=4 * 1024 * 1024)
        reader, writer = self._streams
        writer.write(request.head + request.body)
        await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
        status, headers = int(head.split(b" ", 2)[1]), _headers(head)
        if headers.get(b"transfer-encoding", b"").lower() == b"chunked":
            body = await _chunks(reader)
        else:
            body = await reader.readexactly(int(headers.get(b"content-length", 0)))
        if headers.get(b"connection", b"").lower() == b"close":
            self.close()
        return Response(status, body)

    def close(self) -> None:
        streams, self._streams = self._streams, None
        if streams is not None:
            streams[1].close()


async def _read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    headers = _headers(head)
    if headers.get(b"expect", b"").lower() == b"100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        head = b"\r\n".join(line for line in head.split(b"\r\n") if not line.lower().startswith(b"expect:"))
    return Request(head, await reader.readexactly(int(headers.get(b"content-length", 0))))


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int((await reader.readuntil(b"\r\n")).strip(), 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readuntil(b"\r\n")
    return body


def _headers(head: bytes) -> dict[bytes, bytes]:
    lines = (line.partition(b":") for line in head.split(b"\r\n")[1:] if line)
    return {name.strip().lower(): value.strip() for name, _, value in lines}
