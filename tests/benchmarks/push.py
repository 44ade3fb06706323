"""`make bench`, its part on pushes: `cloudq worker` beside a FastAPI endpoint that verifies tokens. Over loopback.

Each server is a process, and so is the load. Two ways in which tokens come: the same one for an hour, as Google's
services send them, and another one with each push.
"""

from __future__ import annotations

import asyncio
import os
import platform
import statistics
import subprocess
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

import cloudq
from tests.benchmarks.measure import child, folder
from tests.benchmarks.push_side import load
from tests.unit.push.fakes import certificates_of, token

PUSHES = int(os.environ.get("BENCH_PUSHES", "3000"))
REPEATS = int(os.environ.get("BENCH_REPEATS", "3"))
WARM = 200
FRESH = 600
SIDES = {
    "FastAPI, h11": ("push_fastapi", "h11"),
    "FastAPI, httptools": ("push_fastapi", "httptools"),
    "cloudq": ("push_side", ""),
}
PEER, _, OURS = SIDES


def measured(side: str, kind: str, tokens: list[str], certificates: str) -> tuple[float, float]:
    """How many pushes a second, and the server's CPU in ms a push."""
    module, parser = SIDES[side]
    before = ("serve",) if module == "push_side" else ()
    with folder() as path:
        server = child(module, *before, kind, certificates, parser, folder=path)
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline())
            asyncio.run(load(port, range(PUSHES, PUSHES + WARM), tokens))
            began = cpu_seconds(server)
            rate = asyncio.run(load(port, range(PUSHES), tokens))
            return rate, (cpu_seconds(server) - began) / PUSHES * 1000
        finally:
            server.terminate()
            server.communicate()


def cpu_seconds(process: subprocess.Popen[str]) -> float:
    """The user and system time of a process so far (Linux)."""
    fields = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii").rpartition(") ")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measures the sides in turn, several times, and prints the medians; ratios are those of one turn."""
    console = Console(width=120)
    console.print(
        f"cloudq {cloudq.__version__}, FastAPI {version('fastapi')}, uvicorn {version('uvicorn')}, google-auth "
        f"{version('google-auth')}, Python {platform.python_version()}, {os.cpu_count()} cores, load "
        f"{os.getloadavg()[0]:.1f}; {PUSHES:,} pushes over eight connections, medians of {REPEATS} runs"
    )
    table = Table("pushes", *(f"{side}{what}" for side in SIDES for what in (" /s", " ms")), "x rate", "x CPU")
    with certificates_of("a", "b") as server:
        for tokens, shown in ((1, "one token"), (FRESH, "another token each")):
            signed = [token(sub=str(number)) for number in range(tokens)]
            for kind in ("def", "async"):
                runs = [{side: measured(side, kind, signed, server.url) for side in SIDES} for _ in range(REPEATS)]
                medians = (
                    f"{statistics.median(one[side][figure] for one in runs):,.4g}"
                    for side in SIDES
                    for figure in (0, 1)
                )
                rate = statistics.median(one[OURS][0] / one[PEER][0] for one in runs)
                cpu = statistics.median(one[PEER][1] / one[OURS][1] for one in runs)
                table.add_row(f"{kind}, {shown}", *medians, f"{rate:.2f}", f"{cpu:.2f}")
    console.print(table)
    console.print(f"ratios to {PEER}: both servers read HTTP with h11; load at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
