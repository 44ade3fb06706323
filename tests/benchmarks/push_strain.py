"""What strangers cost a push worker: half-open connections, and headers without end. Over loopback, in two processes.

`python -m tests.benchmarks.push_strain`; it says how busy the machine was, which the figures depend on.
"""

from __future__ import annotations

import http.client
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path

from tests.unit.push.fakes import ACCOUNT, AUDIENCE, certificates_of, token

HALF_OPEN = 1005
PUSHES = 500
HEADERS = 150 * 1024 * 1024
SERVER = """
import sys
from cloudq import App
from cloudq.push import PushSettings
from cloudq.push.server import PushWorker, ServerSettings

app = App(sys.argv[1])

@app.task("t")
def task(n: int) -> None: ...

worker = PushWorker(app, PushSettings(certificates_url=sys.argv[2], service_accounts=[sys.argv[3]],
                                      audiences=[sys.argv[4]]), ServerSettings(port=0))
print(worker.address[1], flush=True)
sys.exit(worker.run())
"""


def main() -> None:
    """Prints the figures."""
    with tempfile.TemporaryDirectory() as folder, certificates_of("a") as server:
        url = f"sqlite:///{folder}/q.db"
        worker = subprocess.Popen(
            [sys.executable, "-c", SERVER, url, server.url, ACCOUNT, AUDIENCE], stdout=subprocess.PIPE, text=True
        )
        try:
            assert worker.stdout is not None
            address = ("127.0.0.1", int(worker.stdout.readline()))
            print(f"load average {os.getloadavg()[0]:.1f}")
            say("alone", pushes(address))
            before = resident(worker.pid)
            with ExitStack() as stack:
                for _ in range(HALF_OPEN):
                    one = stack.enter_context(socket.create_connection(address, timeout=20))
                    one.sendall(b"POST / HTTP/1.1\r\nHost: local")
                say(f"{HALF_OPEN} half-open connections", pushes(address))
                print(f"  /healthz {page(address)}, {resident(worker.pid) - before:+.1f} MB")
            before = resident(worker.pid)
            print(f"headers: {headers(address):,} of {HEADERS:,} bytes taken, {resident(worker.pid) - before:+.1f} MB")
            print(f"  /healthz {page(address)}; load average {os.getloadavg()[0]:.1f}")
        finally:
            worker.terminate()
            worker.wait(20)


def pushes(address: tuple[str, int]) -> list[float]:
    """How long each push takes, in ms, on a connection of its own."""
    times = []
    shown = token()
    event = b'{"specversion":"1.0","id":"%d","source":"/s","type":"t","data":{"n":1}}'
    for number in range(PUSHES):
        began = time.perf_counter()
        with closing(http.client.HTTPConnection(*address, timeout=20)) as connection:
            headers = {"Authorization": f"Bearer {shown}", "Content-Type": "application/cloudevents+json"}
            connection.request("POST", "/", event % number, headers)
            assert 200 == connection.getresponse().status
        times.append((time.perf_counter() - began) * 1000)
    return times


def page(address: tuple[str, int]) -> int:
    """The status of `/healthz`."""
    with closing(http.client.HTTPConnection(*address, timeout=20)) as connection:
        connection.request("GET", "/healthz")
        return connection.getresponse().status


def headers(address: tuple[str, int]) -> int:
    """Sends headers until it is hung up on. How many bytes were sent."""
    line = b"X: " + b"x" * 8000 + b"\r\n"
    sent = 0
    with socket.create_connection(address, timeout=20) as raw:
        raw.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\n")
        try:
            while sent < HEADERS:
                raw.sendall(line)
                sent += len(line)
        except OSError:
            pass
    return sent


def resident(process: int) -> float:
    """The memory of a process, in MB (Linux)."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def say(what: str, times: list[float]) -> None:
    """Prints the spread."""
    p95 = statistics.quantiles(times, n=20)[-1]
    median = statistics.median(times)
    print(f"{what}: {len(times)} pushes, median {median:.1f} ms, p95 {p95:.1f}, worst {max(times):.1f}")


if __name__ == "__main__":
    main()
