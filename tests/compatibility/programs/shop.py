"""The tasks that the programs send and the workers run; a tracer has patched what it patches before.

Environment: `TRACER` names the tracer, `RESULTS` the file that each run adds a line to, `CLOUDQ_URL` the backend.
"""

from __future__ import annotations

import os
from pathlib import Path

from patches import patch

patch(os.environ.get("TRACER", ""))

from tenacity import stop_after_attempt, wait_fixed  # noqa: E402 - as the tracer's documentation wants it

import cloudq  # noqa: E402

app = cloudq.App()
RESULTS = Path(os.environ.get("RESULTS", "results"))


def note(line: str) -> None:
    """Keeps a line, whichever thread or process it comes from."""
    with RESULTS.open("a") as file:
        file.write(f"{line}\n")


@app.task("ok")
def ok(n: int, padding: str = "") -> None:
    """Succeeds."""
    note(f"ok {n}")


@app.task("aok")
async def aok(n: int) -> None:
    """Succeeds, on the event loop."""
    note(f"aok {n}")


@app.task("in-order", queue="orders.fifo")
def in_order(n: int) -> None:
    """Succeeds, one after the other."""
    note(f"in-order {n}")


@app.task("flaky", retry=cloudq.RetryPolicy(wait=wait_fixed(1)))
def flaky(context: cloudq.Context) -> None:
    """Succeeds the second time."""
    if context.attempt == 1:
        raise ConnectionError("not yet")
    note("flaky 2")


@app.task("broken", retry=cloudq.RetryPolicy(stop=stop_after_attempt(1)))
def broken(n: int) -> None:
    """Fails, until somebody has mended it."""
    if not RESULTS.with_name("mended").exists():
        raise ValueError(f"no such order: {n}")
    note(f"broken {n}")
