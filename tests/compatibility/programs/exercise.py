"""All that a program does with tasks, under the tracer that `TRACER` names; `RESULTS` is a file that isn't there yet.

Sent one by one, in a batch, together, as large as the queue takes, in order, delayed; run, retried, dead-lettered,
redriven; and a worker that stops when it is told to. Ends with exit code 0 if all of it was as it should be.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from datetime import timedelta

from shop import RESULTS, aok, app, broken, flaky, in_order, ok


def lines() -> list[str]:
    return RESULTS.read_text().splitlines() if RESULTS.exists() else []


def wait_for(expected: list[str]) -> None:
    """Waits until those have run, and says which haven't."""
    end = time.monotonic() + 60
    while len(lines()) < len(expected) and time.monotonic() < end:
        time.sleep(0.05)
    if sorted(lines()) != sorted(expected):
        raise SystemExit(f"expected {sorted(expected)}, and there is {sorted(lines())}")


async def together() -> None:
    await asyncio.gather(*[ok.asend(n=n) for n in range(26, 36)])


queue = app.queue("default")
ok.send(n=0)
app.send_many([ok.call(n=n) for n in range(1, 26)])
asyncio.run(together())
most = queue.capabilities.max_body or 1_000_000
ok.send(n=36, padding="x" * (min(most, 1_100_000) - 1_000))
app.send_many([in_order.options(ordering_key="k").call(n=n) for n in range(5)])
ok.options(delay=timedelta(seconds=2)).send(n=37)
aok.send(n=0)
flaky.send()
broken.send(n=7)
expected = [*(f"ok {n}" for n in range(38)), *(f"in-order {n}" for n in range(5)), "aok 0", "flaky 2"]
command = [sys.executable, "-m", "cloudq", "worker", "--app", "shop:app", "--wait", "1"]
worker = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
try:
    wait_for(expected)
    ordered = [line for line in lines() if line.startswith("in-order")]
    if ordered != sorted(ordered):
        raise SystemExit(f"out of order: {ordered}")
    (letter,) = queue.dead_letters.peek()
    if "no such order: 7" not in (letter.failure.error_message or ""):
        raise SystemExit(f"the dead letter says {letter.failure}")
    RESULTS.with_name("mended").touch()
    if queue.dead_letters.redrive().redriven != 1:
        raise SystemExit("the dead letter wasn't redriven")
    wait_for([*expected, "broken 7"])
finally:
    worker.send_signal(signal.SIGTERM)
    log = worker.communicate(timeout=30)[1]
if worker.returncode != 0:
    raise SystemExit(f"the worker ended with {worker.returncode}: {log}")
