"""`make bench`, its part on pushes: `cloudq worker` beside a FastAPI endpoint that verifies tokens. Over loopback.

Each server is a process, and so is the load. Two ways in which tokens come: the same one for an hour, as Google's
services send them, and another one with each push.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path
from typing import Final, NamedTuple

from rich.console import Console

from tests.benchmarks.environments import HERE, PEERS
from tests.benchmarks.extent import Extent, machine, parser
from tests.benchmarks.measure import child, folder
from tests.benchmarks.push_side import load
from tests.benchmarks.report import present, table
from tests.unit.push.fakes import ACCOUNT, AUDIENCE, certificates_of, token

PUSHES: Final = 3_000
WARM: Final = 200
FRESH: Final = 600


class Side(NamedTuple):
    """A server: its module, the packages whose versions are printed, where it runs, its arguments around the rest."""

    module: str
    packages: tuple[str, ...]
    python: Path = HERE
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


_FASTAPI: Final = ("fastapi", "uvicorn", "google-auth", "cachecontrol")
PEER: Final = "FastAPI, h11"
OURS: Final = "cloudq"
SIDES: Final = {
    PEER: Side("push_fastapi", _FASTAPI, PEERS, after=("h11", AUDIENCE, ACCOUNT)),
    "FastAPI, httptools": Side("push_fastapi", _FASTAPI, PEERS, after=("httptools", AUDIENCE, ACCOUNT)),
    OURS: Side("push_side", ("cloudq",), before=("serve",)),
}


def measured(side: Side, kind: str, tokens: list[str], certificates: str, pushes: int) -> dict[str, float]:
    """How many pushes a second, and the server's CPU in ms a push."""
    with folder() as path:
        arguments = (*side.before, kind, certificates, *side.after)
        server = child(side.module, *arguments, folder=path, python=side.python)
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline())
            asyncio.run(load(port, range(pushes, pushes + WARM), tokens))
            began = cpu_seconds(server)
            rate = asyncio.run(load(port, range(pushes), tokens))
            return {"pushes /s": rate, "CPU ms a push": (cpu_seconds(server) - began) / pushes * 1000}
        finally:
            server.terminate()
            server.communicate()


def cpu_seconds(process: subprocess.Popen[str]) -> float:
    """The user and system time of a process so far (Linux)."""
    fields = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii").rpartition(") ")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def main(extent: Extent) -> None:
    """Measures the sides in turn, several times, and prints the medians; ratios are those of one turn."""
    console = Console(width=150)
    console.print(f"[bold]Pushes[/], over eight connections; {machine()}; medians of {extent.repeats} in turn")
    sides = present(SIDES, console)
    pushes = extent.tasks(PUSHES)
    runs: dict[str, list[dict[str, float]]] = {name: [{} for _ in range(extent.repeats)] for name in sides}
    with certificates_of("a", "b") as server:
        for number, shown in ((1, "one token"), (FRESH, "another token each")):
            tokens = [token(sub=str(one)) for one in range(number)]
            for kind in ("def", "async"):
                for turn in range(extent.repeats):
                    for name, side in sides.items():
                        figures = measured(side, kind, tokens, server.url, pushes)
                        runs[name][turn] |= {f"{kind}, {shown}, {what}": figure for what, figure in figures.items()}
    console.print(table(runs, {"cloudq / FastAPI": (OURS, PEER)} if PEER in sides else {}))
    console.print(f"the ratio is to {PEER}: both servers read HTTP with h11; load at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main(Extent.asked(parser(__doc__).parse_args()))
