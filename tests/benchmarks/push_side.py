"""The push worker under load over loopback: `python -m tests.benchmarks.push_side`. Nothing leaves this machine.

Verified pushes of tasks that do nothing, as Cloud Tasks makes them; the backend's storage is memory. The worker and the
load are a process each, so that CPU and memory are the worker's own.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from rich.console import Console
from rich.table import Table

from tests.benchmarks.measure import child, folder, percentile, result
from tests.unit.push.fakes import certificates_of, claims, key, push, pushed, token

PUSHES = int(os.environ.get("BENCH_PUSHES", "50000"))
WARM = PUSHES // 10
SPACED = int(os.environ.get("BENCH_LATENCY_TASKS", "200"))
CONNECTIONS = 8


def rss_mb() -> float:
    """This process's resident memory now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


def serve(kind: str, certificates: str) -> None:
    """The worker: prints its port, then, once told to stop, its figures."""
    from cloudq.push import PushSettings
    from cloudq.push.server import PushWorker, ServerSettings

    starts: dict[int, float] = {}
    memory: list[float] = []

    def noop(n: int) -> None:
        starts[n % 1000] = time.monotonic()
        if n == WARM:
            memory.append(rss_mb())

    async def anoop(n: int) -> None:
        noop(n)

    with pushed() as (app, driver):
        driver.decoded = deque(maxlen=1)  # type: ignore[assignment]  # a test wants them all
        app.task("noop")(noop if kind == "def" else anoop)
        worker = PushWorker(app, PushSettings(certificates_url=certificates), ServerSettings(port=0))
        print(worker.address[1], flush=True)
        began = time.process_time()
        worker.run()
        counts = worker.snapshot()
    print(
        json.dumps(
            {
                "cpu_per_1000": (time.process_time() - began) / max(1, counts.succeeded) * 1000,
                "succeeded": counts.succeeded,
                "rss_warm_mb": memory[0] if memory else rss_mb(),
                "rss_mb": rss_mb(),
                "starts": [starts.get(n, 0.0) for n in range(SPACED)],
            }
        ),
        flush=True,
    )


def request(headers: dict[str, str], body: bytes) -> bytes:
    """One request, as it goes over the wire."""
    lines = [b"POST / HTTP/1.1", b"Host: worker", *(f"{name}: {text}".encode() for name, text in headers.items())]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


class Connection:
    """One connection that is kept."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def send(self, data: bytes) -> int:
        """Sends a request; returns the status of its answer."""
        self._writer.write(data)
        head = await self._reader.readuntil(b"\r\n\r\n")
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                await self._reader.readexactly(int(line.partition(b":")[2]))
        return int(head[9:12])


async def load(port: int, numbers: Sequence[int], tokens: Sequence[str]) -> float:
    """Pushes these, some at a time, with the tokens in turn. Returns how many a second."""
    left = iter(numbers)

    async def some() -> None:
        async with Connection(port) as connection:
            for n in left:
                shown = tokens[n % len(tokens)]
                status = await connection.send(request(*push(payload={"n": n}, id=f"m{n}", token=shown)))
                if status != 200:
                    raise RuntimeError(f"push {n} was answered with {status}")

    began = time.perf_counter()
    await asyncio.gather(*(some() for _ in range(CONNECTIONS)))
    return len(numbers) / (time.perf_counter() - began)


async def spaced(port: int, shown: str) -> list[float]:
    """One push after the other; the moments at which they were sent."""
    sent = []
    async with Connection(port) as connection:
        for n in range(SPACED):
            data = request(*push(payload={"n": n}, id=f"s{n}", token=shown))
            await asyncio.sleep(0.002)
            sent.append(time.monotonic())
            await connection.send(data)
    return sent


async def refused(port: int, headers: dict[str, str], body: bytes, expected: int) -> list[float]:
    """How long refusals take, in milliseconds."""
    times = []
    for _ in range(SPACED):
        async with Connection(port) as connection:
            began = time.perf_counter()
            status = await connection.send(request(headers, body))
            times.append((time.perf_counter() - began) * 1000)
        if status != expected:
            raise RuntimeError(f"answered with {status}, not {expected}")
    return times


def measured(kind: str) -> dict[str, float]:
    """All figures of plain functions, or of async ones."""
    shown = token()
    refusals = {
        "401, no token": (push(), 401),
        "401, expired": (push(token=token(iat=1, exp=2)), 401),
        "401, another key": (push(token=key("c").signed(claims(), key_id="a")), 401),
        "403, another e-mail": (push(token=token(email="else@example.com")), 403),
        "413, too large": (push(token=shown, headers={"content-length": "10000000"}), 413),
        "503, dead-letter queue": (push(token=shown, queue="default-dlq"), 503),
        "400, garbage": (({"authorization": f"Bearer {shown}", "content-length": "1"}, b"x"), 400),
    }
    figures: dict[str, float] = {}
    with folder() as path, certificates_of("a") as server:
        worker = child("push_side", "serve", kind, server.url, folder=path)
        try:
            assert worker.stdout is not None
            port = int(worker.stdout.readline())
            asyncio.run(load(port, range(1000, 1000 + WARM), [shown]))
            figures["pushes /s"] = asyncio.run(load(port, range(WARM, PUSHES), [shown]))
            for name, (what, status) in refusals.items():
                times = asyncio.run(refused(port, *what, status))
                figures[f"{name}: p50 ms"] = percentile(times, 0.5)
                figures[f"{name}: p95 ms"] = percentile(times, 0.95)
            sent = asyncio.run(spaced(port, shown))
        finally:
            worker.terminate()
        said = result(worker)
    starts: list[float] = said["starts"]  # type: ignore[assignment]  # the one figure that is a list
    delays = [(start - at) * 1000 for start, at in zip(starts, sent, strict=True)]
    figures["sent to started: p50 ms"] = percentile(delays, 0.5)
    figures["sent to started: p95 ms"] = percentile(delays, 0.95)
    figures["worker CPU s/1,000"] = said["cpu_per_1000"]
    figures[f"worker RSS MB after {WARM:,}"] = said["rss_warm_mb"]
    figures[f"worker RSS MB after {PUSHES:,}"] = said["rss_mb"]
    return figures


def main() -> None:
    """Measures both kinds of functions and prints the figures."""
    kinds = {"def": measured("def"), "async def": measured("async")}
    table = Table("figure", *kinds, title=f"push worker, {PUSHES:,} pushes over {CONNECTIONS} connections")
    for name in kinds["def"]:
        table.add_row(
            name,
            *(
                f"{figures[name]:,.3g}" if figures[name] < 100 else f"{figures[name]:,.0f}"
                for figures in kinds.values()
            ),
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(*sys.argv[2:4])
    else:
        main()
