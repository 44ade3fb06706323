"""The app whose worker's start is measured: its one task says when it ran."""

from __future__ import annotations

import os
import time

import cloudq

app = cloudq.App("sqs://us-east-1?account=000000000000", default_queue=os.environ["BENCH_QUEUE"])


@app.task("noop")
def noop(text: str) -> None:
    """Says when it ran."""
    print(f"ran {time.monotonic()}", flush=True)
